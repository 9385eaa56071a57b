"""People who write to the bot and press its buttons."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Any

from tests.bot.standin.chats import Chat, Json, Media, Message

if TYPE_CHECKING:
    from tests.bot.standin.api import BotApi

_unique = itertools.count(1)


class Person:
    """Somebody on Telegram."""

    def __init__(self, api: BotApi, person_id: int, name: str, language: str) -> None:
        self.api, self.id, self.name, self.language = api, person_id, name, language

    @property
    def chat(self) -> Chat:
        return self.api.chats[self.id]

    @property
    def _user(self) -> Json:
        return {"id": self.id, "is_bot": False, "first_name": self.name, "language_code": self.language}

    def _message(self, chat: Chat, **body: Any) -> Json:
        kind = "private" if chat.id > 0 else "supergroup"
        name = {"first_name": self.name} if chat.id > 0 else {"title": "Group"}
        return {
            "message_id": self.api.new_message_id(),
            "date": int(time.time()),
            "from": self._user,
            "chat": {"id": chat.id, "type": kind, **name},
            **body,
        }

    def _stored(self, content: bytes) -> str:
        file_id = f"file{next(_unique)}"
        self.api.files[file_id] = content
        return file_id

    async def sends(self, text: str, *, chat: Chat | None = None, **more: Any) -> None:
        """Write a text."""
        chat = chat or self.chat
        chat.said(text if len(text) < 200 else f"{text[:60]}… ({len(text)} characters)")
        body: Json = {"text": text, **more}
        if text.startswith("/"):
            length = len(text.split(" ", 1)[0])
            body["entities"] = [{"type": "bot_command", "offset": 0, "length": length}]
        await self.api.push({"message": self._message(chat, **body)})

    def _photo(self, content: bytes) -> list[Json]:
        file_id = self._stored(content)
        sizes = [(90, 60), (800, 600)]
        return [
            {"file_id": file_id, "file_unique_id": f"{file_id}-{wide}", "width": wide, "height": high,
             "file_size": len(content)}
            for wide, high in sizes
        ]  # fmt: skip

    async def sends_photo(self, content: bytes, caption: str | None = None) -> None:
        """Send a picture as a photo."""
        self.chat.said("(a photo)" + (f" {caption[:60]}" if caption else ""))
        more = {"caption": caption} if caption else {}
        await self.api.push({"message": self._message(self.chat, photo=self._photo(content), **more)})

    async def sends_album(self, contents: list[bytes]) -> None:
        """Send several pictures at once."""
        self.chat.said(f"(an album of {len(contents)} photos)")
        group = f"album{next(_unique)}"
        for content in contents:
            message = self._message(self.chat, photo=self._photo(content), media_group_id=group)
            await self.api.push({"message": message})

    async def sends_file(self, content: bytes, name: str, mime: str) -> None:
        """Send a file."""
        self.chat.said(f"(the file {name})")
        file_id = self._stored(content)
        document = {"file_id": file_id, "file_unique_id": file_id, "file_name": name, "mime_type": mime,
                    "file_size": len(content)}  # fmt: skip
        await self.api.push({"message": self._message(self.chat, document=document)})

    async def sends_sticker(self) -> None:
        """Send a sticker."""
        self.chat.said("(a sticker)")
        sticker = {"file_id": "s", "file_unique_id": "s", "type": "regular", "width": 512, "height": 512,
                   "is_animated": False, "is_video": False}  # fmt: skip
        await self.api.push({"message": self._message(self.chat, sticker=sticker)})

    async def edits(self, text: str) -> None:
        """Change a message of their own."""
        message = self._message(self.chat, text=text, edit_date=int(time.time()))
        await self.api.push({"edited_message": message})

    async def presses(self, data: str, message: Message, *, chat: Chat | None = None) -> None:
        """Press a button with this data, forged or not."""
        query = f"query{next(_unique)}"
        where = (chat or self.chat).id
        self.api.queries[query] = where
        shape = self.api._methods.shape(message)
        body = {"id": query, "from": self._user, "message": shape, "chat_instance": "1", "data": data}
        await self.api.push({"callback_query": body})

    async def taps(self, label: str, seconds: float = 30.0) -> None:
        """Press the button whose label contains this, on the newest message with one, once it is there."""
        message, button = await self.offered(label, seconds)
        self.chat.said(f"(taps [{button['text']}] under {self.chat.number(message.id)})")
        await self.presses(button["callback_data"], message)

    async def offered(self, label: str, seconds: float = 30.0) -> tuple[Message, Json]:
        """Wait for a button whose label contains this."""

        def found() -> tuple[Message, Json] | None:
            for message in reversed(self.chat.messages):
                for row in message.buttons if not message.deleted else ():
                    for button in row:
                        if label in button["text"]:
                            return message, button
            return None

        return await self.chat.until(found, f"a button {label!r}", seconds)

    async def sees(self, text: str, seconds: float = 30.0) -> Message:
        """Wait until a message reads this."""

        def found() -> Message | None:
            there = (one for one in reversed(self.chat.messages) if not one.deleted)
            return next((one for one in there if text in one.plain), None)

        return await self.chat.until(found, f"{text!r}", seconds)

    async def notices(self, text: str, seconds: float = 30.0) -> str:
        """Wait until a notice over the chat reads this."""
        return await self.chat.until(
            lambda: next((one for one in self.chat.notices if text in one), None),
            f"a notice {text!r}",
            seconds,
        )

    async def gets(self, count: int, seconds: float = 30.0) -> list[Media]:
        """Wait until so many files came in all."""

        def found() -> list[Media] | None:
            media = [one for message in self.chat.messages for one in message.media]
            return media if len(media) >= count else None

        return await self.chat.until(found, f"{count} files", seconds)

    async def pays(self, message: Message) -> tuple[bool, str, str]:
        """Pay an invoice: whether the bot agreed, its words if not, and the charge."""
        assert message.invoice is not None
        query = f"checkout{next(_unique)}"
        answer: asyncio.Future[tuple[bool, str]] = asyncio.get_running_loop().create_future()
        self.api.checkouts[query] = answer
        invoice = message.invoice
        asked = {"id": query, "from": self._user, "currency": "XTR", "total_amount": invoice["stars"],
                 "invoice_payload": invoice["payload"]}  # fmt: skip
        await self.api.push({"pre_checkout_query": asked})
        async with asyncio.timeout(30):
            ok, words = await answer
        charge = f"charge{next(_unique)}"
        if ok:
            self.chat.said(f"(pays {invoice['stars']} stars)")
            self.api.charges[charge] = invoice
            await self.pay_again(charge)
        return ok, words, charge

    async def pay_again(self, charge: str) -> None:
        """Telegram tells of the payment (once more)."""
        invoice = self.api.charges[charge]
        payment = {"currency": "XTR", "total_amount": invoice["stars"], "invoice_payload": invoice["payload"],
                   "telegram_payment_charge_id": charge, "provider_payment_charge_id": charge}  # fmt: skip
        await self.api.push({"message": self._message(self.chat, successful_payment=payment)})

    async def blocks(self) -> None:
        """Stop the bot."""
        self.api.blocked.add(self.id)
        member = {"user": {"id": 123456, "is_bot": True, "first_name": "Gate"}}
        await self.api.push(
            {
                "my_chat_member": {
                    "chat": {"id": self.id, "type": "private", "first_name": self.name},
                    "from": self._user,
                    "date": int(time.time()),
                    "old_chat_member": {**member, "status": "member"},
                    "new_chat_member": {**member, "status": "kicked", "until_date": 0},
                }
            }
        )
