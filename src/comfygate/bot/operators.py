"""Operating from the chat: what admins may ask and do; everything that changes something is audited."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from comfygate.bot import broadcasting
from comfygate.bot.keyboards import Button, said
from comfygate.bot.parcels import packed
from comfygate.bot.turn import Turn
from comfygate.bot.words import cut
from comfygate.domain.errors import GateError, InvalidRequest, NotFound
from comfygate.gate import operate
from comfygate.store import reviews as reviews_store
from comfygate.store import telegram_users as users_store
from comfygate.store.rows import AssetRow, HeldOutput

ANSWER_CHARS_MAX: Final = 3500
JOBS_SHOWN: Final = 5

Json = dict[str, Any]


async def _do(turn: Turn, operation: str, **arguments: Any) -> Json:
    """The operation, in this admin's name."""
    return await operate.perform(turn.house.ctx, operation, arguments, actor=f"telegram:{turn.user.id}")


async def _tell(turn: Turn, lines: list[str]) -> None:
    text = turn.words("admin.lines", text=cut("\n".join(lines) or "–", ANSWER_CHARS_MAX))
    await turn.say(text)


async def _account(turn: Turn, given: str) -> str:
    """The account that is meant: by id, name, or Telegram id."""
    if given.isdecimal() and len(given) < 16:
        person = await turn.house.ctx.store.read(users_store.find, int(given))
        if person is not None:
            return person.account_id
    return given


async def stats(turn: Turn, _: str) -> None:
    """Lanes, servers and books at a glance."""
    lanes = (await _do(turn, "lanes.list"))["lanes"]
    servers = (await _do(turn, "servers.list"))["servers"]
    books = await _do(turn, "ledger.audit")
    await _tell(
        turn,
        [
            *(f"{one['name']}: {one['state']}, {one['depth']} queued" for one in lanes),
            f"servers up: {sum(one['state'] == 'up' for one in servers)} of {len(servers)}",
            f"accounts: {books['accounts']}, credits spent: {books['revenue']}",
            f"credits available: {books['available']}, held: {books['held']}",
            "books: balanced" if books["balanced"] else f"books: {len(books['faults'])} faults!",
        ],
    )


async def servers(turn: Turn, _: str) -> None:
    """Every server and how it stands."""
    found = (await _do(turn, "servers.list"))["servers"]
    await _tell(turn, [f"{one['name']}: {one['state']} ({', '.join(one['lanes'])})" for one in found])


async def grant(turn: Turn, argument: str) -> None:
    """`/grant ACCOUNT CREDITS [REASON]`."""
    account, amount, reason = _words(argument, 3, "/grant ACCOUNT CREDITS [REASON]", least=2)
    if not amount.isdecimal() or len(amount) > 15:
        raise InvalidRequest(
            f"credits is {amount!r}: it must be a whole number", details={"field": "credits"}
        )
    # The update's number: done once, even if it has to be answered again after a crash.
    answer = await _do(
        turn,
        "credits.grant",
        account=await _account(turn, account),
        amount=int(amount),
        reason=reason or "granted in the chat",
        reference=f"telegram update {turn.update_id}",
    )
    await _tell(turn, [f"{answer['name']}: {answer['available']} credits"])


async def tier(turn: Turn, argument: str) -> None:
    """`/tier ACCOUNT TIER`."""
    account, wanted = _words(argument, 2, "/tier ACCOUNT TIER")
    answer = await _do(turn, "accounts.tier", account=await _account(turn, account), tier=wanted)
    await _tell(turn, [f"{answer['name']}: {answer['tier']}"])


async def pause(turn: Turn, argument: str) -> None:
    """`/pause LANE`."""
    (lane,) = _words(argument, 1, "/pause LANE")
    await _do(turn, "lanes.pause", lane=lane)
    await _tell(turn, [f"{lane}: paused"])


