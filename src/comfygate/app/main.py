"""The command `comfygate`: hands the concrete parts to the command line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from comfygate.app import logs
from comfygate.app.checkup import check_database, check_server
from comfygate.app.serve import hosted, serve
from comfygate.app.wiring import opened
from comfygate.cli.command import execute
from comfygate.cli.services import Services
from comfygate.gate import operate
from comfygate.settings import Settings


async def perform(settings: Settings, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Open the store for one operation. Raises as `opened` and the operation do."""
    async with opened(settings) as ctx:
        return await operate.perform(ctx, operation, arguments)


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine function to its end; on uvloop where there is one (not on Windows)."""

    async def whole() -> Any:
        return await work()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(whole())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - it does not exist everywhere
    except ImportError:
        return None
    return uvloop.new_event_loop


SERVICES = Services(
    perform=perform,
    serve=serve,
    hosted=hosted,
    check_database=check_database,
    check_server=check_server,
    configure_logs=logs.configure,
    run=run,
)


def main() -> None:
    """Run the command line of this process; ends it with the command's exit code."""
    logs.configure("warning", "console")
    sys.exit(execute(SERVICES, sys.argv[1:]))
