"""Takes updates in, by asking Telegram or by its calls, and has them answered: in order in each chat."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import structlog
from aiogram import Bot
from aiogram.exceptions import TelegramAPIError, TelegramRetryAfter
from aiogram.methods import GetUpdates
from aiogram.types import Update
from pydantic import ValidationError

from comfygate.bot.desk import Desk
from comfygate.domain.errors import InvalidRequest, StoreTrouble
from comfygate.domain.pace import Pace
from comfygate.gate.context import TELEGRAM, Context, heard
from comfygate.store import telegram_inbox as inbox_store
from comfygate.store.telegram_inbox import KeptUpdate

WANTED: Final = ["message", "callback_query", "pre_checkout_query", "my_chat_member"]
"""Kinds of updates; messages that were edited change nothing."""
LONG_POLL_SECONDS: Final = 25
WAIT_SECONDS: Final = 3.0
"""Before Telegram is asked again after it could not be."""
POLL_SECONDS: Final = 1.0
ALBUM_MS: Final = 1000
"""An album comes as single messages: so long after the newest of them it is taken to be whole."""
READ_MAX: Final = 200
AT_ONCE_MAX: Final = 32
"""Chats that are answered at the same time."""
TRIES_MAX: Final = 3
PER_MINUTE: Final = 90
"""Updates a minute that one person is listened to; what is beyond, but for payments, is not heard."""

log = structlog.get_logger(__name__)
Json = Mapping[str, Any]


class Intake:
    """Writes updates down before anybody relies on their having come."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._pace = Pace()

    async def take(self, updates: Sequence[Json]) -> None:
        """Keep updates as Telegram gives them. Raises InvalidRequest for what is none, and StoreTrouble."""
        kept: list[tuple[int, int, str]] = []
        for payload in updates:
            try:
                update = Update.model_validate(payload)
            except ValidationError as error:
                raise InvalidRequest(
                    f"this is no update of Telegram: {error.error_count()} faults",
                    details={"field": "update"},
                ) from None
            sender, chat = _from(update)
            if chat is None or not self._listens(update, sender):
                continue
            kept.append((update.update_id, chat, json.dumps(payload)))
        if kept:
            await self._ctx.store.run(inbox_store.keep, kept, self._ctx.now_ms())
            self._ctx.bells.ring(TELEGRAM)

    def _listens(self, update: Update, sender: int | None) -> bool:
        """Whether the person is within what one is listened to. Money is always heard of."""
        paying = update.pre_checkout_query is not None or (
            update.message is not None and update.message.successful_payment is not None
        )
        if paying or sender is None:
            return True
        now = asyncio.get_running_loop().time()
        if self._pace.wait_seconds(f"telegram {sender}", PER_MINUTE, now) <= 0:
            return True
        log.debug("telegram.not_heard", sender=sender)
        return False


def _from(update: Update) -> tuple[int | None, int | None]:
    """Who sent an update, and from which chat; no chat for what is of no interest here."""
    if update.message is not None:
        sender = update.message.from_user
        return (sender.id if sender else None), update.message.chat.id
    if update.callback_query is not None:
        where = update.callback_query.message
        return update.callback_query.from_user.id, where.chat.id if where is not None else None
    if update.pre_checkout_query is not None:
        sender = update.pre_checkout_query.from_user
        return sender.id, sender.id
    if update.my_chat_member is not None:
        return update.my_chat_member.from_user.id, update.my_chat_member.chat.id
    return None, None


