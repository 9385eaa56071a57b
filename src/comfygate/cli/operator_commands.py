"""Accounts, keys, credits, the ledger and jobs: what the operator of a gateway asks for."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from comfygate.cli.exit_codes import Exit
from comfygate.cli.output import hint, local_time, print_json, say, table
from comfygate.cli.shared_options import AsJson, ask, example
from comfygate.settings import load_settings

accounts = typer.Typer(help="Who may submit jobs.")
keys = typer.Typer(help="API keys of accounts.")
credit = typer.Typer(help="Credits of accounts.")
ledger = typer.Typer(help="The books: every credit that moved.")
jobs = typer.Typer(help="Everybody's jobs.")
audit = typer.Typer(help="What operators did.")

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Id or name of the account.")]
Job = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
KEY_SHOWN_ONCE = "Keep the key: it is shown this once and stored only as a digest."


@accounts.command("add", epilog=example("comfygate accounts add ann --tier vip --credits 100"))
def accounts_add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name; must be new.")],
    tier: Annotated[str, typer.Option(help="Gives its priority and limits.")] = "regular",
    credits: Annotated[int, typer.Option(help="Credits to begin with.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Make an account. Its API key is printed this once."""
    answer = ask(ctx, "accounts.add", name=name, tier=tier, credits=credits)
    if as_json:
        print_json({"id": answer["id"], "api_key": answer["api_key"]})
        return
    say(f"Account {answer['name']} ({answer['tier']}) with {answer['available']} credits")
    say(f"id:      {answer['id']}")
    say(f"API key: {answer['api_key']}")
    hint(KEY_SHOWN_ONCE)


