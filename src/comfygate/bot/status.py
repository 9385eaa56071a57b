"""What a job's message reads at each moment. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from comfygate.bot.keyboards import Button, Rows, said
from comfygate.bot.words import Html, Words
from comfygate.gate.live import ProgressEvent

BAR_CELLS = 10
NOTICE_CHARS_MAX = 200
"""Longest notice that Telegram shows over a chat."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a job now. `title` in the chat's language; `place` 1 is next, 0 taken by a server;
    `seconds` until its end, likely and at most; credits as of now."""

    job_id: str
    title: str
    price: int
    status: str
    place: int | None = None
    place_cap: int = 1000
    priority_came: bool = False
    again: bool = False
    seconds: tuple[float, float] | None = None
    progress: ProgressEvent | None = None
    error_code: str = ""
    error_words: str = ""
    available: int = 0
    doubtful: int = 0
    """Parts of the result of which nobody knows whether they arrived."""
    links: tuple[tuple[str, str], ...] = ()
    """Names and addresses of what is too large to send; no address where there is none to give."""


def text_of(words: Words, facts: Facts) -> Html:
    """The message, in HTML."""
    lines = [words("job.title", title=facts.title)]
    match facts.status:
        case "queued":
            lines += [_paid(words, facts), *_waiting(words, facts)]
        case "running":
            lines += [_paid(words, facts), *_progress(words, facts)]
        case "canceling":
            lines += [_paid(words, facts), words("job.canceling")]
        case "succeeded":
            lines += _done(words, facts)
        case "failed":
            lines += [words("job.failed", why=failure(words, facts)), _refunded(words, facts)]
        case "canceled":
            lines += [words("job.canceled"), _refunded(words, facts)]
        case _:
            lines += [words("job.expired"), _refunded(words, facts)]
    return Html("\n".join(line for line in lines if line))


def buttons_of(words: Words, facts: Facts) -> Rows:
    """The buttons under it."""
    if facts.status in {"queued", "running"}:
        return [
            [
                Button(words.plain("button.why"), said("jw", facts.job_id)),
                Button(words.plain("button.cancel_job"), said("jc", facts.job_id)),
            ]
        ]
    if facts.status == "succeeded":
        row = [
            Button(words.plain("button.as_files"), said("jf", facts.job_id)),
            Button(words.plain("button.once_more"), said("jn", facts.job_id)),
        ]
        if facts.doubtful:
            row.insert(0, Button(words.plain("button.send_again"), said("jr", facts.job_id)))
        return [row]
    if facts.status in {"failed", "canceled", "expired"}:
        return [[Button(words.plain("button.once_more"), said("jn", facts.job_id))]]
    return []


def failure(words: Words, facts: Facts) -> Html:
    """Why it failed: the house's own sentence in the chat's language where there is one."""
    key = f"failed.{facts.error_code}"
    return (
        words(key, why=facts.error_words) if words.has(key) else words("failed.other", why=facts.error_words)
    )


def _paid(words: Words, facts: Facts) -> Html:
    return words("job.deducted", n=facts.price) if facts.price else words("job.free")


def _refunded(words: Words, facts: Facts) -> Html:
    if not facts.price:
        return words("job.nothing_charged", n=facts.available)
    return words("job.refunded", n=facts.price, balance=facts.available)


def _waiting(words: Words, facts: Facts) -> list[Html]:
    lines = [words("job.again")] if facts.again else []
    if facts.place is None:
        return [*lines, words("job.queued")]
    if facts.place == 0:
        return [*lines, words("job.taken")]
    place = f"{facts.place_cap}+" if facts.place > facts.place_cap else str(facts.place)
    lines.append(words("job.place", place=place))
    if facts.priority_came:
        lines.append(words("job.priority_came"))
    if facts.seconds is not None:
        lines.append(
            words("job.eta", likely=span(words, facts.seconds[0]), most=span(words, facts.seconds[1]))
        )
    return lines


def _progress(words: Words, facts: Facts) -> list[Html]:
    progress = facts.progress
    if progress is None:
        return [words("job.processing")]
    full = min(BAR_CELLS, int(progress.value * BAR_CELLS))
    bar = "▓" * full + "░" * (BAR_CELLS - full)
    line = words("job.progress", bar=bar, percent=int(progress.value * 100))
    if progress.step is not None and progress.steps:
        line = Html(f"{line}{words('job.step', step=progress.step, steps=progress.steps)}")
    return [words("job.processing"), line]


def _done(words: Words, facts: Facts) -> list[Html]:
    lines = [words("job.done")]
    if facts.doubtful:
        lines.append(words("job.doubt", n=facts.doubtful))
    for name, address in facts.links:
        lines.append(
            words("job.link", name=name, address=Html(address.replace("&", "&amp;").replace('"', "&quot;")))
            if address
            else words("job.too_large", name=name)
        )
    spent = words("job.spent", n=facts.price, balance=facts.available)
    return [*lines, spent if facts.price else words("job.was_free", balance=facts.available)]


def span(words: Words, seconds: float) -> str:
    """A time to wait, roughly, in words."""
    if seconds < 60:
        return words.plain(
            "span.seconds", n=max(1, round(seconds / 5) * 5 if seconds > 10 else round(seconds))
        )
    if seconds < 3600:
        return words.plain("span.minutes", n=round(seconds / 60))
    return words.plain("span.hours", n=round(seconds / 3600))
