"""A gateway with a thermometer: `python -m benchmarks.gateway_process BASE_DIR [count]`.

The service as `comfygate serve` runs it, plus a task that wakes every LAG_TICK_SECONDS and notes how late it
was. Says its address, then answers `look` with what it saw since the last one. With `count`, SQL statements
and requests to servers are counted too (which slows it down: for findings, not for figures).
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import signal
import sys
import threading
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
STORE_THREADS = "comfygate-"
"""Names of the store's threads begin so."""
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_of_threads() -> dict[str, float]:
    """Processor time so far, in seconds: of the event loop's thread, of the store's, and of all others (the
    interpreter's own, and threads that have ended)."""
    spent = {"loop": 0.0, "store": 0.0}
    for thread in threading.enumerate():
        place = Path(f"/proc/self/task/{thread.native_id}/stat")
        fields = place.read_text(encoding="ascii").rpartition(")")[2].split()
        seconds = sum(map(int, fields[11:13])) / _TICKS
        if thread is threading.main_thread():
            spent["loop"] += seconds
        elif thread.name.startswith(STORE_THREADS):
            spent["store"] += seconds
    return {**spent, "rest": max(time.process_time() - sum(spent.values()), 0.0)}


class Thermometer:
    """How late the event loop is, and how much is asked of others."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.collecting = 0.0
        self._collecting_since = 0.0
        gc.callbacks.append(self._collected)
        self.counts: Counter[str] = Counter()

    def _collected(self, phase: str, _about: dict[str, int]) -> None:
        now = time.thread_time()
        if phase == "start":
            self._collecting_since = now
        else:
            self.collecting += now - self._collecting_since

    async def watch(self) -> None:
        """Until cancelled."""
        clock = time.monotonic
        while True:
            due = clock() + LAG_TICK_SECONDS
            await asyncio.sleep(LAG_TICK_SECONDS)
            self.late.append(max(clock() - due, 0.0))

    def look(self) -> dict[str, Any]:
        """What was seen since the last look, and the processor time since the start; times in seconds.
        What the collector of cycles took is part of the threads' time."""
        late, self.late = self.late, []
        counts, self.counts = self.counts, Counter()
        return {
            "lag_p50": quantile(late, 0.5),
            "lag_p99": quantile(late, 0.99),
            "lag_max": max(late, default=0.0),
            "cpu": {**cpu_of_threads(), "collector": self.collecting},
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
