"""What can be switched to go wrong goes wrong exactly so, and only so long."""

from __future__ import annotations

import struct
from io import BytesIO
from uuid import uuid4

import aiohttp
import pytest
from PIL import Image

from tests.simulator.support import Graph, invert_graph, node, simulated


async def test_hold_stops_at_nodes_and_release_lets_go() -> None:
    async with simulated() as (sim, client):
        sim.hold()
        prompt_id = await client.submit(invert_graph())
        await sim.node_started(prompt_id, "1")
        _, queue = await client.call("GET", "/queue")
        assert [one[1] for one in queue["queue_running"]] == [prompt_id]
        assert await client.history(prompt_id) == {}
        sim.release()
        await sim.finished(prompt_id)
        assert (await client.history(prompt_id))["status"]["completed"] is True


async def test_hold_before_history_shows_the_gap_after_success() -> None:
    async with simulated() as (sim, client), client.listen("me") as listener:
        sim.hold(at="history")
        prompt_id = await client.submit(invert_graph(), client_id="me")
        await listener.until("execution_success", prompt_id=prompt_id)
        assert await client.history(prompt_id) == {}
        sim.release()
        await listener.until("executing", node=None, prompt_id=prompt_id)
        assert await client.history(prompt_id) != {}


async def test_interrupt_lands_while_held() -> None:
    async with simulated() as (sim, client), client.listen("me") as listener:
        sim.hold()
        prompt_id = await client.submit(invert_graph(), client_id="me")
        await sim.node_started(prompt_id, "1")
        await client.call("POST", "/interrupt", json={"prompt_id": prompt_id})
        frame = await listener.until("execution_interrupted")
        assert (frame["data"]["node_id"], frame["data"]["executed"]) == ("1", [])
        await sim.finished(prompt_id)
        status = (await client.history(prompt_id))["status"]
        assert (status["status_str"], status["completed"]) == ("error", False)


@pytest.mark.parametrize(("version", "spared"), [("0.3.64", True), ("0.3.56", False)])
async def test_old_versions_interrupt_whatever_runs(version: str, spared: bool) -> None:
    async with simulated(version=version) as (sim, client):
        sim.hold()
        running = await client.submit(invert_graph())
        await sim.node_started(running, "1")
        await client.call("POST", "/interrupt", json={"prompt_id": str(uuid4())})
        sim.release()
        await sim.finished(running)
        assert (await client.history(running))["status"]["completed"] is spared


async def test_a_hanging_node_is_deaf_to_interrupts() -> None:
    async with simulated() as (sim, client):
        sim.hang("ImageInvert")
        prompt_id = await client.submit(invert_graph())
        await sim.node_started(prompt_id, "2")
        await client.call("POST", "/interrupt", json={"prompt_id": prompt_id})
        _, queue = await client.call("GET", "/queue")
        assert len(queue["queue_running"]) == 1
        sim.release()
        await sim.finished(prompt_id)
        [*_, (event, data)] = (await client.history(prompt_id))["status"]["messages"]
        assert (event, data["node_id"]) == ("execution_interrupted", "3")


async def test_error_on_a_class_as_often_as_asked() -> None:
    async with simulated() as (sim, client):
        oom = "torch.OutOfMemoryError"
        sim.error_on("ImageInvert", message="Allocation on device", exception_type=oom, times=1)
        first, second = await client.submit(invert_graph()), await client.submit(invert_graph())
        await sim.finished(first)
        await sim.finished(second)
        [*_, (event, data)] = (await client.history(first))["status"]["messages"]
        assert event == "execution_error"
        assert (data["exception_type"], data["exception_message"]) == (oom, "Allocation on device\n")
        assert data["current_inputs"]["image"][0].startswith("tensor([[[[0.0627, 0.1255, 0.1882]")
        assert (await client.history(second))["status"]["completed"] is True


async def test_outputs_made_before_an_error_stay_in_history() -> None:
    async with simulated() as (sim, client):
        sim.error_on("ImageInvert")
        graph = invert_graph() | {"0": node("SaveImage", images=["1", 0], filename_prefix="early")}
        prompt_id = await client.submit(graph)
        await sim.finished(prompt_id)
        entry = await client.history(prompt_id)
    assert (entry["status"]["status_str"], list(entry["outputs"])) == ("error", ["0"])


async def test_requests_fail_as_told_and_then_no_more() -> None:
    async with simulated() as (sim, client):
        sim.fail_next("/prompt", 503, method="POST")
        assert (await client.call("POST", "/prompt", json={}))[0] == 503
        sim.fail_next("/history", "close", times=2)
        for _ in range(2):
            with pytest.raises(aiohttp.ClientError):
                await client.call("POST", "/history", json={})
        assert (await client.call("POST", "/history", json={}))[0] == 200
        assert (await client.call("GET", "/prompt"))[0] == 200


async def test_a_prompt_can_be_accepted_without_an_answer() -> None:
    async with simulated() as (sim, client):
        sim.fail_next("/prompt", "accept_then_close")
        prompt_id = str(uuid4())
        with pytest.raises(aiohttp.ClientError):
            await client.submit(invert_graph(), prompt_id)
        await sim.finished(prompt_id)
        assert sim.executed == [prompt_id]


