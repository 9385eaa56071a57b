"""Codes that bring credits, and payments in Telegram Stars."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from comfygate.cli.output import print_json, say, table
from comfygate.cli.shared_options import AsJson, ask, example

codes = typer.Typer(help="Codes that bring credits to whoever redeems them.")
payments = typer.Typer(help="Credits bought with Telegram Stars.")


@codes.command("make", epilog=example("comfygate codes make 100 --count 20 --note fair"))
def codes_make(
    ctx: typer.Context,
    credits: Annotated[int, typer.Argument(min=1, help="What each code brings, in credits.")],
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many codes.")] = 1,
    note: Annotated[str, typer.Option(help="What they are for; shown in lists.")] = "",
    days: Annotated[int, typer.Option(min=0, max=3650, help="Days they are good; 0: for ever.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Make codes; each is shown this once and brings its credits once."""
    answer = ask(ctx, "codes.make", credits=credits, count=count, note=note, days=days)
    if as_json:
        print_json(answer)
        return
    for code in answer["codes"]:
        say(code)


@codes.command("list", epilog=example("comfygate codes list"))
def codes_list(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest codes by their last characters, and what became of them."""
    answer = ask(ctx, "codes.list", limit=limit)
    if as_json:
        print_json(answer)
        return
    rows = [
        (f"…{one['hint']}", one["credits"], one["state"], one["note"], one["used_by"] or "")
        for one in answer["codes"]
    ]
    table("Codes", ("code", "credits", "state", "note", "used by"), rows)


@codes.command("revoke", epilog=example("comfygate codes revoke ABCD-EFGH-JKMNP"))
def codes_revoke(
    ctx: typer.Context,
    code: Annotated[str, typer.Argument(help="The whole code.")],
    as_json: AsJson = False,
) -> None:
    """Make a code worthless that nobody redeemed yet."""
    answer = ask(ctx, "codes.revoke", code=code)
    if as_json:
        print_json(answer)
    else:
        say("The code is worth nothing any more.")


@payments.command("list", epilog=example("comfygate payments list --account tg-1001"))
def payments_list(
    ctx: typer.Context,
    account: Annotated[str | None, typer.Option(help="Only this account's, by id or name.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest payments."""
    answer = ask(ctx, "payments.list", account=account, limit=limit)
    if as_json:
        print_json(answer)
        return
    rows = [
        (one["charge_id"], one["telegram_id"], one["stars"], one["credits"], _when(one), _state(one))
        for one in answer["payments"]
    ]
    table("Payments", ("charge", "Telegram id", "stars", "credits", "paid", "state"), rows)


def _when(payment: dict[str, Any]) -> str:
    return datetime.fromtimestamp(payment["paid_at_ms"] / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _state(payment: dict[str, Any]) -> str:
    if payment["refunded_at_ms"] is not None:
        return "paid back"
    if payment["refund_asked_at_ms"] is not None:
        return "being paid back"
    return f"not paid back: {payment['refund_error']}" if payment["refund_error"] else "paid"


@payments.command("refund", epilog=example("comfygate payments refund CHARGE"))
def payments_refund(
    ctx: typer.Context,
    charge: Annotated[str, typer.Argument(help="The charge, as 'payments list' shows it.")],
    as_json: AsJson = False,
) -> None:
    """Take a payment's credits back and have Telegram give back its stars; the running bot asks for that."""
    answer = ask(ctx, "payments.refund", charge=charge)
    if as_json:
        print_json(answer)
    else:
        say(f"{answer['credits']} credits were taken back; Telegram is asked for {answer['stars']} stars.")
