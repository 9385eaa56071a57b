"""A simulator for people: listens until cancelled and prints nothing; the command line tells what it must."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from comfygate.simulator.simulator import Simulator


async def serve(
    host: str = "127.0.0.1",
    port: int = 8188,
    speed: float = 1.0,
    base_dir: Path | None = None,
    *,
    node_seconds: float = 0.5,
    version: str = "0.3.64",
    steps: bool = True,
    previews: bool = True,
    jobs_api: bool = False,
    switches: Sequence[str] = (),
    seed: int = 0,
    journal_path: Path | None = None,
    models: Sequence[str] = (),
    model_load_seconds: float = 0.0,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Run until cancelled; `ready` gets the URL once it listens. Raises OSError if it cannot listen or write
    its journal, UnknownFaultError for a fault that does not exist.
    """
    simulator = Simulator(
        host=host,
        port=port,
        speed=speed,
        base_dir=base_dir,
        node_seconds=node_seconds,
        version=version,
        steps=steps,
        previews=previews,
        jobs_api=jobs_api,
        switches=switches,
        seed=seed,
        journal_path=journal_path,
        models=models,
        model_load_seconds=model_load_seconds,
    )
    async with simulator:
        if ready is not None:
            ready(simulator.url)
        await asyncio.Event().wait()