@accounts.command("list", epilog=example("comfygate accounts list"))
def accounts_list(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show every account with its credits."""
    answer = ask(ctx, "accounts.list")
    if as_json:
        print_json(answer)
        return
    table(
        "Accounts",
        ("name", "tier", "role", "available", "held", "suspicions", "disabled since", "id"),
        [
            (
                a["name"],
                a["tier"],
                a["role"] if a["role"] != "user" else "",
                a["available"],
                a["held"],
                a["suspicions"] or "",
                local_time(a["disabled_at_ms"]),
                a["id"],
            )
            for a in answer["accounts"]
        ],
    )


@accounts.command("tier", epilog=example("comfygate accounts tier ann vip"))
def accounts_tier(
    ctx: typer.Context,
    account: Account,
    tier: Annotated[str, typer.Argument(metavar="TIER", help="A tier of the settings.")],
    as_json: AsJson = False,
) -> None:
    """Move an account to another tier. Jobs it has already keep their places and prices."""
    answer = ask(ctx, "accounts.tier", account=account, tier=tier)
    if as_json:
        print_json(answer)
    else:
        say(f"{answer['name']} is {answer['tier']}.")


@accounts.command("sign-in", epilog=example("comfygate accounts sign-in ann"))
def accounts_sign_in(ctx: typer.Context, account: Account, as_json: AsJson = False) -> None:
    """Make an address that signs in to the web as an account, once. It is printed this once."""
    answer = ask(ctx, "accounts.sign_in", account=account)
    settings = load_settings()
    base = settings.public_base or f"http://{settings.host}:{settings.port}{settings.root_path}"
    url = f"{base}/sign-in#{answer['code']}"
    if as_json:
        print_json({"url": url, "expires_at_ms": answer["expires_at_ms"]})
        return
    say(url)
    hint(f"Good once, until {local_time(answer['expires_at_ms'])}; it signs in as {answer['name']}.")


@keys.command("add", epilog=example("comfygate keys add ann"))
def keys_add(ctx: typer.Context, account: Account, as_json: AsJson = False) -> None:
    """Make one more API key for an account. It is printed this once; earlier keys stay good."""
    answer = ask(ctx, "keys.add", account=account)
    if as_json:
        print_json({"id": answer["id"], "api_key": answer["api_key"]})
        return
    say(f"API key of {answer['name']}: {answer['api_key']}")
    hint(KEY_SHOWN_ONCE)


@credit.command("grant", epilog=example("comfygate credits grant ann 50 --reason 'invoice 17'"))
def credits_grant(
    ctx: typer.Context,
    account: Account,
    amount: Annotated[int, typer.Argument(metavar="N", help="How many credits to add.")],
    reason: Annotated[str, typer.Option(help="Kept in the ledger.")],
    as_json: AsJson = False,
) -> None:
    """Add credits to an account; the ledger keeps the reason."""
    answer = ask(ctx, "credits.grant", account=account, amount=amount, reason=reason)
    if as_json:
        print_json(answer)
    else:
        say(f"{answer['name']} has {answer['available']} credits, {answer['held']} held for jobs.")


@ledger.command("show", epilog=example("comfygate ledger show ann"))
def ledger_show(
    ctx: typer.Context,
    account: Account,
    limit: Annotated[int, typer.Option(help="How many entries.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show an account's newest entries, as its owner reads them."""
    answer = ask(ctx, "ledger.show", account=account, limit=limit)
    if as_json:
        print_json(answer)
    else:
        show_entries(answer)


def show_entries(answer: dict[str, Any]) -> None:
    """An account's entries as a table, and its balance."""
    table(
        f"Ledger of {answer['name']}",
        ("entry", "time", "what", "credits", "job", "reason"),
        [
            (
                e["id"],
                local_time(e["created_at_ms"]),
                e["words"],
                e["amount"],
                e["job_id"] or "",
                e["reason"] or "",
            )
            for e in answer["entries"]
        ],
    )
    say(f"{answer['name']} has {answer['available']} credits, {answer['held']} held for jobs.")


@ledger.command("audit", epilog=example("comfygate ledger audit"))
def ledger_audit(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Recompute every balance from its entries. Exit code 8 if the books do not balance."""
    answer = ask(ctx, "ledger.audit")
    if as_json:
        print_json(answer)
    else:
        show_audit(answer)
    if not answer["balanced"]:
        raise typer.Exit(Exit.NOT_BALANCED)


def show_audit(answer: dict[str, Any]) -> None:
    """What recomputing the books came to."""
    if answer["balanced"]:
        say(
            f"The ledger balances: accounts {answer['accounts']}, entries {answer['entries']}, "
            f"issued {-answer['issued']}, revenue {answer['revenue']}, available {answer['available']}, "
            f"held {answer['held']}."
        )
        return
    say("The ledger does NOT balance:")
    for fault in answer["faults"]:
        say(f"- {fault}")


@jobs.command("list", epilog=example("comfygate jobs list --status queued"))
def jobs_list(
    ctx: typer.Context,
    status: Annotated[
        list[str] | None, typer.Option(help="Only jobs of this status; may be given more than once.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="Go on where the last list ended.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show jobs, newest first."""
    answer = ask(ctx, "jobs.list", status=status or [], limit=limit, cursor=cursor)
    if as_json:
        print_json(answer)
        return
    table(
        "Jobs",
        ("id", "lane", "status", "position", "price", "submitted", "ended"),
        [
            (
                j["id"],
                j["lane"],
                j["status"],
                "" if j["queue_position"] is None else j["queue_position"],
                j["price"],
                local_time(j["created_at_ms"]),
                local_time(j["completed_at_ms"]),
            )
            for j in answer["jobs"]
        ],
    )
    if answer["next_cursor"]:
        hint(f"There are more: --cursor {answer['next_cursor']}")


@jobs.command("show", epilog=example("comfygate jobs show 7f3d2c1b-9a8e-4d6f-b012-3c4d5e6f7a8b"))
def jobs_show(
    ctx: typer.Context,
    job: Job,
    why: Annotated[
        bool, typer.Option("--why", help="Say in sentences why it is where it is, instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show one job with its attempts, and why it failed if it did."""
    answer = ask(ctx, "jobs.why" if why else "jobs.show", job=job)
    if as_json:
        print_json(answer)
        return
    if why:
        say(f"Job {answer['id']} is {answer['status']}: {answer['reason']['sentence']}")
        for sentence in answer["why"]:
            say(f"- {sentence}")
        return
    table("Job", ("what", "value"), [(k, _cell(v)) for k, v in answer.items() if k not in _BESIDE])
    if answer["attempts"]:
        columns = list(answer["attempts"][0])
        rows = [[_cell(one[column]) for column in columns] for one in answer["attempts"]]
        table("Attempts", columns, rows)
    for one in answer["screening"]:
        say(f"screened {one['name']}: {one['finding']} ({one['score']:.3f})")
    for output in answer["outputs"]:
        say(f"output {output['name']}: {output['size_bytes']} bytes, asset {output['asset_id']}")


_BESIDE = frozenset({"attempts", "outputs", "screening"})


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, dict):
        return value.get("message") or ", ".join(f"{key}={part}" for key, part in value.items())
    return value


@jobs.command("cancel", epilog=example("comfygate jobs cancel 7f3d2c1b-9a8e-4d6f-b012-3c4d5e6f7a8b"))
def jobs_cancel(ctx: typer.Context, job: Job, as_json: AsJson = False) -> None:
    """Cancel a job. A queued one ends at once; a running one as soon as its server lets go of it."""
    answer = ask(ctx, "jobs.cancel", job=job)
    if as_json:
        print_json(answer)
    else:
        say(f"Job {answer['id']} is {answer['status']}.")


@jobs.command("retry", epilog=example("comfygate jobs retry 7f3d2c1b-9a8e-4d6f-b012-3c4d5e6f7a8b"))
def jobs_retry(ctx: typer.Context, job: Job, as_json: AsJson = False) -> None:
    """Run a job that failed, was canceled or expired once more, as a new job that its account pays anew."""
    answer = ask(ctx, "jobs.retry", job=job)
    if as_json:
        print_json(answer)
    else:
        say(f"Job {answer['id']} is {answer['status']}; it retries {job} for {answer['price']} credits.")


@audit.command("list", epilog=example("comfygate audit list --limit 20"))
def audit_list(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    before: Annotated[int | None, typer.Option(help="Only rows older than this id.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what operators changed, newest first: by which way, with which arguments, and what came of it."""
    answer = ask(ctx, "audit.list", limit=limit, before=before)
    if as_json:
        print_json(answer)
        return
    table(
        "Audit log",
        ("id", "time", "by", "operation", "arguments", "result"),
        [
            (
                row["id"],
                local_time(row["at_ms"]),
                row["actor"],
                row["operation"],
                row["arguments"],
                row["result"],
            )
            for row in answer["audit"]
        ],
    )
    if answer["next_before"]:
        hint(f"There are more: --before {answer['next_before']}")
