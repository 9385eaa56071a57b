"""A gateway with a thermometer: `python -m benchmarks.gateway_process BASE_DIR [count]`.

The service as `comfygate serve` runs it, plus a task that wakes every LAG_TICK_SECONDS and notes how late it
was. Says its address, then answers `look` with what it saw since the last one. With `count`, SQL statements
and requests to servers are counted too (which slows it down: for findings, not for figures).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import Engine as SqlEngine
from sqlalchemy import event

from benchmarks.figures import quantile
from comfygate.app import logs
from comfygate.app.main import run
from comfygate.app.serve import serve
from comfygate.settings import load_settings

LAG_TICK_SECONDS = 0.01


class Thermometer:
    """How late the event loop is, and how much is asked of others."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.counts: Counter[str] = Counter()

    async def watch(self) -> None:
        """Until cancelled."""
        clock = time.monotonic
        while True:
            due = clock() + LAG_TICK_SECONDS
            await asyncio.sleep(LAG_TICK_SECONDS)
            self.late.append(max(clock() - due, 0.0))

    def look(self) -> dict[str, Any]:
        """What was seen since the last look; times in seconds."""
        late, self.late = self.late, []
        counts, self.counts = self.counts, Counter()
        return {
            "lag_p50": quantile(late, 0.5),
            "lag_p99": quantile(late, 0.99),
            "lag_max": max(late, default=0.0),
            "counts": dict(counts.most_common()),
        }

    def count(self) -> None:
        """Count SQL statements and HTTP requests from now on."""

        def on_sql(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            self.counts[f"sql {' '.join(statement.split())[:160]}"] += 1

        event.listen(SqlEngine, "before_cursor_execute", on_sql)
        event.listen(SqlEngine, "commit", lambda _conn: self.counts.update(["sql commit"]))
        asked = aiohttp.ClientSession._request  # noqa: SLF001 - every request goes through it

        async def counted(session: aiohttp.ClientSession, method: str, url: Any, **given: Any) -> Any:
            path = re.sub(r"[0-9a-f-]{36}", "ID", str(url).partition("?")[0].split("/", 3)[-1])
            self.counts[f"http {method} /{path}"] += 1
            return await asked(session, method, url, **given)

        aiohttp.ClientSession._request = counted  # type: ignore[method-assign,assignment]  # noqa: SLF001


async def main(base: Path, *, count: bool) -> None:
    """Until told to stop by a signal."""
    settings = load_settings(base_dir=base, environ={})
    logs.configure(settings.log.level, settings.log.format)
    seen = Thermometer()
    if count:
        seen.count()
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)

    async def answer() -> None:
        while await lines.readline():
            print(json.dumps(seen.look()), flush=True)
        os.kill(os.getpid(), signal.SIGTERM)  # whoever started it is gone

    tasks = [asyncio.create_task(seen.watch()), asyncio.create_task(answer())]
    await serve(settings, lambda url: print(json.dumps({"url": url, "pid": os.getpid()}), flush=True))
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    run(lambda: main(Path(sys.argv[1]), count="count" in sys.argv[2:]))
