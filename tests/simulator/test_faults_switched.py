"""Every fault that the command line and the control route can switch, seen on the wire."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from comfygate.simulator import Simulator
from tests.simulator.support import Client, Graph, invert_graph, node, simulated

Event = tuple[str, dict[str, Any]]


async def switch(client: Client, fault: str, **more: Any) -> None:
    """Switch a fault on, over the wire."""
    status, answer = await client.call("POST", "/simulator/faults", json={"fault": fault, **more})
    assert status == 200, answer


async def ended(sim: Simulator, client: Client, graph: Graph | None = None) -> Event:
    """Run a graph (of a fresh colour, so that nothing is cached); the last event in its history."""
    fresh = graph or invert_graph(uuid4().hex, color=uuid4().int % 0xFFFFFF)
    prompt_id = await client.submit(fresh)
    await sim.finished(prompt_id)
    [*_, (event, data)] = (await client.history(prompt_id))["status"]["messages"]
    return event, data


async def test_memory_is_full_until_it_is_freed() -> None:
    async with simulated(switches=["out_of_memory"]) as (sim, client):
        for _ in range(2):
            event, data = await ended(sim, client)
            assert (event, data["exception_type"]) == ("execution_error", "torch.OutOfMemoryError")
            assert data["exception_message"].startswith("Allocation on device 0 would exceed allowed memory.")
            assert "This error means you ran out of memory on your GPU." in data["exception_message"]
        await client.call("POST", "/free", json={"unload_models": True})
        assert (await ended(sim, client))[0] == "execution_error"
        await client.call("POST", "/free", json={"free_memory": True})
        assert (await ended(sim, client))[0] == "execution_success"


async def test_memory_is_full_for_so_many_prompts() -> None:
    async with simulated() as (sim, client):
        await switch(client, "out_of_memory", value=2)
        events = [(await ended(sim, client))[0] for _ in range(3)]
        assert events == ["execution_error", "execution_error", "execution_success"]


@pytest.mark.parametrize("exception_type", ["torch.AcceleratorError", "RuntimeError"])
async def test_a_poisoned_gpu_is_well_after_a_restart_only(exception_type: str) -> None:
    async with simulated() as (sim, client):
        await switch(client, "poisoned_gpu", value=exception_type)
        for _ in range(2):
            event, data = await ended(sim, client)
            assert (event, data["exception_type"]) == ("execution_error", exception_type)
            assert data["exception_message"].startswith("CUDA error: device-side assert triggered\n")
            await client.call("POST", "/free", json={"free_memory": True, "unload_models": True})
        assert (await client.call("POST", "/simulator/restart"))[0] == 200
        assert (await ended(sim, client))[0] == "execution_success"


async def test_a_full_disk_stops_saving_and_uploads_alone() -> None:
    async with simulated(switches=["full_disk"]) as (sim, client):
        event, data = await ended(sim, client)
        assert (event, data["node_type"]) == ("execution_error", "SaveImage")
        assert data["exception_type"] == "OSError"
        assert data["exception_message"] == "[Errno 28] No space left on device\n"
        assert (await client.upload("a.png", b"bytes"))[0] == 500
        await client.call("DELETE", "/simulator/faults")
        assert (await client.upload("a.png", b"bytes"))[0] == 200
        assert (await ended(sim, client))[0] == "execution_success"


async def test_a_lie_in_node_errors_drops_an_output() -> None:
    async with simulated() as (sim, client):
        await switch(client, "lie_in_node_errors", times=1)
        graph = invert_graph() | {"4": node("SaveImage", images=["1", 0], filename_prefix="b")}
        status, answer = await client.call("POST", "/prompt", json={"prompt": graph})
        assert (status, list(answer["node_errors"])) == (200, ["4"])
        await sim.finished(answer["prompt_id"])
        entry = await client.history(answer["prompt_id"])
        assert (list(entry["outputs"]), entry["prompt"][4]) == (["3"], ["3"])
        assert entry["status"]["status_str"] == "success"
        assert (await ended(sim, client))[0] == "execution_success"


async def test_the_end_is_told_twice_and_happens_once() -> None:
    async with simulated(switches=["tell_twice"]) as (sim, client), client.listen("me") as listener:
        prompt_id = await client.submit(invert_graph(), client_id="me")
        for _ in range(2):
            await listener.until("executing", node=None, prompt_id=prompt_id)
        assert listener.types().count("execution_success") == 2
        assert sim.executed == [prompt_id]


async def test_an_answer_comes_late_and_the_work_is_done() -> None:
    async with simulated() as (sim, client):
        await switch(client, "answer_late", value=30, path="/prompt", times=1)
        prompt_id = str(uuid4())
        late = asyncio.create_task(client.submit(invert_graph(), prompt_id))
        await sim.finished(prompt_id)
        assert not late.done()
        assert await client.history(prompt_id) != {}
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)


async def test_an_answer_comes_after_its_delay() -> None:
    async with simulated(switches=["answer_late=0.05"]) as (_, client):
        loop = asyncio.get_running_loop()
        begun = loop.time()
        assert (await client.call("GET", "/queue"))[0] == 200
        assert loop.time() - begun >= 0.05


async def test_an_answer_never_comes_and_the_work_is_done() -> None:
    async with simulated(switches=["answer_never=/prompt"]) as (sim, client):
        prompt_id = str(uuid4())
        body = {"prompt": invert_graph(), "prompt_id": prompt_id}
        with pytest.raises(TimeoutError):
            await client.call("POST", "/prompt", json=body, timeout=aiohttp.ClientTimeout(total=0.3))
        await sim.finished(prompt_id)
        assert (await client.call("GET", "/queue"))[0] == 200


async def test_an_answer_is_cut_and_the_work_is_done() -> None:
    async with simulated() as (sim, client):
        await switch(client, "answer_cut", path="/prompt", times=1)
        prompt_id = str(uuid4())
        with pytest.raises(aiohttp.ClientError):
            await client.submit(invert_graph(), prompt_id)
        await sim.finished(prompt_id)


async def test_a_status_is_answered_and_the_work_is_not_done() -> None:
    async with simulated() as (sim, client):
        await switch(client, "answer_status", value=502, path="/prompt", times=1)
        assert (await client.call("POST", "/prompt", json={"prompt": invert_graph()}))[0] == 502
        assert (await ended(sim, client))[0] == "execution_success"
        assert len(sim.executed) == 1


async def test_sockets_are_cut_at_once_and_at_events() -> None:
    async with simulated() as (sim, client), client.listen("me") as listener:
        await switch(client, "drop_sockets")
        with pytest.raises(ConnectionError):
            await listener.next()
        async with client.listen("again") as again:
            await client.submit(invert_graph(), client_id="again")
            with pytest.raises(ConnectionError):
                await again.until("executing", node=None)
        await client.call("DELETE", "/simulator/faults")
        assert (await ended(sim, client))[0] == "execution_success"


async def test_sockets_fall_silent_and_speak_again() -> None:
    async with simulated() as (sim, client), client.listen("me") as listener:
        await switch(client, "silence_sockets")
        async with client.http.ws_connect(f"{client.url}/ws", params={"clientId": "you"}) as silent:
            prompt_id = await client.submit(invert_graph(), client_id="me")
            await sim.finished(prompt_id)
            with pytest.raises(TimeoutError):
                await silent.receive(timeout=0.05)
        await client.call("DELETE", "/simulator/faults")
        again = await client.submit(invert_graph("again"), client_id="me")
        await listener.until("executing", node=None, prompt_id=again)
    assert not any(frame["data"].get("prompt_id") == prompt_id for frame in listener.frames)


async def test_a_node_class_hangs_until_the_faults_are_cleared() -> None:
    async with simulated(switches=["hang=ImageInvert"]) as (sim, client):
        prompt_id = await client.submit(invert_graph())
        await sim.node_started(prompt_id, "2")
        await client.call("POST", "/interrupt", json={"prompt_id": prompt_id})
        _, queue = await client.call("GET", "/queue")
        assert len(queue["queue_running"]) == 1
        await client.call("DELETE", "/simulator/faults")
        await sim.finished(prompt_id)


async def test_a_node_class_fails() -> None:
    async with simulated(switches=["fail_node=ImageInvert"]) as (sim, client):
        event, data = await ended(sim, client)
        assert (event, data["node_id"], data["exception_type"]) == ("execution_error", "2", "RuntimeError")


async def test_the_server_restarts_under_a_prompt() -> None:
    async with simulated() as (sim, client), client.listen("me") as listener:
        sim.hold()
        await switch(client, "restart", times=1)
        prompt_id = await client.submit(invert_graph(), client_id="me")
        with pytest.raises(ConnectionError):
            await listener.until("never")
        sim.release()
        assert (await ended(sim, client))[0] == "execution_success"
        assert await client.history(prompt_id) == {}
        assert sim.executed[0] == prompt_id


async def test_a_chance_repeats_with_its_seed() -> None:
    async def run(seed: int) -> list[str]:
        async with simulated(switches=["fail_node=SaveImage:0.5"], seed=seed) as (sim, client):
            return [(await ended(sim, client))[0] for _ in range(12)]

    first = await run(1)
    assert set(first) == {"execution_error", "execution_success"}
    assert await run(1) == first
    assert await run(2) != first


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({"fault": "gremlins"}, "drop_sockets, silence_sockets, tell_twice"),
        ({"fault": "hang", "chance": 2}, "chance"),
        ({"fault": "hang", "when": "now"}, "when"),
        ({"fault": "out_of_memory", "value": "0"}, "out_of_memory=0"),
        ({"fault": "answer_late", "value": "soon"}, "soon"),
        ({"fault": "answer_status", "value": 200}, "200"),
        ([], "drop_sockets"),
    ],
)
async def test_what_no_fault_has_is_refused(said: Any, names: str) -> None:
    async with simulated() as (_, client):
        status, answer = await client.call("POST", "/simulator/faults", json=said)
        assert status == 400
        assert names in answer["error"]
        _, now = await client.call("GET", "/simulator/faults")
        assert (now["faults"], now["memory_full"], now["gpu_poisoned"]) == ([], False, False)


async def test_state_tells_what_ran_and_who_touched_what() -> None:
    async with simulated() as (sim, client):
        sim.hold()
        running, waiting = (
            await client.submit(invert_graph(), client_id="me"),
            await client.submit(invert_graph()),
        )
        await sim.node_started(running, "1")
        headers = {"User-Agent": "meddler"}
        await client.call("POST", "/queue", json={"delete": [waiting, str(uuid4())]}, headers=headers)
        await client.call("POST", "/interrupt", json={"prompt_id": str(uuid4())}, headers=headers)
        await client.call("POST", "/interrupt", json={"prompt_id": running}, headers=headers)
        await sim.finished(running)
        await client.call("POST", "/history", json={"delete": [running, waiting]}, headers=headers)
        await client.call("POST", "/simulator/restart")
        sim.release()
        _, state = await client.call("GET", "/simulator/state")
        assert (state["executed"], state["accepted"]) == ([running], {running: 1, waiting: 1})
        assert (state["finished"], state["clients"][running]) == ({running: 1}, "me")
        touched = [(one["kind"], one["prompt_id"], one["by"]["agent"]) for one in state["touched"]]
        assert touched == [
            ("dequeued", waiting, "meddler"),
            ("interrupted", running, "meddler"),
            ("history-deleted", running, "meddler"),
        ]
        assert sim.requests[0].path == "/prompt"


async def test_the_control_routes_are_for_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with simulated() as (_, client):
        monkeypatch.setattr(aiohttp.web.BaseRequest, "remote", "192.0.2.7")
        for method, path in [("GET", "/simulator/state"), ("POST", "/simulator/restart")]:
            assert (await client.call(method, path))[0] == 404
        assert (await client.call("GET", "/queue"))[0] == 200


async def test_the_journal_file_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    async with simulated(journal_path=path) as (sim, client):
        first = await client.submit(invert_graph(), client_id="me")
        await sim.finished(first)
        await client.call("POST", "/history", json={"delete": [first]})
        await sim.restart()
    async with simulated(journal_path=path) as (sim, client):
        second = await client.submit(invert_graph())
        await sim.finished(second)
    lines = [json.loads(line) for line in (await asyncio.to_thread(path.read_text)).splitlines()]
    assert [(line["kind"], line.get("prompt_id")) for line in lines] == [
        ("process-started", None),
        ("received", first),
        ("started", first),
        ("finished", first),
        ("history-deleted", first),
        ("restarted", None),
        ("process-started", None),
        ("received", second),
        ("started", second),
        ("finished", second),
    ]
    assert lines[1]["origin"]["client_id"] == "me"
    assert [line["at_ms"] for line in lines] == sorted(line["at_ms"] for line in lines)
