"""One update being answered: who wrote, where, in which language, and the ways to answer."""

from __future__ import annotations

from dataclasses import dataclass

from aiogram import Bot
from aiogram.methods import AnswerCallbackQuery, DeleteMessage, EditMessageText, SendMessage
from aiogram.types import CallbackQuery, LinkPreviewOptions, Message, User

from comfygate.bot.courier import Courier, Delivery
from comfygate.bot.keyboards import Rows, keyboard
from comfygate.bot.rules import BotRules
from comfygate.bot.teller import Teller
from comfygate.bot.words import Words, cut
from comfygate.gate.context import Context
from comfygate.store.rows import AccountRow
from comfygate.store.telegram_users import TelegramUser

NOTICE_CHARS_MAX = 200
"""Longest notice that Telegram shows over a chat."""
TEXT_CHARS_MAX = 4096
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


@dataclass(frozen=True, slots=True)
class House:
    """What every answer needs."""

    ctx: Context
    rules: BotRules
    bot: Bot
    courier: Courier
    teller: Teller


@dataclass(slots=True)
class Turn:
    """One update being answered. Sent messages are numbered by it, so that none is sent twice if it has to be
    answered once more after a crash."""

    house: House
    update_id: int
    user: User
    chat_id: int
    words: Words
    message: Message | None = None
    callback: CallbackQuery | None = None
    known: TelegramUser | None = None
    account: AccountRow | None = None
    sends: int = 0
    answered: bool = False

    @property
    def private(self) -> bool:
        """Whether nobody else reads along."""
        return self.chat_id == self.user.id

    @property
    def person(self) -> TelegramUser:
        """Who wrote. Raises AssertionError before they were made known."""
        if self.known is None:
            message = f"Telegram user {self.user.id} is not known yet"
            raise AssertionError(message)
        return self.known

    @property
    def owner(self) -> AccountRow:
        """Their account, as it was when the update came."""
        if self.account is None:
            message = f"Telegram user {self.user.id} has no account yet"
            raise AssertionError(message)
        return self.account

    async def say(self, text: str, rows: Rows = ()) -> int | None:
        """Send a message to the chat; its number, where it arrived."""
        self.sends += 1
        sent: Delivery = await self.house.courier.once(
            f"update {self.update_id} {self.sends}",
            self.chat_id,
            SendMessage(
                chat_id=self.chat_id,
                text=cut(text, TEXT_CHARS_MAX),
                reply_markup=keyboard(rows),
                link_preview_options=NO_PREVIEW,
            ),
        )
        return sent.message_id

    async def show(self, message_id: int, text: str, rows: Rows = ()) -> None:
        """Make a message read something else."""
        await self.house.courier.edit(
            self.chat_id,
            EditMessageText(
                chat_id=self.chat_id,
                message_id=message_id,
                text=cut(text, TEXT_CHARS_MAX),
                reply_markup=keyboard(rows),
                link_preview_options=NO_PREVIEW,
            ),
        )

    async def remove(self, message_id: int) -> None:
        """Take a message of the bot's own away."""
        await self.house.courier.edit(
            self.chat_id, DeleteMessage(chat_id=self.chat_id, message_id=message_id), turn=False
        )

    async def notice(self, text: str = "", *, alert: bool = False) -> None:
        """Answer the pressed button, once; with a short notice if there is one to give."""
        if self.callback is None or self.answered:
            return
        self.answered = True
        await self.house.courier.quick(
            AnswerCallbackQuery(
                callback_query_id=self.callback.id,
                text=cut(text, NOTICE_CHARS_MAX) or None,
                show_alert=alert or None,
            )
        )

    async def reply(self, text: str, rows: Rows = ()) -> None:
        """Answer where it was asked: the message with the pressed button, else a new one."""
        pressed = self.callback.message if self.callback is not None else None
        if pressed is not None:
            await self.notice()
            await self.show(pressed.message_id, text, rows)
        else:
            await self.say(text, rows)
