"""Model loads on a fleet whose servers hold one model at a time, with warm routing off and on."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack

from benchmarks.engines import Engine
from comfygate.app.wiring import started
from comfygate.gate import accounts, fleet_control, operate
from comfygate.gate.context import Context
from comfygate.gate.following import follow
from comfygate.gate.submit import Submission, submit
from comfygate.simulator import Simulator

MODELS = ("one.safetensors", "two.safetensors", "three.safetensors")
SERVERS = 3
JOBS = 90
LOAD_SECONDS = 0.25
LOOK_SECONDS = 0.05


async def measure_warm(engine: Engine) -> list[tuple[str, str, str, str]]:
    """Loads and wall time for the same 90 jobs of three models in random order on three servers."""
    found: dict[bool, tuple[int, float]] = {}
    for warm in (False, True):
        found[warm] = await _run(engine, warm=warm)
    (cold_loads, cold_seconds), (loads, seconds) = found[False], found[True]
    what = f"{JOBS} jobs of {len(MODELS)} models on {SERVERS} servers"
    return [
        (f"{what}, without warm routing", engine.name, f"{cold_loads} loads, {cold_seconds:.1f} s", ""),
        (
            f"{what}, with warm routing",
            engine.name,
            f"{loads} loads, {seconds:.1f} s",
            f"{cold_loads / loads:.1f} times fewer loads, {cold_seconds / seconds:.1f} times faster",
        ),
    ]


async def _run(engine: Engine, *, warm: bool) -> tuple[int, float]:
    dispatch: dict[str, object] = {} if warm else {"warm_window": 0, "warm_wait_seconds": 0}
    with engine.settings(dispatch=dispatch) as settings:
        async with AsyncExitStack() as stack:
            sims = [
                await stack.enter_async_context(Simulator(models=MODELS, model_load_seconds=LOAD_SECONDS))
                for _ in range(SERVERS)
            ]
            ctx = (await stack.enter_async_context(started(settings))).ctx
            made = await accounts.add_account(ctx, "bench", credits=1_000_000)
            await fleet_control.lanes_pause(ctx, "image")
            rng = random.Random(7)  # noqa: S311 - the order of jobs, no secret
            jobs = [
                (await submit(ctx, Submission(made.account.id, _graph(rng.choice(MODELS), seed)))).job.id
                for seed in range(JOBS)
            ]
            for number, sim in enumerate(sims):
                await operate.servers_add(ctx, f"gpu{number}", sim.url, ["image"])
            await _until_known(ctx)
            began = time.monotonic()
            await fleet_control.lanes_resume(ctx, "image")
            await _until_ended(ctx, jobs)
            return sum(len(sim.memory.loads) for sim in sims), time.monotonic() - began


async def _until_known(ctx: Context) -> None:
    while len(ctx.fleet.classes) < SERVERS:  # noqa: ASYNC110 - nobody tells when a server was asked
        await asyncio.sleep(LOOK_SECONDS)


async def _until_ended(ctx: Context, jobs: list[str]) -> None:
    for job_id in jobs:
        async for _event in follow(ctx, job_id, None):
            continue


def _graph(model: str, seed: int) -> dict[str, object]:
    def node(class_type: str, **inputs: object) -> dict[str, object]:
        return {"class_type": class_type, "inputs": inputs}

    return {
        "1": node("CheckpointLoaderSimple", ckpt_name=model),
        "2": node("CLIPTextEncode", text="a hill", clip=["1", 1]),
        "3": node("EmptyLatentImage", width=16, height=16, batch_size=1),
        "4": node(
            "KSampler", model=["1", 0], positive=["2", 0], negative=["2", 0], latent_image=["3", 0],
            seed=seed, steps=1, cfg=1.0, sampler_name="euler", scheduler="normal", denoise=1.0,
        ),
        "5": node("VAEDecode", samples=["4", 0], vae=["1", 2]),
        "6": node("SaveImage", images=["5", 0], filename_prefix="x"),
    }  # fmt: skip