async def test_dropped_sockets_end_without_a_farewell() -> None:
    async with simulated() as (sim, client), client.listen("me") as listener:
        assert sim.drop_sockets() == 1
        with pytest.raises(ConnectionError):
            await listener.next()
        assert listener.ws.close_code in {None, 1006}
        async with client.listen("fresh") as fresh:
            prompt_id = await client.submit(invert_graph(), client_id="fresh")
            await fresh.until("executing", node=None, prompt_id=prompt_id)


async def test_silent_sockets_stay_open() -> None:
    async with simulated() as (sim, client), client.listen("me") as listener:
        sim.silence_sockets()
        prompt_id = await client.submit(invert_graph(), client_id="me")
        await sim.finished(prompt_id)
        async with client.listen("other") as other:
            await other.barrier()
        sim.restore_sockets()
        again = await client.submit(invert_graph("again"), client_id="me")
        await listener.until("executing", node=None, prompt_id=again)
    assert not any(frame["data"].get("prompt_id") == prompt_id for frame in listener.frames)


async def test_restart_forgets_all_but_files() -> None:
    async with simulated() as (sim, client), client.listen("me") as listener:
        done = await client.submit(invert_graph())
        await sim.finished(done)
        sim.hold()
        running, pending = await client.submit(invert_graph("b")), await client.submit(invert_graph("c"))
        await sim.started(running)
        await sim.restart()
        sim.release()
        with pytest.raises(ConnectionError):
            await listener.until("never")
        _, queue = await client.call("GET", "/queue")
        assert queue == {"queue_running": [], "queue_pending": []}
        assert [await client.history(one) for one in (done, running, pending)] == [{}, {}, {}]
        _, answer = await client.call("POST", "/prompt", json={"prompt": invert_graph()})
        assert answer["number"] == 0
        await sim.finished(answer["prompt_id"])
        output = (await client.history(answer["prompt_id"]))["outputs"]["3"]
        assert output["images"][0]["filename"] == "out_00002_.png"
    assert sim.executed == [done, running, answer["prompt_id"]]


async def test_stop_and_start_keep_the_port() -> None:
    async with simulated() as (sim, client):
        url = sim.url
        await sim.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.call("GET", "/prompt")
        await sim.start()
        assert sim.url == url
        assert (await client.call("GET", "/prompt"))[0] == 200


async def test_waiting_has_an_end() -> None:
    async with simulated() as (sim, _):
        with pytest.raises(TimeoutError):
            await sim.finished("nobody", timeout_seconds=0.01)


async def test_requests_are_recorded_without_the_prefix() -> None:
    async with simulated() as (sim, client):
        await client.call("POST", "/api/history", json={"delete": ["x"]})
        seen = await sim.requested("POST", "/history")
    assert (seen.json, [one.path for one in sim.requests]) == ({"delete": ["x"]}, ["/history"])


async def test_steps_tell_progress_for_every_frame() -> None:
    async with simulated(steps=True) as (_, client), client.listen("me") as listener:
        prompt_id = await client.submit(frames_graph(), client_id="me")
        await listener.until("executing", node=None, prompt_id=prompt_id)
    told = [frame["data"] for frame in listener.frames if frame["type"] == "progress"]
    assert [(one["node"], one["value"], one["max"]) for one in told] == [("2", n, 4) for n in (1, 2, 3, 4)]
    states = [one["data"]["nodes"]["2"] for one in listener.frames if "2" in one["data"].get("nodes", {})]
    assert [one["value"] for one in states] == [0.0, 1, 2, 3, 4, 4]
    assert listener.binary == []


@pytest.mark.parametrize("with_metadata", [False, True])
async def test_previews_are_jpegs_in_either_form(with_metadata: bool) -> None:
    async with simulated(previews=True) as (_, client), client.listen("me") as listener:
        if with_metadata:
            await listener.ws.send_json(
                {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
            )
            await listener.until("feature_flags")
        prompt_id = await client.submit(frames_graph(), client_id="me")
        await listener.until("executing", node=None, prompt_id=prompt_id)
    assert len(listener.binary) == 4
    event, second = struct.unpack(">II", listener.binary[0][:8])
    assert (event, second == 1) == ((4, False) if with_metadata else (1, True))
    jpeg = listener.binary[0][8 + (second if with_metadata else 0) :]
    with Image.open(BytesIO(jpeg)) as preview:
        assert (preview.format, preview.size) == ("JPEG", (16, 16))


async def test_artificial_time_passes_in_steps_and_can_be_interrupted() -> None:
    slow = simulated(node_seconds=3000.0, node_steps=100_000, steps=True)
    async with slow as (sim, client), client.listen("me") as listener:
        prompt_id = await client.submit(invert_graph(), client_id="me")
        await listener.until("progress", value=2, node="1")
        await client.call("POST", "/interrupt", json={"prompt_id": prompt_id})
        await sim.finished(prompt_id)


async def test_speed_zero_means_no_artificial_time() -> None:
    async with simulated(node_seconds=3000.0, speed=0) as (sim, client):
        await sim.finished(await client.submit(invert_graph()))


def frames_graph() -> Graph:
    return {
        "1": node("EmptyImage", width=16, height=16, batch_size=4, color=255),
        "2": node("SaveWEBM", images=["1", 0], filename_prefix="w", codec="vp9", fps=8.0, crf=32.0),
    }
