"""What does not succeed is refunded, exactly once, and says why."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from comfygate.simulator import Simulator
from tests.promises.rig import Caller, Gateway, gateway, image_graph, picture, plain_graph, settings_for


async def refunded(house: Gateway, ann: Caller, job_id: str, code: str) -> str:
    """The job must have failed with `code` and one refund; its sentence for the user."""
    job = await ann.end(job_id)
    assert job["status"] == "failed"
    assert job["error"]["code"] == code
    assert job["error"]["traceback"] is None
    assert job["outputs"] == []
    assert await ann.entries(job_id) == ["hold", "release"]
    assert await ann.credits() == (100, 0)
    await house.audit()
    message: str = job["error"]["message"]
    return message


async def test_a_graph_that_comfyui_rejects(house: Gateway, simulator: Simulator) -> None:
    ann = await house.add_account("ann")
    graph = plain_graph()
    graph["1"]["inputs"]["width"] = "wide"
    message = await refunded(house, ann, await ann.submit(graph), "invalid_workflow")
    assert "Node 1 (EmptyImage), input 'width'" in message
    assert simulator.executed == []
    posts = [r for r in simulator.requests if (r.method, r.path) == ("POST", "/prompt")]
    assert len(posts) == 1, "a 400 is never tried again"


async def test_a_node_that_fails(house: Gateway, simulator: Simulator) -> None:
    simulator.error_on("ImageInvert", message="cannot read /srv/comfy/models/x.bin")
    ann = await house.add_account("ann")
    await ann.upload(picture())
    message = await refunded(house, ann, await ann.submit(image_graph()), "node_execution_error")
    assert message == "Node 2 (ImageInvert) failed: cannot read [path]"


async def test_a_server_that_cannot_be_reached_after_retries(house: Gateway, simulator: Simulator) -> None:
    ann = await house.add_account("ann")
    simulator.fail_next("/prompt", 502, times=3, method="POST")
    await refunded(house, ann, await ann.submit(plain_graph()), "server_unreachable")
    posts = [r for r in simulator.requests if (r.method, r.path) == ("POST", "/prompt")]
    assert len(posts) == 3, "once, and two retries"
    assert simulator.executed == []


async def test_a_server_that_comes_back_in_time_costs_no_retry_of_the_user(
    house: Gateway, simulator: Simulator
) -> None:
    ann = await house.add_account("ann")
    simulator.fail_next("/prompt", 502, times=2, method="POST")
    job = await ann.end(await ann.submit(plain_graph()))
    assert job["status"] == "succeeded"
    assert len(simulator.executed) == 1


async def test_an_answer_that_never_came_is_looked_for_not_sent_again(
    house: Gateway, simulator: Simulator
) -> None:
    ann = await house.add_account("ann")
    simulator.fail_next("/prompt", "accept_then_close", method="POST")
    job = await ann.end(await ann.submit(plain_graph()))
    assert job["status"] == "succeeded"
    assert len(simulator.executed) == 1, "ComfyUI runs a prompt_id twice when it is sent twice"


async def test_outputs_that_the_server_drops_make_the_job_fail(house: Gateway, simulator: Simulator) -> None:
    ann = await house.add_account("ann")
    graph = plain_graph()
    graph["8"] = copy.deepcopy(graph["1"])
    graph["8"]["inputs"]["width"] = -1
    graph["9"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "bad", "images": ["8", 0]}}
    message = await refunded(house, ann, await ann.submit(graph), "invalid_workflow")
    assert "Node 8 (EmptyImage)" in message


@pytest.mark.parametrize(
    ("graph", "code"),
    [
        ({}, "invalid_workflow"),
        ({"nodes": [], "links": []}, "workflow_format_ui"),
        ({"1": {"class_type": "NoSuchNode", "inputs": {}}}, "invalid_workflow"),
        ({"1": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}}}, "invalid_workflow"),
        (image_graph("never-uploaded.png"), "missing_asset"),
        (image_graph("../../etc/passwd"), "invalid_workflow"),
        (image_graph({"__type": "core/ASSET", "info": {"id": "nobody"}}), "missing_asset"),
        (image_graph({"__type": "core/ASSET", "info": {}}), "missing_asset"),
    ],
)
async def test_bad_input_is_refused_at_once_and_costs_nothing(
    house: Gateway, graph: dict[str, object], code: str
) -> None:
    ann = await house.add_account("ann")
    refusal = await ann.call("POST", "/api/v2/jobs", status=422, json={"workflow": graph})
    assert refusal["error"]["code"] == code
    assert refusal["error"]["message"]
    assert await ann.credits() == (100, 0)
    assert (await ann.call("GET", "/api/v2/jobs"))["jobs"] == []


async def test_too_little_credit_queues_nothing(house: Gateway) -> None:
    poor = await house.add_account("poor", credits=0)
    refusal = await poor.call("POST", "/api/v2/jobs", status=402, json={"workflow": plain_graph()})
    assert refusal["error"]["code"] == "insufficient_credits"
    assert (await poor.call("GET", "/api/v2/jobs"))["jobs"] == []


async def test_the_operators_words_never_reach_the_user(tmp_path: Path) -> None:
    async with (
        gateway(settings_for(tmp_path / "g", comfy={"submit_retries": 0})) as house,
        Simulator(base_dir=tmp_path / "c") as simulator,
    ):
        await house.add_server("one", simulator.url, "image")
        simulator.fail_next("/prompt", 403, method="POST")
        ann = await house.add_account("ann")
        message = await refunded(house, ann, await ann.submit(plain_graph()), "server_refused")
        assert simulator.url not in message
