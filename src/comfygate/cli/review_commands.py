"""What screening held for review, and whom it suspended."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from comfygate.cli.output import local_time, print_json, say, table
from comfygate.cli.shared_options import AsJson, ask, example

review = typer.Typer(help="Results that screening held back, and accounts it suspects.")

Job = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Id or name of the account.")]
AN_ID = "7f3d2c1b-9a8e-4d6f-b012-3c4d5e6f7a8b"


@review.command("list", epilog=example("comfygate review list"))
def review_list(
    ctx: typer.Context,
    state: Annotated[
        str, typer.Option(help="Those waiting, released, rejected or expired; 'all' for every one.")
    ] = "waiting",
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show jobs whose results are held back, newest first."""
    answer = ask(ctx, "review.list", state=None if state == "all" else state, limit=limit)
    if as_json:
        print_json(answer)
        return
    table(
        "Reviews",
        ("job", "account", "state", "score", "since", "until"),
        [
            (
                one["job_id"],
                one["account_id"],
                one["state"],
                f"{one['score']:.3f}",
                local_time(one["created_at_ms"]),
                local_time(one["expires_at_ms"]),
            )
            for one in answer["reviews"]
        ],
    )


@review.command("show", epilog=example(f"comfygate review show {AN_ID}"))
def review_show(ctx: typer.Context, job: Job, as_json: AsJson = False) -> None:
    """Show what is held of a job, and the files to look at on this machine."""
    answer = ask(ctx, "review.show", job=job)
    if as_json:
        print_json(answer)
    else:
        _say(answer)


@review.command("release", epilog=example(f"comfygate review release {AN_ID}"))
def review_release(ctx: typer.Context, job: Job, as_json: AsJson = False) -> None:
    """Give a job's held results to its account, without charge; they no longer count against it."""
    answer = ask(ctx, "review.release", job=job)
    if as_json:
        print_json(answer)
    else:
        say(f"The results of job {job} are its account's now; nothing was charged.")


@review.command("reject", epilog=example(f"comfygate review reject {AN_ID}"))
def review_reject(ctx: typer.Context, job: Job, as_json: AsJson = False) -> None:
    """Throw a job's held results away."""
    answer = ask(ctx, "review.reject", job=job)
    if as_json:
        print_json(answer)
    else:
        say(f"The results of job {job} are thrown away.")


@review.command("suspicions", epilog=example("comfygate review suspicions ann"))
def review_suspicions(ctx: typer.Context, account: Account, as_json: AsJson = False) -> None:
    """Show what counts against an account, newest first."""
    answer = ask(ctx, "review.suspicions", account=account)
    if as_json:
        print_json(answer)
        return
    table(
        f"Suspicions of {answer['name']}",
        ("id", "time", "kind", "score", "job", "suspended", "forgiven"),
        [
            (
                one["id"],
                local_time(one["at_ms"]),
                one["kind"],
                f"{one['score']:.3f}",
                one["job_id"] or "",
                "yes" if one["suspended"] else "",
                local_time(one["forgiven_at_ms"]),
            )
            for one in answer["entries"]
        ],
    )
    _say_standing(answer)


@review.command("forgive", epilog=example("comfygate review forgive ann"))
def review_forgive(ctx: typer.Context, account: Account, as_json: AsJson = False) -> None:
    """Let an account's suspicions count no longer; a suspension that they brought about ends."""
    answer = ask(ctx, "review.forgive", account=account)
    if as_json:
        print_json(answer)
    else:
        say(f"Forgiven: {answer['forgiven']}.")
        _say_standing(answer)


def _say(answer: dict[str, Any]) -> None:
    say(f"Job {answer['job_id']} of account {answer['account_id']} is {answer['state']}.")
    for output in answer["outputs"]:
        score = "" if output["score"] is None else f", score {output['score']:.3f}"
        say(f"{output['name']} ({output['content_type']}{score}): {output['file'] or 'no longer there'}")


def _say_standing(answer: dict[str, Any]) -> None:
    since = answer["disabled_at_ms"]
    stands = "may submit" if since is None else f"is disabled since {local_time(since)}"
    say(f"{answer['name']} {stands}; {answer['suspicions']} suspicions count.")
