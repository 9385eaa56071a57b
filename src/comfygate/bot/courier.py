"""Brings messages to Telegram: edits as often as it takes, what cannot be taken back at most once.

An edit may be repeated without harm. A new message may not: it is written down before it is sent and again
when it arrived. Between the two lies the one doubt there is (the process died, the connection broke after
the request had left), and what is in doubt is never sent again by itself: a result in doubt is offered by a
button.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import Any

import aiohttp
import structlog
from aiogram import Bot
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import TelegramMethod
from aiogram.types import Message

from comfygate.bot.pacer import Haste, Pacer
from comfygate.gate.context import Context
from comfygate.store import telegram_inbox as inbox_store
from comfygate.store import telegram_users as users_store

RETRIES_MAX = 5
"""Tries of one message that surely did not arrive; after these the caller comes back later."""
BACKOFF_SECONDS = 1.0
RETRY_AFTER_SECONDS_MAX = 600
REQUEST_SECONDS = 60
"""How long one answer of Telegram may take; a large upload takes longer."""
UPLOAD_SECONDS = 600

log = structlog.get_logger(__name__)


class Fate(Enum):
    """What became of a message."""

    ARRIVED = "arrived"
    DOUBT = "doubt"
    """It may have arrived."""
    REFUSED = "refused"
    """Telegram does not take it as it is."""
    GONE = "gone"
    """There is nobody or nothing there any more."""
    LATER = "later"
    """It did not arrive; Telegram cannot be reached now."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a message, its number where it arrived, and Telegram's words where it was refused."""

    fate: Fate
    message_id: int | None = None
    words: str = ""


_GONE = ("chat not found", "message to edit not found", "message can't be edited", "user is deactivated")


class Courier:
    """One bot's way to Telegram."""

    def __init__(self, ctx: Context, bot: Bot, pacer: Pacer) -> None:
        self._ctx = ctx
        self._bot = bot
        self._pacer = pacer

    async def once(
        self,
        key: str,
        chat_id: int,
        method: TelegramMethod[Any],
        *,
        haste: Haste = Haste.ANSWER,
        cost: int = 1,
        upload: bool = False,
    ) -> Delivery:
        """Send something new, at most once for this key, whatever happens."""
        store, now_ms = self._ctx.store, self._ctx.now_ms
        begun = await store.run(inbox_store.begin_sending, key, chat_id, now_ms())
        if begun is not None:
            known = begun.message_id is not None
            return Delivery(Fate.ARRIVED if known else Fate.DOUBT, begun.message_id)
        delivery = await self._deliver(chat_id, method, haste, cost, again=False, upload=upload)
        if delivery.fate is Fate.ARRIVED and delivery.message_id is not None:
            await store.run(inbox_store.end_sending, key, delivery.message_id)
        elif delivery.fate is not Fate.DOUBT:
            await store.run(inbox_store.never_sent, key)
        return delivery

    async def edit(
        self, chat_id: int, method: TelegramMethod[Any], *, haste: Haste = Haste.ANSWER, turn: bool = True
    ) -> Delivery:
        """Change or remove something that is there; done again, it changes nothing.

        Without `turn` the caller has waited for its turn already, or takes something away, which no limit
        counts.
        """
        return await self._deliver(chat_id, method, haste, 1 if turn else 0, again=True)

    async def turn(self, chat_id: int, haste: Haste) -> None:
        """Wait for a turn, so that what is sent then is the newest there is. Call `turn_done` after."""
        await self._pacer.turn(chat_id, haste)

    def turn_done(self) -> None:
        """What the turn was for is sent, or there was nothing to send."""
        self._pacer.done()

    async def quick(self, method: TelegramMethod[Any]) -> bool:
        """An answer that is worth nothing later and that no limit counts; whether Telegram took it."""
        try:
            await self._bot(method, request_timeout=REQUEST_SECONDS)
        except TelegramAPIError as error:
            log.info("telegram.not_answered", method=type(method).__name__, error=type(error).__name__)
            return False
        return True

    async def _deliver(
        self,
        chat_id: int,
        method: TelegramMethod[Any],
        haste: Haste,
        cost: int,
        *,
        again: bool,
        upload: bool = False,
    ) -> Delivery:
        for number in range(RETRIES_MAX):
            counted = await self._counted(chat_id, haste, cost or min(number, 1), upload=upload)
            try:
                answer = await self._ask(method, upload=upload, counted=counted)
            except TelegramRetryAfter as error:
                self._wait_for(chat_id, error.retry_after)
            except TelegramForbiddenError:
                await self._nobody_there(chat_id)
                return Delivery(Fate.GONE)
            except TelegramEntityTooLarge:
                return Delivery(Fate.REFUSED, words="Request Entity Too Large")
            except TelegramBadRequest as error:
                return await self._refused(chat_id, error)
            except (TelegramNetworkError, TelegramServerError) as error:
                if not again and not _surely_not_sent(error):
                    log.warning("telegram.in_doubt", chat=chat_id, method=type(method).__name__)
                    return Delivery(Fate.DOUBT)
                await asyncio.sleep(BACKOFF_SECONDS * 2**number)
            else:
                return Delivery(Fate.ARRIVED, _number_of(answer))
        return Delivery(Fate.LATER)

    async def _ask(self, method: TelegramMethod[Any], *, upload: bool, counted: bool) -> Any:
        try:
            seconds = UPLOAD_SECONDS if upload else REQUEST_SECONDS
            return await self._bot(method, request_timeout=seconds)
        finally:
            if counted:
                self._pacer.done()

    async def _counted(self, chat_id: int, haste: Haste, cost: int, *, upload: bool) -> bool:
        """Wait for a turn, if the message costs one; whether it is to be given back when the answer came."""
        if not cost:
            return False
        await self._pacer.turn(chat_id, haste, cost)
        if upload:
            # It takes as long as it takes, and must not keep answers from people.
            self._pacer.done()
        return not upload

    def _wait_for(self, chat_id: int, seconds: float) -> None:
        """Telegram says how long; whether it means the chat or the bot it does not say, so the chat first."""
        waited = min(seconds, RETRY_AFTER_SECONDS_MAX)
        self._pacer.hold(waited, chat_id)
        log.info("telegram.wait", chat=chat_id, seconds=waited)

    async def _refused(self, chat_id: int, error: TelegramBadRequest) -> Delivery:
        words = error.message
        if "message is not modified" in words:
            return Delivery(Fate.ARRIVED)
        if any(gone in words for gone in _GONE):
            if "chat not found" in words or "deactivated" in words:
                await self._nobody_there(chat_id)
            return Delivery(Fate.GONE, words=words)
        return Delivery(Fate.REFUSED, words=words)

    async def _nobody_there(self, chat_id: int) -> None:
        log.info("telegram.nobody_there", chat=chat_id)
        if chat_id > 0:
            await self._ctx.store.run(users_store.set_blocked, chat_id, self._ctx.now_ms())


def _surely_not_sent(error: TelegramAPIError) -> bool:
    """Whether no connection came about, so that nothing can have left."""
    return isinstance(error.__cause__ or error.__context__, aiohttp.ClientConnectorError)


def _number_of(answer: object) -> int | None:
    """The number of the message, or of an album's first."""
    if isinstance(answer, list) and answer:
        answer = answer[0]
    return answer.message_id if isinstance(answer, Message) else None
