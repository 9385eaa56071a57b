"""The methods of the Bot API that a bot calls, done to the stand-in's chats."""

# ruff: noqa: N802 - the methods are called what Telegram calls them

from __future__ import annotations

import html
import json
import time
from typing import TYPE_CHECKING, Any

from tests.bot.standin.chats import Json, Media, Message
from tests.bot.standin.limits import Refused, checked_buttons, checked_text

if TYPE_CHECKING:
    from tests.bot.standin.api import BotApi

PHOTO_BYTES_MAX = 10 * 1024 * 1024
FILE_BYTES_MAX = 50 * 1024 * 1024
DOWNLOAD_BYTES_MAX = 20 * 1024 * 1024
BOT = {"id": 123456, "is_bot": True, "first_name": "Gate", "username": "gate_bot"}
TOO_OLD = "Bad Request: query is too old and response timeout expired or query ID is invalid"
MEDIA = {"sendPhoto": "photo", "sendVideo": "video", "sendDocument": "document", "sendAudio": "audio"}


class Methods:
    """One method a name; each gets the call's parameters and gives `result`."""

    def __init__(self, api: BotApi) -> None:
        self.api = api

    async def call(self, name: str, given: Json) -> Any:
        method = getattr(self, f"on_{name}", None)
        if name in MEDIA:
            return await self._media(given, [(MEDIA[name], given[MEDIA[name]])])
        if method is None:
            raise Refused(404, "Not Found: method not found")
        return await method(given)

    async def on_getMe(self, given: Json) -> Json:
        return {
            **BOT,
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }

    async def on_setMyCommands(self, given: Json) -> bool:
        self.api.commands[given.get("language_code", "")] = json.loads(given["commands"])
        return True

    async def on_deleteWebhook(self, given: Json) -> bool:
        self.api.webhook = None
        return True

    async def on_setWebhook(self, given: Json) -> bool:
        self.api.set_webhook(given["url"], given.get("secret_token", ""))
        return True

    async def on_getUpdates(self, given: Json) -> list[Json]:
        return await self.api.updates_from(int(given.get("offset", 0)), float(given.get("timeout", 0)))

    async def on_getFile(self, given: Json) -> Json:
        file_id = given["file_id"]
        content = self.api.files.get(file_id)
        if content is None:
            raise Refused(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
        if len(content) > DOWNLOAD_BYTES_MAX:
            raise Refused(400, "Bad Request: file is too big")
        return {
            "file_id": file_id,
            "file_unique_id": file_id,
            "file_size": len(content),
            "file_path": f"f/{file_id}",
        }

    async def on_sendChatAction(self, given: Json) -> bool:
        return True

    async def on_sendMessage(self, given: Json) -> Json:
        chat_id = self._chat(given)
        formatted = given.get("parse_mode") == "HTML"
        checked_text(given.get("text", "") if formatted else html.escape(given.get("text", "")))
        self.api.windows.count(chat_id, 1)
        message = self._new(chat_id, given)
        message.text, message.formatted = given["text"], formatted
        return await self._came(message)

    async def on_editMessageText(self, given: Json) -> Json:
        message = self._message(given)
        checked_text(given["text"])
        buttons = _buttons(given)
        if message.text == given["text"] and message.buttons == buttons:
            raise Refused(
                400,
                "Bad Request: message is not modified: specified new message content and reply markup are"
                " exactly the same as a current content and reply markup of the message",
            )
        self.api.windows.count(message.chat_id, 1)
        message.text, message.buttons = given["text"], buttons
        message.edits += 1
        return await self._came(message, "now")

    async def on_deleteMessage(self, given: Json) -> bool:
        try:
            message = self._message(given)
        except Refused:
            raise Refused(400, "Bad Request: message to delete not found") from None
        message.deleted = True
        chat = self.api.chats[message.chat_id]
        chat.story.append(f"[{chat.number(message.id)} is taken away]")
        await chat.tell()
        return True

    async def on_answerCallbackQuery(self, given: Json) -> bool:
        query = self.api.queries.pop(given["callback_query_id"], None)
        if query is None:
            raise Refused(
                400, "Bad Request: query is too old and response timeout expired or query ID is invalid"
            )
        text = given.get("text", "")
        if len(text) > 200:
            raise Refused(400, "Bad Request: MESSAGE_TOO_LONG")
        chat = self.api.chats[query]
        if text:
            chat.notices.append(text)
            chat.story.append(f"! {text}")
        await chat.tell()
        return True

    async def on_sendInvoice(self, given: Json) -> Json:
        chat_id = self._chat(given)
        prices = json.loads(given["prices"])
        if given["currency"] != "XTR" or len(prices) != 1 or given.get("provider_token"):
            raise Refused(400, "Bad Request: STARS_INVOICE_INVALID")
        if not 1 <= len(given["payload"].encode()) <= 128:
            raise Refused(400, "Bad Request: INVOICE_PAYLOAD_INVALID")
        self.api.windows.count(chat_id, 1)
        message = self._new(chat_id, given)
        message.invoice = {"title": given["title"], "stars": prices[0]["amount"], "payload": given["payload"]}
        return await self._came(message)

    async def on_answerPreCheckoutQuery(self, given: Json) -> bool:
        answer = self.api.checkouts.get(given["pre_checkout_query_id"])
        if answer is None:
            raise Refused(
                400, "Bad Request: query is too old and response timeout expired or query ID is invalid"
            )
        ok = str(given["ok"]).lower() == "true"
        answer.set_result((ok, given.get("error_message", "")))
        return True

    async def on_refundStarPayment(self, given: Json) -> bool:
        charge = given["telegram_payment_charge_id"]
        if charge not in self.api.charges:
            raise Refused(400, "Bad Request: CHARGE_NOT_FOUND")
        if charge in self.api.refunds:
            raise Refused(400, "Bad Request: CHARGE_ALREADY_REFUNDED")
        self.api.refunds.append(charge)
        for chat in self.api.chats.values():
            await chat.tell()
        return True

    async def on_sendMediaGroup(self, given: Json) -> list[Json]:
        media = json.loads(given["media"])
        if not 2 <= len(media) <= 10:
            raise Refused(400, "Bad Request: wrong number of media in the album")
        kinds = {one["type"] for one in media}
        if not (kinds <= {"photo", "video"} or len(kinds) == 1):
            raise Refused(400, "Bad Request: media of these types can't be mixed in an album")
        parts = [(one["type"], given[one["media"].removeprefix("attach://")]) for one in media]
        first = await self._media(given, parts)
        return [{**first, "message_id": first["message_id"] + index} for index in range(len(parts))]

    async def _media(self, given: Json, parts: list[tuple[str, Any]]) -> Json:
        chat_id = self._chat(given)
        media = []
        for kind, part in parts:
            name, content = given[part.removeprefix("attach://")] if isinstance(part, str) else part
            if len(content) > (PHOTO_BYTES_MAX if kind == "photo" else FILE_BYTES_MAX):
                raise Refused(413, "Request Entity Too Large")
            media.append(Media(kind, name, content))
        for one in media:
            if one.kind == "photo":
                _checked_photo(one)
        self.api.windows.count(chat_id, len(media))
        message = self._new(chat_id, given)
        message.media = media
        self.api.next_message += len(media) - 1
        return await self._came(message)

    def _chat(self, given: Json) -> int:
        chat_id = int(given["chat_id"])
        if chat_id not in self.api.chats:
            raise Refused(400, "Bad Request: chat not found")
        if chat_id in self.api.blocked:
            raise Refused(403, "Forbidden: bot was blocked by the user")
        return chat_id

    def _message(self, given: Json) -> Message:
        chat_id, message_id = self._chat(given), int(given["message_id"])
        for message in self.api.chats[chat_id].messages:
            if message.id == message_id and not message.deleted:
                return message
        raise Refused(400, "Bad Request: message to edit not found")

    def _new(self, chat_id: int, given: Json) -> Message:
        buttons = _buttons(given)
        checked_buttons(buttons)
        reply = json.loads(given["reply_parameters"])["message_id"] if "reply_parameters" in given else None
        return Message(self.api.new_message_id(), chat_id, buttons=buttons, reply_to=reply)

    async def _came(self, message: Message, how: str = "") -> Json:
        chat = self.api.chats[message.chat_id]
        if not how:
            chat.messages.append(message)
        chat.came(message, how)
        await chat.tell()
        return self.shape(message)

    def shape(self, message: Message) -> Json:
        """The message as Telegram describes it."""
        kind = "private" if message.chat_id > 0 else "supergroup"
        chat: Json = {"id": message.chat_id, "type": kind}
        chat["title" if message.chat_id < 0 else "first_name"] = "Chat"
        body: Json = {"message_id": message.id, "date": int(time.time()), "chat": chat, "from": BOT}
        if message.text:
            body["text"] = message.plain
        return body


def _buttons(given: Json) -> list[list[Json]]:
    markup = json.loads(given["reply_markup"]) if given.get("reply_markup") else {}
    rows: list[list[Json]] = markup.get("inline_keyboard", [])
    return rows


def _checked_photo(media: Media) -> None:
    wide, high = (int(part) for part in media.described.removeprefix("photo ").split("x"))
    if wide + high > 10_000 or max(wide, high) > 20 * min(wide, high):
        raise Refused(400, "Bad Request: PHOTO_INVALID_DIMENSIONS")
