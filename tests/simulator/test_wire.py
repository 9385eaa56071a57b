"""Rules of the wire the recording lacks: queue order, isolation of clients, cache, files, limits, jobs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from comfygate.simulator import prompt_queue, serve
from tests.simulator.support import Client, Graph, invert_graph, node, png, ran, simulated

LOW, HIGH = "00000000-0000-4000-8000-000000000001", "ffffffff-0000-4000-8000-000000000001"


async def test_order_is_number_then_prompt_id_and_front_is_last_in_first_out() -> None:
    async with simulated() as (sim, client):
        sim.hold()
        first = await client.submit(invert_graph("first"))
        await sim.started(first)
        late = await client.submit(invert_graph("late"))
        fronts = [await client.submit(invert_graph(name), front=True) for name in ("f1", "f2")]
        await client.submit(invert_graph("high"), HIGH, number=50)
        await client.submit(invert_graph("low"), LOW, number=50)
        sim.release()
        await sim.finished(HIGH)
    assert sim.executed == [first, fronts[1], fronts[0], late, LOW, HIGH]


async def test_clear_empties_what_waits_and_spares_what_runs() -> None:
    async with simulated() as (sim, client):
        sim.hold()
        running, waiting = await client.submit(invert_graph()), await client.submit(invert_graph())
        await sim.started(running)
        assert (await client.call("POST", "/queue", json={"clear": True, "delete": ["unknown"]}))[0] == 200
        _, info = await client.call("GET", "/prompt")
        assert info == {"exec_info": {"queue_remaining": 1}}
        sim.release()
        await sim.finished(running)
        assert await client.history(waiting) == {}


async def test_events_go_to_their_client_and_status_to_all() -> None:
    async with simulated() as (sim, client), client.listen("a") as a, client.listen("b") as b:
        prompt_id = await client.submit(invert_graph(), client_id="a")
        await sim.finished(prompt_id)
        await a.barrier()
        await b.barrier()
    assert "executed" in a.types()
    assert set(b.types()) == {"status"}


async def test_a_prompt_of_nobody_tells_its_states_to_everybody() -> None:
    """As ComfyUI does (read): progress_state has no addressee then, so a client must look at prompt_id."""
    async with simulated() as (sim, client), client.listen("a") as a:
        await sim.finished(await client.submit(invert_graph()))
        await a.barrier()
    assert set(a.types()) == {"status", "progress_state"}


async def test_a_new_socket_of_the_running_client_is_told_the_node() -> None:
    async with simulated() as (sim, client):
        sim.hold()
        prompt_id = await client.submit(invert_graph(), client_id="a")
        await sim.node_started(prompt_id, "1")
        async with client.listen("a") as a:
            assert (await a.next())["data"] == {"node": "1"}
            sim.release()
            await a.until("executing", node=None)


async def test_the_cache_holds_the_last_graph_only_and_sees_changed_files() -> None:
    async with simulated() as (sim, client):
        graph: Graph = {
            "1": node("LoadImage", image="in.png"),
            "2": node("SaveImage", images=["1", 0], filename_prefix="x"),
        }

        async def cached() -> list[str]:
            prompt_id = await client.submit(graph)
            await sim.finished(prompt_id)
            messages = dict((await client.history(prompt_id))["status"]["messages"])
            nodes: list[str] = messages["execution_cached"]["nodes"]
            return nodes

        await client.upload("in.png", png((1, 1, 1)))
        assert await cached() == []
        assert await cached() == ["1", "2"]
        await client.upload("in.png", png((2, 2, 2)), overwrite="true")
        assert await cached() == []
        await sim.finished(await client.submit(invert_graph()))
        assert await cached() == []
        await client.call("POST", "/free", json={"free_memory": True})
        assert await cached() == []


async def test_history_has_a_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_queue, "HISTORY_ENTRIES_MAX", 2)
    async with simulated() as (sim, client):
        ids = []
        for _ in range(4):
            ids.append(await client.submit(invert_graph()))
            await sim.finished(ids[-1])
        _, history = await client.call("GET", "/history")
        assert list(history) == ids[1:]
        _, latest = await client.call("GET", "/history", params={"max_items": "1"})
        assert list(latest) == ids[-1:]
        await client.call("POST", "/history", json={"clear": True})
        assert (await client.call("GET", "/history"))[1] == {}


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ({"image": ["1"]}, "bad_linked_input"),
        ({"image": ["3", 0]}, "return_type_mismatch"),
        ({"image": ["1", 0], "blur_radius": 99, "sigma": 1.0}, "value_bigger_than_max"),
        ({"image": ["nowhere", 0], "blur_radius": 1, "sigma": 1.0}, "exception_during_inner_validation"),
    ],
)
async def test_bad_graphs_are_refused_by_name(inputs: dict[str, Any], problem: str) -> None:
    graph: Graph = {
        "1": node("EmptyImage", width=8, height=8, batch_size=1, color=0),
        "2": node("ImageBlur", **({"blur_radius": 1, "sigma": 1.0} | inputs)),
        "3": node("PrimitiveString", value="x"),
        "4": node("SaveImage", images=["2", 0], filename_prefix="x"),
    }
    async with simulated() as (_, client):
        status, answer = await client.call("POST", "/prompt", json={"prompt": graph})
    assert status == 400
    assert answer["error"]["type"] == "prompt_outputs_failed_validation"
    assert problem in [one["type"] for one in answer["node_errors"]["2"]["errors"]]


async def test_circles_are_refused() -> None:
    graph: Graph = {
        "1": node("ImageInvert", image=["2", 0]),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("SaveImage", images=["2", 0], filename_prefix="x"),
    }
    async with simulated() as (_, client):
        status, answer = await client.call("POST", "/prompt", json={"prompt": graph})
    assert (status, answer["error"]["type"]) == (400, "prompt_outputs_failed_validation")


async def test_links_to_nowhere_are_refused() -> None:
    graph: Graph = {"3": node("SaveImage", images=["nowhere", 0], filename_prefix="x")}
    async with simulated() as (_, client):
        _, answer = await client.call("POST", "/prompt", json={"prompt": graph})
    assert answer["error"]["details"] == "Exception when validating node: 'nowhere'"


async def test_inputs_nobody_declared_are_ignored() -> None:
    graph = invert_graph()
    graph["1"]["inputs"] |= {"stray": ["3", 0], "other": ["nowhere", 0]}
    graph["9"] = {"class_type": "ImageInvert", "inputs": []}
    async with simulated() as (sim, client):
        assert list((await ran(sim, client, graph))["outputs"]) == ["3"]


async def test_the_same_node_twice_runs_once_and_shows_null() -> None:
    """ComfyUI tells `executed` with no output then (read); a client must bear it."""
    graph = invert_graph() | {
        "4": node("ImageInvert", image=["1", 0]),
        "5": node("ImageBatch", image1=["2", 0], image2=["4", 0]),
        "6": node("SaveImage", images=["5", 0], filename_prefix="twice"),
    }
    async with simulated() as (_, client), client.listen("a") as a:
        prompt_id = await client.submit(graph, client_id="a")
        await a.until("executing", node=None, prompt_id=prompt_id)
    outputs = [one["data"]["output"] for one in a.frames if one["type"] == "executed"]
    assert outputs.count(None) == 1


async def test_a_value_not_in_the_list_is_refused_with_the_list() -> None:
    graph: Graph = {
        "1": node("EmptyImage", width=8, height=8, batch_size=1, color=0),
        "2": node("ImageScaleBy", image=["1", 0], upscale_method="magic", scale_by=1.0),
        "3": node("SaveImage", images=["2", 0], filename_prefix="x"),
    }
    async with simulated() as (_, client):
        _, answer = await client.call("POST", "/prompt", json={"prompt": graph})
    [error] = answer["node_errors"]["2"]["errors"]
    assert error["type"] == "value_not_in_list"
    assert error["details"].startswith("upscale_method: 'magic' not in ['nearest-exact',")


async def test_nothing_outside_the_folders_is_read_or_written() -> None:
    async with simulated() as (sim, client):
        secret = sim.base_dir / "secret.png"
        await asyncio.to_thread(secret.write_bytes, png())
        views = [
            {"filename": "../secret.png"},
            {"filename": "/etc/passwd"},
            {"filename": "x", "type": "root"},
            {"filename": "secret.png", "subfolder": ".."},
            {"filename": "x.png", "subfolder": "/etc"},
        ]
        statuses = [(await client.call("GET", "/view", params=view))[0] for view in views]
        assert statuses == [400, 400, 400, 403, 403]
        assert (await client.upload("x.png", b"x", subfolder="../.."))[0] == 400
        graph: Graph = {
            "1": node("LoadImage", image="../secret.png"),
            "2": node("SaveImage", images=["1", 0], filename_prefix="x"),
        }
        assert (await client.call("POST", "/prompt", json={"prompt": graph}))[0] == 400


async def test_view_serves_ranges() -> None:
    async with simulated() as (_, client):
        where = {"filename": "example.png", "type": "input"}
        _, whole = await client.call("GET", "/view", params=where)
        status, part = await client.call("GET", "/view", params=where, headers={"Range": "bytes=2-5"})
    assert (status, part) == (206, whole[2:6])


async def test_uploads_have_a_limit() -> None:
    async with simulated(upload_bytes_max=1000) as (_, client):
        assert (await client.upload("big.png", b"x" * 5000))[0] == 413


async def test_older_versions_have_no_jobs_api() -> None:
    async with simulated() as (_, client):
        assert (await client.call("GET", "/api/jobs"))[0] == 404
        assert (await client.call("POST", "/api/jobs/x/cancel"))[0] == 405


async def test_the_jobs_api_cancels_one_and_no_other() -> None:
    async with simulated(jobs_api=True) as (sim, client):
        assert (await client.call("POST", "/prompt", json={"prompt": {}, "prompt_id": "X"}))[0] == 400
        sim.hold()
        ids = [await client.submit(invert_graph(name)) for name in ("a", "b", "c")]
        await sim.node_started(ids[0], "1")
        assert await cancelled(client, ids[1]) is True
        assert await cancelled(client, "unknown") is False
        _, listed = await client.call("GET", "/api/jobs")
        assert {one["id"]: one["status"] for one in listed["jobs"]} == {
            ids[0]: "in_progress",
            ids[2]: "pending",
        }
        assert await cancelled(client, ids[0]) is True
        sim.release()
        await sim.finished(ids[2])
        ends = [(await client.call("GET", f"/api/jobs/{one}"))[1].get("status") for one in (ids[0], ids[2])]
        assert ends == ["cancelled", "completed"]
        assert (await client.call("GET", f"/api/jobs/{ids[1]}"))[0] == 404


async def cancelled(client: Client, job_id: str) -> bool:
    status, answer = await client.call("POST", f"/api/jobs/{job_id}/cancel")
    assert status == 200
    return bool(answer["cancelled"])


async def test_serve_runs_until_cancelled() -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(serve(port=0, ready=told.put_nowait))
    url = await asyncio.wait_for(told.get(), 10)
    assert url.startswith("http://127.0.0.1:")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
