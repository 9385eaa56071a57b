"""Looking again and again at what rings no bell.

Most of what a test waits for is a signal: an event, a line of a log, a frame. Some things only show in a
table, a folder or a field. Looking without a pause takes the processor from what is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

LOOKS_PER_SECOND: Final = 50.0


async def before_the_next_look() -> None:
    """Let everybody else go on for a moment; the caller's own timeout bounds how often."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0 / LOOKS_PER_SECOND):
            await asyncio.Event().wait()
