"""The simulator answers and tells what the recorded ComfyUI 0.3.64 answered and told, scenario by scenario.

Compared are statuses, content types, whole JSON bodies and whole frames in their order. Made equal on both
sides: clock, paths, random temp names, stack frames, and the order ComfyUI leaves to its hash seed (`plain`).
Where the recording shows requests racing with the worker, status frames are compared apart, repeats counted
once. In video_success that seed decided which output ran first, so there the order is compared node by node.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import aiohttp
import pytest

from tests.simulator.replay import RECONNECT, RECORDED, Replayed, plain, replay_all
from tests.simulator.support import invert_graph, simulated

SCENARIOS = [name for name in RECORDED if name != RECONNECT]
RACING = {"same_prompt_id_submitted_twice", "interrupt_running_with_pending_of_another_client"}
HASH_ORDERED = {"video_success"}
Played = tuple[dict[str, Replayed], str]


@pytest.fixture(scope="module")
def played() -> Played:
    """The whole recording, replayed once."""
    return asyncio.run(replay_all())


def test_all_thirteen_scenarios_are_covered() -> None:
    assert len(SCENARIOS) == 12
    assert RECONNECT in RECORDED


@pytest.mark.parametrize("name", SCENARIOS)
def test_answers(played: Played, name: str) -> None:
    replayed, base = played
    for recorded, got in zip(RECORDED[name]["http"], replayed[name].answers, strict=True):
        what = f"{name}: {recorded['method']} {recorded['path']}"
        assert got.status == recorded["status"], what
        if recorded["content_type"]:
            assert got.content_type == recorded["content_type"], what
        for header in recorded["headers"].keys() - {"Content-Length"}:
            assert got.headers.get(header) == recorded["headers"][header], what
        if "response_text" in recorded:
            assert got.body == recorded["response_text"], what
        elif recorded["path"] == "/system_stats":
            assert shape(got.body) == shape(recorded["response_json"]), what
        elif "response_json" in recorded:
            assert plain(got.body, base) == plain(recorded["response_json"]), what
        else:
            assert bool(got.body) == bool(recorded["response_len"]), what


@pytest.mark.parametrize("name", SCENARIOS)
def test_frames(played: Played, name: str) -> None:
    replayed, base = played
    want = [plain(one["json"]) for one in RECORDED[name]["ws"]]
    got = [plain(one, base) for one in replayed[name].frames]
    if name in HASH_ORDERED:
        assert [one["type"] for one in got] == [one["type"] for one in want]
        assert by_node(got) == by_node(want)
    elif name in RACING:
        assert without_status(got) == without_status(want)
        assert queue_lengths(got) == queue_lengths(want)
    else:
        assert got == want


async def test_reconnect_with_the_same_client_id() -> None:
    """The old socket's clean-up removes the new one, which then hears nothing though it is open."""
    recorded = RECORDED[RECONNECT]
    async with simulated() as (sim, client):
        url = f"{client.url}/ws?clientId=same"
        old = await client.http.ws_connect(url)
        old_types = [(await old.receive_json())["type"]]
        async with client.http.ws_connect(url, autoping=False) as new:
            new_types = [(await new.receive_json())["type"]]
            await old.close()
            prompt_id = await client.submit(invert_graph(), client_id="same")
            await sim.finished(prompt_id)
            async with client.listen("another") as other:
                await other.barrier()
            await new.ping()
            after = await new.receive(timeout=10)
        history = await client.history(prompt_id)
    assert (old_types, new_types) == (recorded["ws_old"], recorded["ws_new"])
    assert after.type is aiohttp.WSMsgType.PONG
    assert history["status"]["status_str"] == recorded["history_status"]


def shape(value: Any) -> Any:
    """Keys and types only."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    return type(value).__name__


def without_status(frames: list[Any]) -> list[Any]:
    """Frames about prompts."""
    return [one for one in frames if one["type"] != "status"]


def queue_lengths(frames: list[Any]) -> list[int]:
    """`queue_remaining` in order, repeats once."""
    lengths = [
        one["data"]["status"]["exec_info"]["queue_remaining"] for one in frames if one["type"] == "status"
    ]
    return [length for length, _ in itertools.groupby(lengths)]


def by_node(frames: list[Any]) -> dict[str, list[Any]]:
    """What was told of each node, in order."""
    told: dict[str, list[Any]] = {}
    for one in frames:
        data = one["data"]
        if one["type"] == "progress_state":
            for node_id, state in data["nodes"].items():
                mine = told.setdefault(node_id, [])
                if state not in mine:
                    mine.append(state)
        elif data.get("node"):
            told.setdefault(data["node"], []).append(one)
    return told
