"""Six servers that differ: no job lands where it cannot run, what nobody has is refused with the nearest
name, and what only a server that is away has waits for it, saying so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from comfygate.simulator import Simulator
from tests.looking import before_the_next_look
from tests.promises.rig import PATIENCE_SECONDS, Gateway, Json, gateway, plain_graph, settings_for

MODELS = {
    "one": ("base.safetensors",),
    "two": ("base.safetensors", "anime.safetensors"),
    "three": ("anime.safetensors",),
    "four": ("flux.safetensors", "base.safetensors"),
    "five": (),
    "six": ("rare.safetensors",),
}
WITHOUT: dict[str, tuple[str, ...]] = {
    "one": ("ImageBlur",),
    "two": (),
    "three": ("ImageInvert",),
    "four": ("ImageBlur", "ImageInvert"),
    "five": (),
    "six": (),
}


def picture_of(model: str, *, seed: int = 1, then: str | None = None) -> Json:
    """Text to image with a checkpoint, and perhaps one filter."""
    graph: Json = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": model}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a hill", "clip": ["1", 1]}},
        "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 32, "height": 32, "batch_size": 1}},
        "4": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["3", 0],
                "seed": seed, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal",
                "denoise": 1.0,
            },
        },
        "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "out", "images": ["5", 0]}},
    }  # fmt: skip
    if then is not None:
        extra = {"blur_radius": 1, "sigma": 1.0} if then == "ImageBlur" else {}
        graph["6"] = {"class_type": then, "inputs": {"image": ["5", 0], **extra}}
        graph["9"]["inputs"]["images"] = ["6", 0]
    return graph


@contextlib.asynccontextmanager
async def fleet(folder: Path) -> AsyncIterator[dict[str, Simulator]]:
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                Simulator(base_dir=folder / name, models=models, without_nodes=WITHOUT[name])
            )
            for name, models in MODELS.items()
        }


async def known(house: Gateway, *names: str) -> None:
    """Wait until the gateway has asked these servers what they have."""
    ctx = house.house.service.ctx
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not set(names) <= ctx.fleet.classes.keys():
            await before_the_next_look()


async def test_no_job_lands_where_it_cannot_run(tmp_path: Path, database_url: str) -> None:
    wanted: list[tuple[str, str | None]] = [
        (model, then)
        for model in ("base.safetensors", "anime.safetensors", "flux.safetensors", "rare.safetensors")
        for then in (None, "ImageBlur", "ImageInvert")
        if (model, then) not in {("flux.safetensors", "ImageBlur"), ("flux.safetensors", "ImageInvert")}
    ]
    settings = settings_for(tmp_path / "gate", database_url)
    async with fleet(tmp_path) as sims, gateway(settings) as house:
        for name, sim in sims.items():
            await house.add_server(name, sim.url, "image")
        await known(house, *sims)
        ann = await house.add_account("ann", credits=1000)
        jobs = [
            (model, then, await ann.submit(picture_of(model, seed=seed, then=then)))
            for seed in range(4)
            for model, then in wanted
        ]
        for model, then, job_id in jobs:
            ended = await ann.end(job_id)
            assert ended["status"] == "succeeded", ended["error"]
            (attempt,) = (await house.operate("jobs.show", job=job_id))["attempts"]
            assert model in MODELS[attempt["server"]]
            assert then not in WITHOUT[attempt["server"]]
        assert sims["five"].executed == []


async def test_what_nobody_has_is_refused_with_the_nearest_name(tmp_path: Path, database_url: str) -> None:
    async with fleet(tmp_path) as sims, gateway(settings_for(tmp_path / "gate", database_url)) as house:
        for name, sim in sims.items():
            await house.add_server(name, sim.url, "image")
        await known(house, *sims)
        ann = await house.add_account("ann")
        body = {"workflow": picture_of("bass.safetensors")}
        error = (await ann.call("POST", "/api/v2/jobs", status=422, json=body))["error"]
        assert error["code"] == "invalid_workflow"
        assert error["details"]["node_errors"] == {
            "1": [
                {
                    "field": "ckpt_name",
                    "reason": "missing_model: bass.safetensors; the nearest there is: base.safetensors",
                }
            ]
        }
        body = {
            "workflow": plain_graph() | {"3": {"class_type": "ImageQuantize", "inputs": {"image": ["1", 0]}}}
        }
        error = (await ann.call("POST", "/api/v2/jobs", status=422, json=body))["error"]
        assert "unknown_node_class: ImageQuantize" in error["message"]
        # Each has a part of it, none has all.
        body = {"workflow": picture_of("flux.safetensors", then="ImageBlur")}
        error = (await ann.call("POST", "/api/v2/jobs", status=422, json=body))["error"]
        assert "another server has it, and none has all that this workflow needs" in error["message"]
        assert await ann.credits() == (100, 0)


async def test_what_only_a_server_that_is_away_has_waits_for_it(tmp_path: Path, database_url: str) -> None:
    async with fleet(tmp_path) as sims, gateway(settings_for(tmp_path / "gate", database_url)) as house:
        for name in ("one", "six"):
            await house.add_server(name, sims[name].url, "image")
        await known(house, "one", "six")
        ann = await house.add_account("ann")
        await sims["six"].stop()
        waiting = await ann.submit(picture_of("rare.safetensors"))
        assert (await ann.end(await ann.submit(picture_of("base.safetensors"))))["status"] == "succeeded"
        why = await _until_reason(ann, waiting, "no_server_able")
        assert why["reason"].endswith("; one that can is not up")
        assert why["line"]["servers"] == {"unfit": 1, "down": 1}
        told = "\n".join((await house.operate("jobs.why", job=waiting))["why"])
        assert "server one: up; it has no model rare.safetensors, which this job needs" in told
        await sims["six"].start()
        assert (await ann.end(waiting))["status"] == "succeeded"


async def _until_reason(caller: Any, job_id: str, code: str) -> Json:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found: Json = await caller.call("GET", f"/gate/v1/jobs/{job_id}/why")
            if found["code"] == code:
                return found
            await before_the_next_look()


async def test_a_server_that_gets_a_model_takes_its_jobs(tmp_path: Path, database_url: str) -> None:
    settings = settings_for(tmp_path / "gate", database_url, comfy={"object_info_seconds": 0.2})
    async with fleet(tmp_path) as sims, gateway(settings) as house:
        for name in ("one", "six"):
            await house.add_server(name, sims[name].url, "image")
        await known(house, "one", "six")
        ann = await house.add_account("ann")
        await sims["six"].stop()
        waiting = await ann.submit(picture_of("rare.safetensors"))
        await _until_reason(ann, waiting, "no_server_able")
        await asyncio.to_thread(sims["one"].add_models, "rare.safetensors")
        assert (await ann.end(waiting))["status"] == "succeeded"
        (attempt,) = (await house.operate("jobs.show", job=waiting))["attempts"]
        assert attempt["server"] == "one"


async def test_a_job_goes_where_its_model_is_warm(tmp_path: Path, database_url: str) -> None:
    async with fleet(tmp_path) as sims, gateway(settings_for(tmp_path / "gate", database_url)) as house:
        for name in ("two", "four"):
            await house.add_server(name, sims[name].url, "image")
        await known(house, "two", "four")
        ann = await house.add_account("ann")
        for model in ("anime.safetensors", "flux.safetensors"):
            await ann.end(await ann.submit(picture_of(model)))
        for seed in range(2, 8):
            await ann.end(await ann.submit(picture_of("base.safetensors", seed=seed)))
        # Whichever took the first of them has the model now, and takes the others.
        assert sorted(len(sims[name].memory.loads) for name in ("two", "four")) == [1, 2]