async def poll(ctx: Context, bot: Bot, intake: Intake) -> None:
    """Ask Telegram for updates until cancelled; what was written down is confirmed by the next question."""
    offset: int | None = None
    while True:
        try:
            found = await bot(
                GetUpdates(offset=offset, timeout=LONG_POLL_SECONDS, allowed_updates=WANTED),
                request_timeout=LONG_POLL_SECONDS + 10,
            )
            payloads = [one.model_dump(mode="json", exclude_none=True, by_alias=True) for one in found]
            await intake.take(payloads)
            if found:
                offset = max(one.update_id for one in found) + 1
        except TelegramRetryAfter as error:
            await asyncio.sleep(error.retry_after)
        except TelegramAPIError as error:
            log.warning("telegram.not_asked", error=type(error).__name__, words=error.message[:200])
            await asyncio.sleep(WAIT_SECONDS)
        except StoreTrouble as error:
            log.warning("telegram.not_kept", error=error.message)
            await asyncio.sleep(WAIT_SECONDS)


class Answering:
    """Has the kept updates answered: chats side by side, each chat in order, albums whole."""

    def __init__(self, ctx: Context, desk: Desk) -> None:
        self._ctx = ctx
        self._desk = desk
        self._busy: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Answer until cancelled."""
        bell = self._ctx.bells.hang(frozenset({TELEGRAM}))
        try:
            while True:
                bell.clear()
                try:
                    wait = await self._round()
                except StoreTrouble as error:
                    log.warning("telegram.inbox_not_read", error=error.message)
                    wait = POLL_SECONDS
                await heard(bell, wait)
        finally:
            self._ctx.bells.remove(bell)
            tasks = list(self._busy.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _round(self) -> float:
        """Begin with every chat that has something and is not busy. Seconds until the next look."""
        wait, skip = POLL_SECONDS, set(self._busy)
        if len(self._busy) >= AT_ONCE_MAX:
            return wait
        found = await self._ctx.store.read(inbox_store.waiting, READ_MAX, skip)
        chats: dict[int, list[KeptUpdate]] = {}
        for one in found:
            chats.setdefault(one.chat_id, []).append(one)
        for chat_id, updates in chats.items():
            if len(self._busy) >= AT_ONCE_MAX:
                break
            together, ready_in = _together(updates, self._ctx.now_ms())
            if ready_in > 0:
                wait = min(wait, ready_in)
                continue
            task = asyncio.create_task(self._answer(together), name=f"telegram chat {chat_id}")
            self._busy[chat_id] = task
            task.add_done_callback(partial(self._free, chat_id))
        return wait

    def _free(self, chat_id: int, _: asyncio.Task[None]) -> None:
        self._busy.pop(chat_id, None)
        self._ctx.bells.ring(TELEGRAM, from_outside=True)

    async def _answer(self, updates: Sequence[KeptUpdate]) -> None:
        ids = [one.update_id for one in updates]
        try:
            await self._desk.answer([(one.update_id, one.payload) for one in updates])
        except StoreTrouble as error:
            log.warning("telegram.answer_waits", update=ids[0], error=error.message)
            await asyncio.sleep(POLL_SECONDS)
            return
        except Exception:
            # A bug over one update is tried TRIES_MAX times, and must not hold up its chat for good.
            log.exception("telegram.answer_broke", update=ids[0])
            if updates[0].tries + 1 < TRIES_MAX:
                await self._ctx.store.run(inbox_store.failed, ids)
                await asyncio.sleep(POLL_SECONDS)
                return
        await self._ctx.store.run(inbox_store.handled, ids, self._ctx.now_ms())


def _together(updates: Sequence[KeptUpdate], now_ms: int) -> tuple[Sequence[KeptUpdate], float]:
    """The first update of a chat, with the rest of its album, and in how many seconds it is whole."""
    album = _album(updates[0])
    if album is None:
        return updates[:1], 0.0
    whole = [one for one in updates if _album(one) == album]
    follows = any(_album(one) != album for one in updates)
    left = max(one.received_at_ms for one in whole) + ALBUM_MS - now_ms
    return whole, 0.0 if follows or left <= 0 else left / 1000


def _album(update: KeptUpdate) -> str | None:
    found: str | None = update.payload.get("message", {}).get("media_group_id")
    return found
