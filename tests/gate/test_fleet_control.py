"""Pause, drain and remove as the operator asks for them, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from comfygate.app import opened
from comfygate.domain.errors import NotFound
from comfygate.gate.context import SERVERS, Context, lane_bell
from comfygate.gate.operate import perform
from comfygate.settings import load_settings


@pytest.fixture
async def ctx(tmp_path: Path) -> AsyncIterator[Context]:
    async with opened(load_settings(base_dir=tmp_path, environ={})) as context:
        yield context


async def _named(ctx: Context, what: str, name: str) -> dict[str, Any]:
    listed = await perform(ctx, f"{what}.list", {})
    return next(one for one in listed[what] if one["name"] == name)


async def test_a_lane_is_paused_listed_and_resumed_and_its_loops_are_woken(ctx: Context) -> None:
    bell = ctx.bells.hang(frozenset({lane_bell("video")}))
    paused = await perform(ctx, "lanes.pause", {"lane": "video"})
    assert (paused["state"], paused["depth"]) == ("paused", 0)
    assert bell.is_set()
    assert (await _named(ctx, "lanes", "video"))["paused_at_ms"] == paused["paused_at_ms"]
    assert (await _named(ctx, "lanes", "image"))["state"] == "open"
    bell.clear()
    assert (await perform(ctx, "lanes.resume", {"lane": "video"}))["state"] == "open"
    assert bell.is_set()
    with pytest.raises(NotFound, match="there are image, video"):
        await perform(ctx, "lanes.pause", {"lane": "vidoe"})


async def test_a_server_is_drained_resumed_and_removed(ctx: Context) -> None:
    given = {"name": "gpu1", "url": "http://127.0.0.1:9", "lanes": ["image"]}
    await perform(ctx, "servers.add", given)
    bell = ctx.bells.hang(frozenset({SERVERS}))
    drained = await perform(ctx, "servers.drain", {"name": "gpu1"})
    assert (drained["state"], drained["running"]) == ("draining", 0)
    assert bell.is_set()
    assert (await perform(ctx, "servers.resume", {"name": "gpu1"}))["drained_at_ms"] is None
    assert (await perform(ctx, "servers.remove", {"name": "gpu1"}))["removed"] is True
    assert (await perform(ctx, "servers.list", {}))["servers"] == []
    for gone in ("drain", "resume", "remove"):
        with pytest.raises(NotFound, match="no server is called 'gpu1'"):
            await perform(ctx, f"servers.{gone}", {"name": "gpu1"})
    await perform(ctx, "servers.add", given)
    assert (await _named(ctx, "servers", "gpu1"))["state"] == "unknown"
