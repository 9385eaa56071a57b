"""The settings that the bot needs, as plain values handed down from `app`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

WEBHOOK_PATH: Final = "/telegram/webhook"
"""Where Telegram calls, below the public address."""


@dataclass(frozen=True, slots=True)
class Pack:
    """Credits that can be bought: so many for so many Telegram Stars."""

    stars: int
    credits: int


@dataclass(frozen=True, slots=True)
class BotRules:
    """How the bot behaves; see `docs/reference/settings.md`, `[bot]`."""

    link_to: Callable[[str], str | None]
    """A signed address of an asset's bytes; None where the service has no public address."""
    admins: frozenset[int] = frozenset()
    tier: str = "regular"
    first_credits: int = 0
    checkin_credits: int = 0
    referral_credits: int = 0
    packs: tuple[Pack, ...] = ()
    terms_url: str = ""
    support: str = ""
    groups: bool = True
    album_max: int = 10
    download_bytes_max: int = 20 * 1024 * 1024
    send_bytes_max: int = 50 * 1024 * 1024
    messages_per_second: int = 20
    broadcast_per_second: int = 10
    progress_seconds: float = 3.0
    draft_seconds: int = 7 * 86_400
    webhook_url: str = ""
    web_url: str = ""
    """Where the service's pages are; '' where it has no public address."""


@dataclass(frozen=True, slots=True)
class Account:
    """The bot's own account at Telegram. `secret` is what Telegram says with its calls."""

    token: str
    api_url: str = ""
    secret: str | None = None

    def __repr__(self) -> str:
        return f"Account(api_url={self.api_url!r})"
