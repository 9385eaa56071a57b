"""Telegram's limits and errors, as the stand-in keeps them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

TAGS = {"b", "strong", "i", "em", "u", "s", "code", "pre", "a", "tg-spoiler", "blockquote"}


class Refused(Exception):
    """What Telegram answers instead."""

    def __init__(self, code: int, description: str, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.code, self.description, self.retry_after = code, description, retry_after

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"ok": False, "error_code": self.code, "description": self.description}
        if self.retry_after is not None:
            body["parameters"] = {"retry_after": self.retry_after}
        return body


@dataclass
class Windows:
    """Messages in sliding windows: 30 in a second over all, 5 in a second and 90 in a minute in a chat, 20
    in a minute in a group."""

    clock: Callable[[], float]
    all_per_second: int = 30
    chat_per_second: int = 5
    chat_per_minute: int = 90
    group_per_minute: int = 20
    _sent: dict[Any, deque[float]] = field(default_factory=dict)
    breaches: list[tuple[str, int, float]] = field(default_factory=list)

    def count(self, chat_id: int, cost: int) -> None:
        """Count messages. Raises Refused (429) over a limit."""
        rules: list[tuple[str, int | None, float, int, int]] = [("all", None, 1.0, self.all_per_second, cost)]
        if chat_id < 0:
            rules.append(("group", chat_id, 60.0, self.group_per_minute, cost))
        else:
            # An album is one thing to a chat's second.
            rules.append(("chat second", chat_id, 1.0, self.chat_per_second, 1))
            rules.append(("chat minute", chat_id, 60.0, self.chat_per_minute, cost))
        now = self.clock()
        for name, chat, seconds, most, amount in rules:
            times = self._sent.setdefault((name, chat), deque())
            while times and times[0] <= now - seconds:
                times.popleft()
            if len(times) + amount > most:
                self.breaches.append((name, chat_id, now))
                raise Refused(429, "Too Many Requests: retry after 1", max(1, round(seconds / 20)))
        for name, chat, _, _, amount in rules:
            self._sent[name, chat].extend([now] * amount)


class Entities(HTMLParser):
    """Telegram's HTML; refuses what it refuses."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in TAGS:
            raise Refused(
                400, f'Bad Request: can\'t parse entities: Unsupported start tag "{tag}" at byte offset 0'
            )
        self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            raise _unparsed("Unmatched end tag at byte offset 0")

    def handle_data(self, data: str) -> None:
        self.text += data


def _unparsed(words: str) -> Refused:
    return Refused(400, f"Bad Request: can't parse entities: {words}")


def checked_text(text: str, most: int = 4096) -> None:
    """Refuse a text that Telegram would not take."""
    parser = Entities()
    parser.feed(text)
    parser.close()
    if parser.stack:
        raise _unparsed(f"Can't find end tag corresponding to {parser.stack[-1]}")
    if not parser.text.strip():
        raise Refused(400, "Bad Request: message text is empty")
    if len(parser.text) > most:
        kind = "message" if most == 4096 else "message caption"
        raise Refused(400, f"Bad Request: {kind} is too long")


def checked_buttons(rows: list[list[dict[str, Any]]]) -> None:
    """Refuse buttons that Telegram would not take."""
    for row in rows:
        for button in row:
            if len(str(button.get("callback_data", "")).encode()) > 64:
                raise Refused(400, "Bad Request: BUTTON_DATA_INVALID")
            if not button.get("text"):
                raise Refused(400, "Bad Request: text buttons are unallowed in the inline keyboard")
