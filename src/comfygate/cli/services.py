"""What the command line needs from the parts it may not name: handed in by `comfygate.app`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from comfygate.cli.findings import Finding
from comfygate.settings import Settings

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["json", "console"]


class House(Protocol):
    """A whole gateway running in this process."""

    @property
    def url(self) -> str:
        """How this machine reaches its API."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything concrete, as functions of the settings.

    `perform(settings, operation, arguments)` opens the store itself, for when no service runs.
    `serve(settings, announce)` runs until told to stop and calls `announce(url)` when ready.
    `hosted(settings)` runs a whole service for the length of a block, without touching signals.
    `check_database(settings)`, `check_server(settings, server)` and `check_screening(settings)` look without
    changing anything.
    `back_up(settings, file)` and `restore(settings, file, force=…)` copy the SQLite database out and back in.
    `configure_logs(level, form)` sends every log line to standard error.
    `run(coroutine function)` runs it to its end in the fastest event loop there is.
    """

    perform: Callable[[Settings, str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
    serve: Callable[[Settings, Callable[[str], None]], Awaitable[None]]
    hosted: Callable[[Settings], AbstractAsyncContextManager[House]]
    check_database: Callable[[Settings], Awaitable[Sequence[Finding]]]
    check_server: Callable[[Settings, Mapping[str, Any]], Awaitable[Sequence[Finding]]]
    check_screening: Callable[[Settings], Awaitable[Sequence[Finding]]]
    back_up: Callable[[Settings, Path], Awaitable[dict[str, Any]]]
    restore: Callable[..., Awaitable[dict[str, Any]]]
    configure_logs: Callable[[LogLevel, LogFormat], None]
    run: Callable[[Callable[[], Awaitable[Any]]], Any]
