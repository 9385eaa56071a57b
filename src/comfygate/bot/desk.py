"""Answers one update: finds out who wrote what, and hands it to whoever knows what to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from aiogram.types import CallbackQuery, Message, Update, User

from comfygate.bot import account, jobs, operators, ordering, shop
from comfygate.bot.refusals import refusal, suspended
from comfygate.bot.turn import House, Turn
from comfygate.bot.words import Words, language_for
from comfygate.domain.errors import GateError, StoreTrouble
from comfygate.gate import accounts
from comfygate.store import telegram_users as users_store

Command = Callable[[Turn, str], Awaitable[None]]
Pressed = Callable[[Turn, str, Sequence[str]], Awaitable[None]]

INVITED: Final = "ref_"
"""What the argument of /start begins with where somebody was brought by another: then their Telegram id."""

log = structlog.get_logger(__name__)


def _plain(handler: Callable[[Turn], Awaitable[None]]) -> Command:
    async def handle(turn: Turn, _: str) -> None:
        await handler(turn)

    return handle


COMMANDS: Final[Mapping[str, Command]] = {
    "start": _plain(account.start),
    "menu": _plain(ordering.menu),
    "balance": _plain(account.balance),
    "jobs": _plain(jobs.listed),
    "cancel": _plain(jobs.cancel),
    "help": _plain(account.help_),
    "language": _plain(account.language),
    "link": account.link,
    "web": _plain(account.web),
    "topup": _plain(shop.packs),
    "redeem": shop.redeem,
    "checkin": _plain(shop.check_in),
    "paysupport": _plain(shop.pay_support),
}
WITHOUT_TERMS: Final = frozenset({"start", "help", "language", "paysupport"})
"""What may be asked before the terms were accepted."""


async def _job(turn: Turn, verb: str, rest: Sequence[str]) -> None:
    await jobs.pressed(turn, verb, rest[0] if rest else "")


async def _draft(turn: Turn, verb: str, rest: Sequence[str]) -> None:
    await ordering.pressed(turn, verb, rest[0] if rest else "", rest[1:])


async def _menu(turn: Turn, _: str, __: Sequence[str]) -> None:
    await turn.notice()
    await ordering.menu(turn)


async def _terms(turn: Turn, _: str, __: Sequence[str]) -> None:
    await account.accept(turn)


async def _shop(turn: Turn, verb: str, rest: Sequence[str]) -> None:
    if verb == "buy" and len(rest) == 2:
        await shop.invoice(turn, rest[0], rest[1])
        return
    await turn.notice()
    await (shop.redeem(turn, "") if verb == "red" else shop.packs(turn))


async def _review(turn: Turn, verb: str, rest: Sequence[str]) -> None:
    if turn.user.id in turn.house.rules.admins and rest:
        await operators.reviewed(turn, verb, rest[0])
    else:
        await turn.notice(turn.words.plain("order.stale"))


async def _language(turn: Turn, _: str, rest: Sequence[str]) -> None:
    await account.set_language(turn, rest[0] if rest else "")


BUTTONS: Final[Mapping[str, Pressed]] = {
    **dict.fromkeys(("jw", "jc", "jn", "jf", "jr"), _job),
    **dict.fromkeys(("w", "wb", "wp", "s", "sb", "p", "v", "e", "b", "x", "ok"), _draft),
    **dict.fromkeys(("top", "red", "buy"), _shop),
    **dict.fromkeys(("ar", "ax"), _review),
    "m": _menu,
    "t": _terms,
    "l": _language,
}
BUTTONS_WITHOUT_TERMS: Final = frozenset({"t", "l"})


class Desk:
    """Where updates are answered. `username` is the bot's own, for commands in groups."""

    def __init__(self, house: House, username: str) -> None:
        self._house = house
        self._username = username.lower()

    async def answer(self, updates: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """Answer one update, or those of one album together.

        Raises StoreTrouble, to be tried again; every other refusal is told to whoever wrote.
        """
        read = [(number, Update.model_validate(payload)) for number, payload in updates]
        number, first = read[0]
        if first.callback_query is not None:
            await self._pressed(number, first.callback_query)
        elif first.message is not None:
            messages = [one.message for _, one in read if one.message is not None]
            await self._wrote(number, first.message, messages)
        elif first.pre_checkout_query is not None:
            words = self._words(first.pre_checkout_query.from_user, None)
            await shop.check(self._house, first.pre_checkout_query, words)
        elif first.my_chat_member is not None:
            await self._moved(first.my_chat_member.chat.id, first.my_chat_member.new_chat_member.status)

    async def _moved(self, chat_id: int, status: str) -> None:
        """Somebody stopped the bot or let it in again."""
        gone = status in {"kicked", "left"}
        now_ms = self._house.ctx.now_ms()
        await self._house.ctx.store.run(users_store.set_blocked, chat_id, now_ms if gone else None)

    async def _wrote(self, number: int, message: Message, messages: list[Message]) -> None:
        user = message.from_user
        if user is None or user.is_bot:
            return
        if message.chat.id != user.id and not self._house.rules.groups:
            return
        turn = Turn(self._house, number, user, message.chat.id, self._words(user, None), message=message)
        await self._guarded(turn, lambda: self._message(turn, message, messages))

    async def _pressed(self, number: int, query: CallbackQuery) -> None:
        where = query.message
        if where is None:
            return
        turn = Turn(
            self._house,
            number,
            query.from_user,
            where.chat.id,
            self._words(query.from_user, None),
            callback=query,
        )
        await self._guarded(turn, lambda: self._button(turn, query.data or ""))
        await turn.notice()

    async def _message(self, turn: Turn, message: Message, messages: list[Message]) -> None:
        text = message.text or ""
        if message.successful_payment is not None:
            await shop.paid(turn, message.successful_payment)
        elif text.startswith("/"):
            await self._command(turn, text)
        elif not await self._may(turn, without_terms=False):
            return
        elif text:
            await ordering.text_came(turn, text)
        elif turn.private or message.caption:
            await ordering.files_came(turn, messages)

    async def _command(self, turn: Turn, text: str) -> None:
        head, _, argument = text[1:].partition(" ")
        name, _, addressed = head.partition("@")
        if addressed and addressed.lower() != self._username:
            return
        name = name.lower()
        invited = _inviter(argument) if name == "start" else None
        command = COMMANDS.get(name)
        if name == "invite":
            command = self._invite
        elif name in operators.ADMIN and turn.user.id in self._house.rules.admins:
            if await self._may(turn, without_terms=True):
                await operators.command(turn, name, argument.strip())
            return
        if command is None:
            if turn.private and await self._may(turn, without_terms=False):
                await account.help_(turn)
        elif await self._may(turn, without_terms=name in WITHOUT_TERMS, invited_by=invited):
            await command(turn, argument.strip())

    async def _button(self, turn: Turn, data: str) -> None:
        verb, *rest = data.split(":")
        handler = BUTTONS.get(verb)
        if handler is None:
            await turn.notice(turn.words.plain("order.stale"))
        elif await self._may(turn, without_terms=verb in BUTTONS_WITHOUT_TERMS):
            await handler(turn, verb, rest)

    async def _may(self, turn: Turn, *, without_terms: bool, invited_by: int | None = None) -> bool:
        """Find out who it is; whether they may go on: not suspended, and the terms accepted."""
        turn.known = await account.known(self._house, turn.user.id, invited_by)
        turn.words = self._words(turn.user, turn.known.language)
        turn.account = await accounts.get_account(self._house.ctx, turn.known.account_id)
        if turn.account.disabled_at_ms is not None:
            await turn.notice()
            await turn.say(suspended(turn.words, self._house.rules))
            return False
        if turn.known.terms_at_ms is None and not without_terms:
            await account.ask_terms(turn)
            return False
        return True

    async def _guarded(self, turn: Turn, act: Callable[[], Awaitable[None]]) -> None:
        """What is refused is told; trouble of the store is raised, so that nothing is lost."""
        try:
            await act()
        except StoreTrouble:
            raise
        except GateError as error:
            log.info("telegram.refused", code=error.code, update=turn.update_id)
            await turn.notice()
            await turn.say(refusal(turn.words, error))

    async def _invite(self, turn: Turn, _: str) -> None:
        await shop.invite(turn, self._username)

    @staticmethod
    def _words(user: User, chosen: str | None) -> Words:
        return Words(language_for(chosen, user.language_code))


def _inviter(argument: str) -> int | None:
    number = argument.strip().removeprefix(INVITED)
    given = argument.strip().startswith(INVITED) and number.isascii() and number.isdecimal()
    return int(number) if given and len(number) < 16 else None
