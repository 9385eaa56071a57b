"""A simulator that stamps every prompt: `python -m benchmarks.simulator_process NODE_SECONDS`.

Says its address, then answers lines: `reset`, `wait N` (until N prompts finished since) and `stamps`. Stamps
are nanoseconds of the machine's monotonic clock, the same in every process here.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from comfygate.simulator import Simulator
from comfygate.simulator.journal import Moment

STAMPED = frozenset({"received", "started", "finished"})


class Stamps:
    """When each prompt was received, started and finished."""

    def __init__(self) -> None:
        self._made: list[tuple[str, str, int]] = []
        self._finished = 0
        self._requests = 0
        self._more = asyncio.Event()

    def hear(self, moment: Moment) -> None:
        """A listener of the simulator's journal."""
        self._requests += moment.kind == "request"
        if moment.kind in STAMPED:
            self._made.append((moment.kind, moment.prompt_id, time.monotonic_ns()))
            self._finished += moment.kind == "finished"
            self._more.set()

    async def answer(self, line: str) -> object:
        """What a line asks for."""
        match line.split():
            case ["reset"]:
                self._made, self._finished, self._requests = [], 0, 0
                return {}
            case ["wait", count]:
                while self._finished < int(count):
                    self._more.clear()
                    await self._more.wait()
                return {}
            case _:
                return {"stamps": self._made, "requests": self._requests}


async def main(node_seconds: float) -> None:
    """Until standard input ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with Simulator(node_seconds=node_seconds) as simulator:
        stamps = Stamps()
        simulator.journal.listeners.append(stamps.hear)
        print(json.dumps({"url": simulator.url}), flush=True)
        while line := (await lines.readline()).decode():
            print(json.dumps(await stamps.answer(line)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
