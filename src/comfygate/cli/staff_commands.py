"""Roles and suspensions of accounts, and their keys by mark: more of `accounts` and `keys`."""

from __future__ import annotations

from typing import Annotated

import typer

from comfygate.cli.operator_commands import Account
from comfygate.cli.operator_commands import accounts as accounts  # noqa: PLC0414 - with these commands
from comfygate.cli.operator_commands import keys as keys  # noqa: PLC0414 - with these commands
from comfygate.cli.output import local_time, print_json, say, table
from comfygate.cli.shared_options import AsJson, ask, example


@accounts.command("role", epilog=example("comfygate accounts role ann operator"))
def accounts_role(
    ctx: typer.Context,
    account: Account,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="user, operator or admin.")],
    as_json: AsJson = False,
) -> None:
    """Say whether an account may operate: an operator keeps jobs moving, an admin may do everything."""
    answer = ask(ctx, "accounts.role", account=account, role=role)
    if as_json:
        print_json(answer)
    else:
        say(f"The role of {answer['name']} is {answer['role']}.")


@accounts.command("suspend", epilog=example("comfygate accounts suspend ann"))
def accounts_suspend(ctx: typer.Context, account: Account, as_json: AsJson = False) -> None:
    """Let an account do nothing any more, and sign it out. Jobs that it has go on."""
    answer = ask(ctx, "accounts.suspend", account=account)
    if as_json:
        print_json(answer)
    else:
        say(f"{answer['name']} is suspended since {local_time(answer['disabled_at_ms'])}.")


@accounts.command("restore", epilog=example("comfygate accounts restore ann"))
def accounts_restore(ctx: typer.Context, account: Account, as_json: AsJson = False) -> None:
    """Let a suspended account in again. What screening counted against it stays: see 'review forgive'."""
    answer = ask(ctx, "accounts.restore", account=account)
    if as_json:
        print_json(answer)
    else:
        say(f"{answer['name']} may submit again.")


@accounts.command("sign-out", epilog=example("comfygate accounts sign-out ann"))
def accounts_sign_out(ctx: typer.Context, account: Account, as_json: AsJson = False) -> None:
    """End every session of an account on the web. Its API keys stay good."""
    answer = ask(ctx, "accounts.sign_out", account=account)
    if as_json:
        print_json(answer)
    else:
        say(f"Sessions of {answer['name']} that were ended: {answer['sessions_ended']}.")


@keys.command("list", epilog=example("comfygate keys list ann"))
def keys_list(ctx: typer.Context, account: Account, as_json: AsJson = False) -> None:
    """Show an account's keys by their marks; the keys themselves are not kept."""
    answer = ask(ctx, "keys.list", account=account)
    if as_json:
        print_json(answer)
        return
    rows = [
        (one["key"], local_time(one["created_at_ms"]), local_time(one["revoked_at_ms"]))
        for one in answer["keys"]
    ]
    table(f"Keys of {answer['name']}", ("mark", "made", "ended"), rows)


@keys.command("revoke", epilog=example("comfygate keys revoke ann 1f0c2d3e4a5b"))
def keys_revoke(
    ctx: typer.Context,
    account: Account,
    key: Annotated[str, typer.Argument(metavar="MARK", help="The key's mark, as 'keys list' shows it.")],
    as_json: AsJson = False,
) -> None:
    """End an API key: it opens nothing from now on."""
    answer = ask(ctx, "keys.revoke", account=account, key=key)
    if as_json:
        print_json(answer)
    else:
        say(f"Key {answer['key']} of {answer['name']} is ended.")
