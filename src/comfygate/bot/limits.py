"""How fast messages may go out so that Telegram takes them all. Pure: the clock is an argument.

Telegram asks for no more than about one message a second in a chat (short bursts are let through), 20 a
minute in a group and 30 a second over all chats (the FAQ of its Bot API). Each limit is a bucket that fills
steadily and is never overdrawn, so that no window of its length holds more than size + rate x length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ALL_BURST: Final = 5
"""Messages that may leave at once, over all chats."""
IN_FLIGHT_MAX: Final = 5
"""Messages on their way to Telegram at once. What was held up on the way arrives together: with the burst and
a second's rate of 20 that is still no more than 30."""
CHAT_BURST: Final = 4
CHAT_PER_SECOND: Final = 1.0
GROUP_BURST: Final = 10
GROUP_PER_SECOND: Final = 10 / 60
"""With the burst 20 in any 60 seconds."""
CHATS_REMEMBERED_MAX: Final = 10_000


@dataclass(slots=True)
class Bucket:
    """So many messages may leave at once; `per_second` come back."""

    size: float
    per_second: float
    level: float
    at: float

    def ready_at(self, cost: float, now: float) -> float:
        """When `cost` messages may leave; what is larger than the bucket waits for a full one."""
        wanted = min(cost, self.size)
        level = min(self.size, self.level + (now - self.at) * self.per_second)
        return now if level >= wanted else now + (wanted - level) / self.per_second

    def take(self, cost: float, now: float) -> None:
        """`cost` messages leave."""
        self.level = min(self.size, self.level + (now - self.at) * self.per_second) - cost
        self.at = now


class Limits:
    """Telegram's limits for one bot; times in seconds of any steady clock."""

    def __init__(self, per_second: float) -> None:
        self._all = Bucket(ALL_BURST, per_second, ALL_BURST, float("-inf"))
        self._chats: dict[int, Bucket] = {}
        self._held: dict[int | None, float] = {}

    def ready_at(self, chat_id: int, cost: int, now: float, *, spare: bool = False) -> float:
        """The first moment at which `cost` messages may go to the chat, as things stand.

        With `spare` only what the chat has to spare is used: its burst is left to what somebody waits for.
        """
        held = self._held.get(None, now)
        return max(held, self._all.ready_at(cost, now), self.chat_ready_at(chat_id, cost, now, spare=spare))

    def chat_ready_at(self, chat_id: int, cost: int, now: float, *, spare: bool = False) -> float:
        """As `ready_at`, for the chat's own limit alone."""
        chat = self._chat(chat_id, now)
        return max(now, self._held.get(chat_id, now), chat.ready_at(chat.size if spare else cost, now))

    def take(self, chat_id: int, cost: int, now: float) -> None:
        """`cost` messages go to the chat."""
        self._all.take(cost, now)
        self._chat(chat_id, now).take(cost, now)

    def hold(self, chat_id: int | None, until: float) -> None:
        """Telegram wants nothing for this chat (None: at all) before then."""
        self._held[chat_id] = max(until, self._held.get(chat_id, until))

    def _chat(self, chat_id: int, now: float) -> Bucket:
        found = self._chats.get(chat_id)
        if found is None:
            if len(self._chats) >= CHATS_REMEMBERED_MAX:
                self._forget(now)
            # Groups have negative numbers.
            size, rate = (GROUP_BURST, GROUP_PER_SECOND) if chat_id < 0 else (CHAT_BURST, CHAT_PER_SECOND)
            found = self._chats[chat_id] = Bucket(size, rate, size, now)
        return found

    def _forget(self, now: float) -> None:
        """Drop what is as if it had never been: full buckets, and holds that are over."""
        self._chats = {chat: one for chat, one in self._chats.items() if one.ready_at(one.size, now) > now}
        self._held = {chat: until for chat, until in self._held.items() if until > now}
