"""What a chat holds: its messages as they stand now, and a transcript of how they came about."""

from __future__ import annotations

import asyncio
import html
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from PIL import Image

T = TypeVar("T")
Json = dict[str, Any]
TAG = re.compile(r"<[^>]+>")


@dataclass
class Media:
    """A file that the bot sent."""

    kind: str
    name: str
    content: bytes

    @property
    def described(self) -> str:
        if self.kind == "photo":
            with Image.open(io.BytesIO(self.content)) as picture:
                return f"photo {picture.width}x{picture.height}"
        return f"{self.kind} {self.name.rpartition('.')[2]}"


@dataclass
class Message:
    """A message of the bot's as it stands."""

    id: int
    chat_id: int
    text: str = ""
    buttons: list[list[Json]] = field(default_factory=list)
    media: list[Media] = field(default_factory=list)
    reply_to: int | None = None
    deleted: bool = False
    edits: int = 0
    invoice: Json | None = None
    formatted: bool = True

    @property
    def plain(self) -> str:
        """Its text as a person reads it."""
        return self.text if not self.formatted else html.unescape(TAG.sub("", self.text))


@dataclass
class Chat:
    """One chat with the bot."""

    id: int
    messages: list[Message] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, found: Callable[[], T | None], what: str, seconds: float = 30.0) -> T:
        """Wait until `found` gives something; what the chat reads otherwise is in the failure."""
        try:
            async with asyncio.timeout(seconds), self.changed:
                while (value := found()) is None:
                    await self.changed.wait()
                return value
        except TimeoutError:
            raise AssertionError(f"never saw {what}; the chat reads:\n" + self.transcript()) from None

    def number(self, message_id: int) -> int:
        """A message's number in this chat's transcript."""
        return self.numbers.setdefault(message_id, len(self.numbers) + 1)

    def said(self, line: str) -> None:
        """Something the person did."""
        self.story.append(f"> {line}")

    def came(self, message: Message, how: str = "") -> None:
        """The bot sent or changed a message."""
        mark = f"[{self.number(message.id)}{f' {how}' if how else ''}]"
        lines = message.plain.splitlines() or [""]
        if message.media:
            lines = [
                f"({' + '.join(one.described for one in message.media)})",
                *(one for one in lines if one),
            ]
        if message.invoice is not None:
            lines = [f"(invoice {message.invoice['title']}: {message.invoice['stars']} stars)"]
        self.story.append("\n".join([f"{mark} {lines[0]}", *(f"    {one}" for one in lines[1:])]))
        for row in message.buttons:
            self.story.append("    " + " ".join(f"[{button['text']}]" for button in row))

    def outcome(self) -> str:
        """What the chat reads at last, message by message, in the order of what they read: for jobs side by
        side, whose messages come in any order."""
        shown = []
        for message in self.messages:
            if not message.deleted:
                one = Chat(self.id)
                one.came(message)
                shown.append("\n".join(one.story).partition("] ")[2])
        return "\n".join(sorted(shown)) + "\n"

    def transcript(self) -> str:
        return "\n".join(self.story) + "\n"
