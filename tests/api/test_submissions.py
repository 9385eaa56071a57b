"""What a submission may be: bodies, graphs, references, limits, keys; and that a refusal costs nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from comfygate.simulator import Simulator
from tests.api.house import Client, Gateway, file_graph, image_graph, node, png, reference

NEVER = "00000000-0000-4000-8000-000000000000"
JOBS = "/api/v2/jobs"


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[Client]:
    """An account with 10 credits, on each engine."""
    async with gateway.client(await gateway.add_account(credits=10)) as ann:
        yield ann


async def refused(client: Client, answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error, after a look that it cost nothing and queued nothing."""
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert await client.entries() == [("grant", 10)]
    assert await client.balance() == (10, 0)
    assert (await client.http.get(JOBS)).json()["jobs"] == []
    error: dict[str, Any] = answer.json()["error"]
    assert error["message"]
    return error


BAD_BODIES = [
    (b"", "invalid_request", "JSON"),
    (b"nonsense", "invalid_request", "JSON"),
    (b"\xff\xfe\xfd", "invalid_request", "UTF-8"),
    (b"[]", "invalid_request", "object"),
    (b"null", "invalid_request", "object"),
    (b"{}", "invalid_request", "workflow"),
    (b'{"workflow": {}, "workflow": {}}', "invalid_request", "twice"),
    (b'{"workflow": {"1": {"class_type": "X", "inputs": {"a": 1, "a": 2}}}}', "invalid_request", "twice"),
    (b'{"workflow": {"1": {"inputs": {"a": NaN}}}}', "invalid_request", "NaN"),
    (b'{"workflow": {"1": {"inputs": {"a": -Infinity}}}}', "invalid_request", "Infinity"),
    (b'{"workflow": {"1": {"class_type": "X", "inputs": {"a": 1e999}}}}', "invalid_workflow", "JSON"),
    (b'{"workflow": ' + b"1" * 5000 + b"}", "invalid_request", "JSON"),
    (b'{"workflow": ' + b"[" * 200_000, "invalid_request", "nested"),
    (b'{"workflow": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "invalid_request", "nested"),
    (b'{"workflow": {"1": {"class_type": "\\ud800", "inputs": {}}}}', "invalid_workflow", "surrogate"),
    (b'{"workflow": {}, "webhook_url": "http://x"}', "invalid_request", "webhook_url"),
    (b'{"workflow": {}, "inputs": {}}', "invalid_request", "inputs"),
    (b'{"workflow": {}, "metadata": {"a": "b"}}', "invalid_request", "metadata"),
    (b'{"workflow": {}, "extra_data": []}', "invalid_request", "extra_data"),
    (b'{"workflow": {}, "extra_data": {"client_id": "x"}}', "invalid_request", "extra_data.client_id"),
    (b'{"workflow": {}, "extra_data": {"api_key_comfy_org": 7}}', "invalid_request", "api_key_comfy_org"),
    (b'{"workflow": null}', "invalid_workflow", "object"),
    (b'{"workflow": []}', "invalid_workflow", "object"),
    (b'{"workflow": {}}', "invalid_workflow", "no nodes"),
    (b'{"workflow": {"1": null}}', "invalid_workflow", "node 1"),
    (b'{"workflow": {"1": {"class_type": 7}}}', "invalid_workflow", "class_type"),
    (b'{"workflow": {"1": {"class_type": "PreviewAny", "inputs": []}}}', "invalid_workflow", "inputs"),
    (b'{"workflow": {"\\u0000": {"class_type": "PreviewAny"}}}', "invalid_workflow", "node id"),
    (b'{"workflow": {"1": {"class_type": "Nope\\u0000"}}}', "invalid_workflow", "class_type"),
]


async def test_bad_bodies(client: Client) -> None:
    for body, code, said in BAD_BODIES:
        answer = await client.http.post(JOBS, content=body, headers={"Content-Type": "application/json"})
        error = await refused(client, answer, 422, code)
        assert said in error["message"]


async def test_the_editors_own_format(client: Client) -> None:
    graph = {"nodes": [], "links": [], "last_node_id": 3, "version": 0.4}
    answer = await client.http.post(JOBS, json={"workflow": graph})
    error = await refused(client, answer, 422, "workflow_format_ui")
    assert "Export (API)" in error["message"]


WRONG_NODES = [
    (node("NoSuchNode", image=["1", 0]), "class_type", "node_not_allowed"),
    (node("ImageQuantize", image=["1", 0], colors=8, dither="none"), "class_type", "unknown_node_class"),
    (node("ImageInvert"), "image", "missing_input"),
    (node("ImageInvert", image=["7", 0]), "image", "broken_link"),
    (node("ImageInvert", image=["1", 9]), "image", "broken_link"),
]


async def test_graphs_that_cannot_run_name_node_and_field(client: Client) -> None:
    for wrong, field, reason in WRONG_NODES:
        answer = await client.http.post(JOBS, json={"workflow": {**image_graph(), "2": wrong}})
        error = await refused(client, answer, 422, "invalid_workflow")
        (fault,) = error["details"]["node_errors"]["2"]
        assert fault["field"] == field
        assert fault["reason"].startswith(reason)
        assert "node 2" in error["message"]


NOT_ONES_OWN: list[Any] = [
    {"__type": "core/ASSET", "info": {"id": NEVER}},
    {"__type": "core/ASSET", "info": {"id": "\u0000"}},
    {"__type": "core/ASSET", "info": {}},
    {"__type": "core/ASSET", "info": {"hash": "blake3:00", "file_path": "photo.png"}},
    {"__type": "core/ASSET"},
    "never.png",
    "",
]


async def test_files_that_are_not_ones_own_name_node_and_field(client: Client) -> None:
    await client.asset(png(), "photo.png")
    for image in NOT_ONES_OWN:
        answer = await client.http.post(JOBS, json={"workflow": file_graph(image)})
        error = await refused(client, answer, 422, "missing_asset")
        (fault,) = error["details"]["node_errors"]["1"]
        assert fault["field"] == "image"


async def test_a_deleted_upload_is_missing_too(client: Client) -> None:
    asset = await client.asset(png())
    await client.http.delete(f"/api/v2/assets/{asset['id']}")
    answer = await client.http.post(JOBS, json={"workflow": file_graph(reference(asset))})
    await refused(client, answer, 422, "missing_asset")


async def test_an_output_may_be_an_input(client: Client) -> None:
    first = await client.run(image_graph(color=0x000000))
    second = await client.run(file_graph(reference(first["outputs"][0])))
    assert second["status"] == "succeeded", second["error"]


@pytest.mark.parametrize("changes", [{"limits": {"graph_bytes_max": 1024, "graph_nodes_max": 3}}])
async def test_graph_limits_at_their_edges(client: Client, changes: dict[str, Any]) -> None:
    graph = image_graph()
    size = len(json.dumps(graph, separators=(",", ":")))
    graph["3"]["inputs"]["filename_prefix"] = "x" * (1024 - size + len("out") + 1)
    error = await refused(
        client, await client.http.post(JOBS, json={"workflow": graph}), 413, "payload_too_large"
    )
    assert "1025 bytes" in error["message"]
    huge = {"workflow": {"1": "x" * 100_000}}
    await refused(client, await client.http.post(JOBS, json=huge), 413, "payload_too_large")
    more = {**image_graph(), "4": node("SaveImage", images=["2", 0], filename_prefix="o")}
    await refused(client, await client.http.post(JOBS, json={"workflow": more}), 422, "invalid_workflow")
    graph["3"]["inputs"]["filename_prefix"] = "x" * (1024 - size + len("out"))
    assert (await client.run(graph))["status"] == "succeeded"


async def test_wide_letters_count_as_the_bytes_they_are(gateway: Gateway, client: Client) -> None:
    graph = image_graph()
    limit = gateway.ctx.rules.limits.graph_bytes_max
    graph["3"]["inputs"]["filename_prefix"] = "ü" * (limit // 2)
    body = json.dumps({"workflow": graph}, ensure_ascii=False).encode()
    assert limit < len(body) < limit + 64 * 1024
    answer = await client.http.post(JOBS, content=body, headers={"Content-Type": "application/json"})
    await refused(client, answer, 413, "payload_too_large")


async def test_too_few_credits_costs_nothing(gateway: Gateway) -> None:
    async with gateway.client(await gateway.add_account("poor", credits=4)) as poor:
        asset = await poor.asset(png())
        answer = await poor.http.post(JOBS, params={"lane": "video"}, json={"workflow": image_graph()})
        assert (answer.status_code, answer.json()["error"]["code"]) == (402, "insufficient_credits")
        assert answer.json()["error"]["details"] == {"price": 5, "available": 4}
        assert await poor.balance() == (4, 0)
        assert (await poor.run(file_graph(reference(asset))))["status"] == "succeeded"


@pytest.mark.parametrize(
    "changes", [{"tiers": {"regular": {"jobs_queued_max": 1}}, "lanes": {"image": {"depth_max": 2}}}]
)
async def test_full_queues_say_when_to_come_back(
    gateway: Gateway, client: Client, sim: Simulator, changes: dict[str, Any]
) -> None:
    sim.hold()
    running = await client.submit(image_graph())
    await client.until(running["id"], "running")
    await client.submit(image_graph())
    answer = await client.http.post(JOBS, json={"workflow": image_graph()}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
    assert answer.headers["retry-after"] == "10"
    assert answer.json()["error"]["details"]["limit"] == "jobs_queued_max"
    assert await client.balance() == (8, 2)
    async with (
        gateway.client(await gateway.add_account("b")) as second,
        gateway.client(await gateway.add_account("c")) as third,
    ):
        await second.submit(image_graph())
        answer = await third.http.post(JOBS, json={"workflow": image_graph()})
        assert answer.status_code == 429
        assert answer.json()["error"]["details"]["limit"] == "depth_max"
    # The refused key is free: the same request may come again once there is room.
    sim.release()
    for item in (await client.http.get(JOBS)).json()["jobs"]:
        await client.ended(item["id"])
    again = await client.http.post(JOBS, json={"workflow": image_graph()}, headers={"Idempotency-Key": "k"})
    assert again.status_code == 201


async def test_a_key_is_good_for_one_job(client: Client) -> None:
    headers = {"Idempotency-Key": "once"}
    bad = await client.http.post(JOBS, json={"workflow": {}}, headers=headers)
    assert bad.status_code == 422
    answers = await asyncio.gather(
        *(client.http.post(JOBS, json={"workflow": image_graph()}, headers=headers) for _ in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 7
    codes = {answer.json()["error"]["code"] for answer in answers if answer.status_code == 422}
    assert codes == {"idempotency_key_reuse"}
    other = await client.http.post(JOBS, json={"workflow": image_graph(color=7)}, headers=headers)
    assert other.json()["error"]["code"] == "idempotency_key_reuse"
    jobs = (await client.http.get(JOBS)).json()["jobs"]
    assert len(jobs) == 1
    assert [entry for entry in await client.entries() if entry[0] == "hold"] == [("hold", 1)]


async def test_a_key_belongs_to_its_account_and_to_uploads_too(gateway: Gateway, client: Client) -> None:
    headers = {"Idempotency-Key": "shared"}
    data = {"content_type": "image/png", "file_path": "photo.png"}
    files = {"file": ("photo.png", png())}
    first = await client.http.post("/api/v2/assets", data=data, files=files, headers=headers)
    assert first.status_code == 201
    again = await client.http.post("/api/v2/assets", data=data, files=files, headers=headers)
    assert (again.status_code, again.json()["error"]["code"]) == (422, "idempotency_key_reuse")
    async with gateway.client(await gateway.add_account("ben")) as ben:
        answer = await ben.http.post(JOBS, json={"workflow": image_graph()}, headers=headers)
        assert answer.status_code == 201


async def test_unusable_keys(client: Client) -> None:
    for key in ("", "x" * 256, "a\tb", "ünï"):
        headers = [(b"Idempotency-Key", key.encode("latin-1"))]
        answer = await client.http.post(JOBS, json={"workflow": image_graph()}, headers=headers)
        error = await refused(client, answer, 422, "invalid_request")
        assert error["details"] == {"field": "Idempotency-Key"}


async def test_partner_keys_are_passed_on_and_written_nowhere(
    gateway: Gateway, client: Client, sim: Simulator
) -> None:
    secret = "partner-key-never-to-be-seen"
    body = {"workflow": image_graph(), "extra_data": {"api_key_comfy_org": secret}}
    job = (await client.http.post(JOBS, json=body)).json()
    await client.ended(job["id"])
    (sent,) = [seen.json for seen in sim.requests if (seen.method, seen.path) == ("POST", "/prompt")]
    assert sent["extra_data"] == {"api_key_comfy_org": secret}
    for path in ("", "/workflow"):
        assert secret not in (await client.http.get(f"{JOBS}/{job['id']}{path}")).text
    data = gateway.settings.base_path.rglob("*")
    assert not [path for path in data if path.is_file() and secret.encode() in path.read_bytes()]
    assert gateway.ctx.secrets_of_jobs == {}
