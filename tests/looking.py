"""Looking again and again at what rings no bell.

Most of what a test waits for is a signal: an event, a line of a log, a frame. Some things only show in a
table, a folder or a field.
"""

from __future__ import annotations

import asyncio
import os


async def before_the_next_look() -> None:
    """Let every other task, thread and process that can go on do so; the caller's own timeout bounds it."""
    await asyncio.to_thread(os.sched_yield)
