"""The command `comfygate`: hands the concrete parts to the command line, each loaded when it is used."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from comfygate.app import logs
from comfygate.cli.command import execute
from comfygate.cli.findings import Finding
from comfygate.cli.services import House, Services
from comfygate.settings import Settings

# ruff: noqa: PLC0415 - database and web framework take a second to load; most commands need neither


async def perform(settings: Settings, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Open the store for one operation. Raises as `opened` and the operation do."""
    from comfygate.app.wiring import opened
    from comfygate.gate import operate

    async with opened(settings) as ctx:
        return await operate.perform(ctx, operation, arguments, actor="cli")


async def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """See `comfygate.app.serve.serve`."""
    from comfygate.app import serve as service

    await service.serve(settings, announce)


@contextlib.asynccontextmanager
async def hosted(settings: Settings) -> AsyncIterator[House]:
    """See `comfygate.app.serve.hosted`."""
    from comfygate.app import serve as service

    async with service.hosted(settings) as house:
        yield house


async def check_database(settings: Settings) -> Sequence[Finding]:
    """See `comfygate.app.checkup`."""
    from comfygate.app import checkup

    return await checkup.check_database(settings)


async def check_server(settings: Settings, server: Mapping[str, Any]) -> Sequence[Finding]:
    """See `comfygate.app.checkup`."""
    from comfygate.app import checkup

    return await checkup.check_server(settings, server)


async def check_screening(settings: Settings) -> Sequence[Finding]:
    """See `comfygate.app.checkup`."""
    from comfygate.app import checkup

    return await checkup.check_screening(settings)


async def back_up(settings: Settings, file: Path) -> dict[str, Any]:
    """See `comfygate.app.safekeeping`."""
    from comfygate.app import safekeeping

    return await safekeeping.back_up(settings, file)


async def restore(settings: Settings, file: Path, *, force: bool) -> dict[str, Any]:
    """See `comfygate.app.safekeeping`."""
    from comfygate.app import safekeeping

    return await safekeeping.restore(settings, file, force=force)


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine function to its end; on uvloop where there is one (not on Windows)."""

    async def whole() -> Any:
        return await work()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(whole())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


SERVICES = Services(
    perform=perform,
    serve=serve,
    hosted=hosted,
    check_database=check_database,
    check_server=check_server,
    check_screening=check_screening,
    back_up=back_up,
    restore=restore,
    configure_logs=logs.configure,
    run=run,
)


def main() -> None:
    """Run the command line of this process; ends it with the command's exit code."""
    logs.configure("warning", "console")
    sys.exit(execute(SERVICES, sys.argv[1:]))