async def resume(turn: Turn, argument: str) -> None:
    """`/resume LANE`."""
    (lane,) = _words(argument, 1, "/resume LANE")
    await _do(turn, "lanes.resume", lane=lane)
    await _tell(turn, [f"{lane}: open"])


async def find(turn: Turn, argument: str) -> None:
    """`/find JOB or ACCOUNT`."""
    (given,) = _words(argument, 1, "/find JOB|ACCOUNT")
    try:
        job = await _do(turn, "jobs.why", job=given)
    except NotFound:
        account = await _do(turn, "ledger.show", account=await _account(turn, given), limit=JOBS_SHOWN)
        entries = [f"{one['words']}: {one['amount']}" for one in account["entries"]]
        held = f"{account['available']} credits, {account['held']} held"
        await _tell(turn, [f"{account['name']} ({account['tier']}): {held}", *entries])
        return
    await _tell(turn, [f"{job['id']}: {job['status']}", *job["why"]])


async def review(turn: Turn, _: str) -> None:
    """What screening holds, with its pictures behind a veil, to be released or rejected."""
    found = (await _do(turn, "review.list"))["reviews"]
    if not found:
        await turn.say(turn.words("admin.no_review"))
    for one in found[:JOBS_SHOWN]:
        job_id = one["job_id"]
        rows = [
            [
                Button(turn.words.plain("admin.release"), said("ar", job_id)),
                Button(turn.words.plain("admin.reject"), said("ax", job_id)),
            ]
        ]
        await turn.say(turn.words("admin.review", job=job_id, score=f"{one['score']:.2f}"), rows)
        await _show_held(turn, job_id)


async def _show_held(turn: Turn, job_id: str) -> None:
    held = await turn.house.ctx.store.read(reviews_store.outputs_held, job_id)
    assets = [_asset(one) for one in held if one.key is not None]
    parts = packed(assets, turn.house.rules.send_bytes_max)
    for parcel in parts.parcels:
        turn.sends += 1
        key = f"update {turn.update_id} {turn.sends}"
        await turn.house.teller.send_veiled(turn.chat_id, parcel, key)


def _asset(held: HeldOutput) -> AssetRow:
    return AssetRow(
        id=held.asset_id,
        account_id="",
        hash=held.hash,
        key=held.key or "",
        size_bytes=held.size_bytes,
        content_type=held.content_type,
        file_path=None,
        created_at_ms=0,
        expires_at_ms=0,
        name=held.name,
    )


async def reviewed(turn: Turn, verb: str, job_id: str) -> None:
    """A held result is released or rejected."""
    operation = "review.release" if verb == "ar" else "review.reject"
    await _do(turn, operation, job=job_id)
    await turn.reply(turn.words("admin.released" if verb == "ar" else "admin.rejected", job=job_id))


async def broadcast(turn: Turn, argument: str) -> None:
    """`/broadcast [rate=N] TEXT`, `/broadcast stop`, `/broadcast` for how far one is."""
    await _tell(turn, [json.dumps(await broadcasting.asked(turn, argument), ensure_ascii=False)])


def _words(argument: str, most: int, how: str, *, least: int | None = None) -> list[str]:
    """The words of an argument; the last takes the rest. Raises InvalidRequest that says how it goes."""
    words = argument.split(maxsplit=most - 1)
    if len(words) < (least or most):
        raise InvalidRequest(f"write it as: {how}", details={"field": "command"})
    return [*words, *[""] * (most - len(words))]


Admin = Callable[[Turn, str], Awaitable[None]]
ADMIN: Final[Mapping[str, Admin]] = {
    "stats": stats,
    "servers": servers,
    "grant": grant,
    "tier": tier,
    "pause": pause,
    "resume": resume,
    "find": find,
    "review": review,
    "broadcast": broadcast,
}


async def command(turn: Turn, name: str, argument: str) -> None:
    """An admin's command; what is refused is said as the operator reads it."""
    try:
        await ADMIN[name](turn, argument)
    except GateError as error:
        await _tell(turn, [f"{error.code}: {error.message}", error.next_step])
