"""What a refusal reads in a chat: the one table from error codes to texts."""

from __future__ import annotations

from comfygate.bot.rules import BotRules
from comfygate.bot.words import Html, Words
from comfygate.domain.errors import (
    Busy,
    GateError,
    InsufficientCredits,
    PayloadTooLarge,
    Screened,
    ServerTrouble,
    SettingsError,
)

MIB = 1024 * 1024


def refusal(words: Words, error: GateError) -> Html:
    """What the person reads who met this refusal; an operator's trouble is not theirs to read."""
    match error:
        case PayloadTooLarge(details={"size_bytes": int(size), "bytes_max": int(most)}):
            return words("order.too_large", size=_size(size), most=_size(most))
        case Busy():
            return words("error.later", seconds=error.retry_after_seconds or 10)
        case Screened():
            return words("error.screened")
        case InsufficientCredits():
            return words("error.insufficient_credits")
        case ServerTrouble() | SettingsError():
            return words("error.trouble")
        case _:
            return words("error.other", why=error.message)


def suspended(words: Words, rules: BotRules) -> Html:
    """The account may do nothing."""
    if rules.support:
        return words("error.suspended_support", support=rules.support)
    return words("error.suspended")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.1f} MB"
