"""The running bot: one process at a time asks, answers and tells; another takes over where it ends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import PRODUCTION, TelegramAPIServer
from aiogram.enums import ParseMode
from aiogram.exceptions import TelegramAPIError, TelegramUnauthorizedError
from aiogram.methods import DeleteWebhook, GetMe, SetMyCommands, SetWebhook
from aiogram.types import BotCommand

from comfygate.bot.broadcasting import broadcasting
from comfygate.bot.courier import Courier
from comfygate.bot.desk import COMMANDS, Desk
from comfygate.bot.inbox import WANTED, Answering, Intake, poll
from comfygate.bot.limits import Limits
from comfygate.bot.pacer import Pacer, pacing
from comfygate.bot.rules import WEBHOOK_PATH, Account, BotRules
from comfygate.bot.shop import refunds
from comfygate.bot.teller import Teller
from comfygate.bot.turn import House
from comfygate.bot.words import LANGUAGES, Words
from comfygate.domain.errors import SettingsError, StoreTrouble
from comfygate.gate.context import Context
from comfygate.store import leases as leases_store
from comfygate.store import telegram_inbox as inbox_store
from comfygate.store import telegram_orders as orders_store

LEASE: Final = "telegram"
RENEWALS_A_LEASE: Final = 3
WAIT_SECONDS: Final = 5.0
"""Before the bot is begun again after Telegram or the store could not be reached."""
PRUNE_SECONDS: Final = 600.0
KEPT_MS: Final = 7 * 86_400_000
"""How long it is remembered which updates came and what was sent; Telegram keeps updates for a day."""

log = structlog.get_logger(__name__)


def make_bot(account: Account) -> Bot:
    """The client of the Bot API. Its session is to be closed. Raises SettingsError for what is no token."""
    api = TelegramAPIServer.from_base(account.api_url) if account.api_url else PRODUCTION
    try:
        return Bot(
            account.token,
            session=AiohttpSession(api=api),
            default=DefaultBotProperties(parse_mode=ParseMode.HTML),
        )
    except ValueError:
        raise SettingsError("bot.token is not shaped as a token of BotFather: NUMBER:LETTERS") from None


class BotService:
    """The bot of one process."""

    def __init__(self, ctx: Context, rules: BotRules, account: Account) -> None:
        self._ctx = ctx
        self._rules = rules
        self._account = account
        self.intake = Intake(ctx)

    async def run(self) -> None:
        """Be the bot whenever no other process is, until cancelled."""
        while True:
            try:
                if await self._is_ours():
                    await self._lead()
            except (StoreTrouble, TelegramAPIError) as error:
                log.warning("telegram.begins_again", error=type(error).__name__)
            await asyncio.sleep(WAIT_SECONDS if self._ctx.listen_url is None else self._renewal_seconds)

    @property
    def _renewal_seconds(self) -> float:
        return self._ctx.rules.lease_seconds / RENEWALS_A_LEASE

    async def _is_ours(self) -> bool:
        ctx = self._ctx
        if ctx.listen_url is None:
            return True
        return await ctx.store.run(leases_store.take, LEASE, ctx.owner, ctx.lease_ms, ctx.now_ms())

    async def _lead(self) -> None:
        """Be the bot until the lease is lost."""
        bot = make_bot(self._account)
        try:
            me = await bot(GetMe())
            await self._introduce(bot)
            pacer = Pacer(Limits(self._rules.messages_per_second), time.monotonic)
            courier = Courier(self._ctx, bot, pacer)
            teller = Teller(self._ctx, self._rules, courier)
            house = House(self._ctx, self._rules, bot, courier, teller)
            answering = Answering(self._ctx, Desk(house, me.username or ""))
            loops: list[Callable[[], Awaitable[None]]] = [
                teller.run,
                answering.run,
                self._keep_house,
                lambda: refunds(self._ctx, bot),
                lambda: broadcasting(self._ctx, courier),
            ]
            if not self._rules.webhook_url:
                loops.append(lambda: poll(self._ctx, bot, self.intake))
            log.info("telegram.bot_runs", username=me.username, webhook=bool(self._rules.webhook_url))
            async with pacing(pacer):
                await self._while_ours(loops)
        except TelegramUnauthorizedError:
            log.error("telegram.token_refused", hint="set bot.token to the token that BotFather gives")
            await asyncio.sleep(WAIT_SECONDS * 6)
        finally:
            await bot.session.close()

    async def _introduce(self, bot: Bot) -> None:
        """Say where updates are to go, and which commands there are."""
        if self._rules.webhook_url:
            url = f"{self._rules.webhook_url}{WEBHOOK_PATH}"
            await bot(SetWebhook(url=url, secret_token=self._account.secret, allowed_updates=WANTED))
        else:
            await bot(DeleteWebhook())
        for language in LANGUAGES:
            words = Words(language)
            commands = [
                BotCommand(command=name, description=words.plain(f"command.{name}"))
                for name in (*COMMANDS, "invite")
                if words.has(f"command.{name}")
            ]
            code = None if language == LANGUAGES[0] else language
            await bot(SetMyCommands(commands=commands, language_code=code))

    async def _while_ours(self, loops: list[Callable[[], Awaitable[None]]]) -> None:
        """Run the loops; end all of them when one ends or the lease is another's."""
        tasks: list[asyncio.Task[Any]] = [asyncio.ensure_future(loop()) for loop in loops]
        tasks.append(asyncio.create_task(self._renew()))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (error := task.exception()) is not None:
                    log.error("telegram.loop_broke", error=repr(error), exc_info=error)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _renew(self) -> None:
        until = time.monotonic() + self._ctx.rules.lease_seconds
        while time.monotonic() < until:
            await asyncio.sleep(self._renewal_seconds)
            began = time.monotonic()
            with contextlib.suppress(StoreTrouble):
                if not await self._is_ours():
                    return
                until = began + self._ctx.rules.lease_seconds

    async def _keep_house(self) -> None:
        """Forget what is old."""
        while True:
            now_ms = self._ctx.now_ms()
            await self._ctx.store.run(inbox_store.prune, now_ms - KEPT_MS)
            await self._ctx.store.run(orders_store.prune_drafts, now_ms - self._rules.draft_seconds * 1000)
            await asyncio.sleep(PRUNE_SECONDS)
