"""A message of the operator to everybody: slowly, once to each, stopped at a word."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog
from aiogram.methods import SendMessage

from comfygate.bot.courier import Courier, Fate
from comfygate.bot.pacer import Haste
from comfygate.bot.rules import BotRules
from comfygate.bot.turn import Turn
from comfygate.domain.errors import InvalidRequest
from comfygate.gate import audit
from comfygate.gate.context import Context
from comfygate.store import broadcasts as broadcasts_store
from comfygate.store import telegram_users as users_store
from comfygate.store.broadcasts import Broadcast

LOOK_SECONDS: Final = 2.0
PEOPLE_READ: Final = 100
TEXT_CHARS_MAX: Final = 3000

log = structlog.get_logger(__name__)


async def asked(turn: Turn, argument: str) -> dict[str, Any]:
    """Begin a broadcast, stop the one that runs, or say how far it is; the first two are audited."""
    ctx = turn.house.ctx
    running = await ctx.store.read(broadcasts_store.running)
    if argument in {"", "stop"}:
        if running is None:
            return {"broadcast": None}
        if argument == "stop":
            running = await ctx.store.run(broadcasts_store.end, running.id, "stopped", ctx.now_ms())
            await _note(turn, "broadcasts.stop", {"broadcast": running.id})
        return {
            "broadcast": running.id,
            "state": running.state,
            "sent": running.sent,
            "failed": running.failed,
        }
    rate, text = _rate(turn.house.rules, argument)
    begun = await ctx.store.run(broadcasts_store.begin, text, turn.user.id, rate, ctx.now_ms())
    await _note(turn, "broadcasts.begin", {"broadcast": begun.id, "text": text, "per_second": rate})
    return {"broadcast": begun.id, "state": begun.state, "per_second": rate}


def _rate(rules: BotRules, argument: str) -> tuple[int, str]:
    head, _, rest = argument.partition(" ")
    rate, text = rules.broadcast_per_second, argument
    if head.startswith("rate="):
        number = head.removeprefix("rate=")
        if not number.isdecimal() or not 1 <= int(number[:6]) <= rules.messages_per_second:
            raise InvalidRequest(
                f"rate is {number!r}: it must be from 1 to {rules.messages_per_second} messages a second",
                details={"field": "rate"},
            )
        rate, text = int(number), rest
    text = text.strip()
    if not 0 < len(text) <= TEXT_CHARS_MAX:
        raise InvalidRequest(
            f"the text has {len(text)} characters: it must have 1 to {TEXT_CHARS_MAX}",
            details={"field": "text"},
        )
    return rate, text


async def _note(turn: Turn, operation: str, arguments: dict[str, Any]) -> None:
    await audit.record(turn.house.ctx, f"telegram:{turn.user.id}", operation, arguments, None)


async def broadcasting(ctx: Context, courier: Courier) -> None:
    """Send what is being broadcast, until cancelled; after a crash it goes on where it was."""
    while True:
        running = await ctx.store.read(broadcasts_store.running)
        if running is not None:
            await _go_on(ctx, courier, running)
        await asyncio.sleep(LOOK_SECONDS)


async def _go_on(ctx: Context, courier: Courier, running: Broadcast) -> None:
    cursor = running.cursor
    while people := await ctx.store.read(users_store.after, cursor, PEOPLE_READ):
        for person in people:
            cursor = person.telegram_id
            sent = await courier.once(
                f"broadcast {running.id} {cursor}",
                person.chat_id,
                # What an operator writes is text, not HTML.
                SendMessage(chat_id=person.chat_id, text=running.text, parse_mode=None),
                haste=Haste.BROADCAST,
            )
            arrived = sent.fate in {Fate.ARRIVED, Fate.DOUBT}
            if not await ctx.store.run(broadcasts_store.move_on, running.id, cursor, arrived=arrived):
                log.info("telegram.broadcast_stopped", broadcast=running.id)
                return
            await asyncio.sleep(1 / running.per_second)
    ended = await ctx.store.run(broadcasts_store.end, running.id, "done", ctx.now_ms())
    log.info("telegram.broadcast_done", broadcast=ended.id, sent=ended.sent, failed=ended.failed)
