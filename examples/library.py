"""A gate inside your own program, without HTTP: submit with callbacks, as a bot would, and save the result.

    python examples/library.py                                  # with a stand-in for ComfyUI
    python examples/library.py --server http://127.0.0.1:8188   # with a real one, or `comfygate simulate`

The graph is the demo's own: src/comfygate/cli/samples/picture.json.
"""
# ruff: noqa: INP001, T201

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import tempfile
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path

import structlog
from PIL import Image

import comfygate
from comfygate.domain.job import JobError
from comfygate.gate import operate
from comfygate.gate.embedded import Job, Output
from comfygate.settings import load_settings


@contextlib.asynccontextmanager
async def comfyui(url: str | None) -> AsyncIterator[str]:
    """The ComfyUI to use: the one given, else a stand-in that runs for the length of the block."""
    if url is not None:
        yield url
        return
    from comfygate.simulator import Simulator  # noqa: PLC0415 - only where it is needed

    async with Simulator(node_seconds=0.1, steps=True) as simulator:
        yield simulator.url


async def main(base: Path, server: str | None, out: Path) -> None:
    settings = load_settings(base_dir=base)
    graph = json.loads(
        resources.files("comfygate.cli").joinpath("samples/picture.json").read_text(encoding="utf-8")
    )
    photo = base / "photo.png"
    Image.linear_gradient("L").resize((640, 480)).convert("RGB").save(photo)

    async def on_position(job: Job, place: int) -> None:
        print(f"job {job.id}: place {place} in the {job.lane} lane")

    async def on_started(job: Job) -> None:
        print(f"job {job.id}: started")

    async def on_completed(job: Job, outputs: list[Output]) -> None:
        for output in outputs:
            path = out / output.name
            path.write_bytes(await output.read())
            print(f"job {job.id}: made {path} ({output.content_type})")

    async def on_failed(job: Job, error: JobError) -> None:
        print(f"job {job.id}: {error.message} Credits refunded.")

    async with comfyui(server) as url, comfygate.open(settings) as gate:
        await operate.servers_add(gate.ctx, "one", url, ["image", "video"])
        account = await gate.add_account("ann", tier="black_gold", credits=10)
        await gate.submit(
            graph,
            account=account,
            inputs={"photo.png": photo},
            on_position=on_position,
            on_started=on_started,
            on_completed=on_completed,
            on_failed=on_failed,
        )
        await gate.told()
        balance = await gate.balance(account)
        print(f"credits left: {balance.available}, held: {balance.held}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--server", help="address of a ComfyUI; without it a stand-in is started")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the result")
    given = parser.parse_args()
    # Logs are the program's own affair; here only trouble is shown.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="comfygate-example-") as folder:
        asyncio.run(main(Path(folder), given.server, given.out))
