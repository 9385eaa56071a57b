"""Logs: one line an event on standard error, JSON or for people, and never a secret in it.

Our own events (structlog) and those of libraries (standard logging) end in the same form.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, Literal

import structlog
from structlog.typing import EventDict, Processor

MASK: Final = "(hidden)"
DEPTH_MAX: Final = 6
"""Deepest nesting of a value that is looked into; what lies deeper is masked whole."""

_SECRET_KEY: Final = re.compile(
    r"authorization|api_?-?key|token|passwo?r?d|secret|signature|cookie|credential", re.IGNORECASE
)
_SECRET_TEXT: Final = (
    (re.compile(r"\bcgk_[\w-]{8,}"), "cgk_" + MASK),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), r"\1 " + MASK),
    (re.compile(r"(?i)([?&](?:sig|signature|token|api_key|key|password|secret)=)[^&\s\"']+"), r"\1" + MASK),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"), r"\1" + MASK),
)
QUIET: Final = ("alembic", "asyncio", "uvicorn", "aiohttp", "sqlalchemy", "filelock", "multipart")
"""Libraries heard from only when something is wrong."""


def configure(level: str, form: Literal["json", "console"]) -> None:
    """Send every event of at least `level` (debug, info, warning, error) to standard error."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.UnicodeDecoder(),
    ]
    structlog.configure(
        processors=[*shared, *_final(form)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_final(form)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


def _final(form: Literal["json", "console"]) -> list[Processor]:
    if form == "console":
        # The renderer prints tracebacks itself, so only what is a value can be masked beforehand.
        return [structlog.processors.format_exc_info, redact, structlog.dev.ConsoleRenderer(colors=_colors())]
    return [
        structlog.processors.format_exc_info,
        redact,
        _ordered,
        structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
    ]


def _colors() -> bool:
    return sys.stderr.isatty()


def _ordered(_logger: Any, _method: str, event: EventDict) -> EventDict:
    first = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return {**first, **event}


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Mask what is named like a secret, and what looks like one inside any text."""
    return {key: MASK if _is_secret(key) else _masked(value, 0) for key, value in event.items()}


def _is_secret(key: object) -> bool:
    return isinstance(key, str) and _SECRET_KEY.search(key) is not None


def _masked(value: Any, depth: int) -> Any:
    match value:
        case str():
            for pattern, shown in _SECRET_TEXT:
                value = pattern.sub(shown, value)
            return value
        case bool() | int() | float() | None:
            return value
        case _ if depth >= DEPTH_MAX:
            return MASK
        case Mapping():
            return {
                str(key): MASK if _is_secret(key) else _masked(part, depth + 1) for key, part in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [_masked(part, depth + 1) for part in value]
        case _:
            return _masked(str(value), depth)
