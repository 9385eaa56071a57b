"""Every operation of Comfy API v2, called once or more, its answer read by the published models.

The models were generated from the contract; a strict reading of them is the contract's schema.
"""

import re
from typing import Any

import comfy_low
import httpx
import pytest
from comfy_low import models
from comfy_low.transport import AsyncComfyLow
from pydantic import BaseModel

from comfygate.api.admin import name_of
from comfygate.api.ops_actions import ACTIONS
from comfygate.simulator import Simulator
from tests.api.house import Client, Gateway, file_graph, hash_of, image_graph, png, reference

NEVER = "00000000-0000-4000-8000-000000000000"


def read(model: type[BaseModel], answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    """The answer's body, after the contract's model took it."""
    assert answer.status_code in statuses, f"{answer.status_code} {answer.text}"
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    model.model_validate(body)
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    assert required <= body.keys()
    return body


def test_every_operation_is_served(house: Gateway) -> None:
    document = house.http._server.config.app.openapi()  # type: ignore[union-attr]
    served = {op["operationId"] for item in document["paths"].values() for op in item.values()}
    assert served >= comfy_low.OPERATION_IDS
    ours = served - comfy_low.OPERATION_IDS
    operations = {name_of(route, "ops") for route in ACTIONS}
    assert {name for name in ours if name.startswith("ops")} - operations == {
        "opsAccount",
        "opsFirstRun",
        "opsHeldOutput",
        "opsJob",
        "opsListAccounts",
        "opsListAudit",
        "opsListEntries",
        "opsListJobs",
        "opsListReviews",
        "opsMe",
        "opsNow",
        "opsSeries",
        "opsServer",
        "opsStream",
        "opsTryServer",
    }
    assert operations < ours
    assert {name for name in ours if not name.startswith("ops")} == {
        "getHealth",
        "listJobs",
        "getAccount",
        "listEntries",
        "linkAccount",
        "makeLinkCode",
        "makeSignInLink",
        "redeemCode",
        "signIn",
        "getSession",
        "listSessions",
        "endSession",
        "listCards",
        "getCard",
        "deleteJob",
        "getAccountEvents",
        "downloadOutputs",
        "signOut",
        "listLanes",
        "getJobWhy",
        "listWorkflows",
        "getWorkflow",
        "getWorkflowExample",
        "quoteWorkflow",
        "orderWorkflow",
    }


def test_every_path_the_transport_speaks_is_known() -> None:
    """A newer client that speaks of more than its models do would show here."""
    spoken = {
        name
        for name in dir(AsyncComfyLow)
        if re.match(r"(get|post|put|head|delete|cancel|list|asset)_", name)
    }
    spoken -= {name for name in spoken if "model" in name}
    assert spoken == {*comfy_low.OPERATION_METHODS.values(), "list_jobs", "get_asset_content_url"}


async def test_post_assets_get_asset_delete_asset(ann: Client) -> None:
    content = png()
    made = read(models.Asset, await ann.upload(content, tags=["input", "face"], expires_in="3600"), 201)
    assert made["created_new"] is True
    assert (made["hash"], made["size_bytes"]) == (hash_of(content), len(content))
    assert (made["content_type"], made["file_path"]) == ("image/png", "photo.png")
    again = read(models.Asset, await ann.upload(content), 200)
    assert again["created_new"] is False
    assert again["id"] != made["id"]
    seen = read(models.Asset, await ann.http.get(f"/api/v2/assets/{made['id']}"), 200)
    assert "created_new" not in seen
    fresh = {"url", "url_expires_at", "created_new"}
    assert {key: seen[key] for key in seen.keys() - fresh} == {key: made[key] for key in made.keys() - fresh}
    deleted = await ann.http.delete(f"/api/v2/assets/{made['id']}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for answer in (
        await ann.http.delete(f"/api/v2/assets/{made['id']}"),
        await ann.http.get(f"/api/v2/assets/{made['id']}"),
    ):
        assert read(models.ErrorEnvelope, answer, 404)["error"]["code"] == "not_found"
    assert await ann.download(again) == content


async def test_from_hash_and_by_hash(ann: Client) -> None:
    content = png()
    address = f"/api/v2/assets/by-hash/{hash_of(content)}"
    assert (await ann.http.head(address)).status_code == 404
    missing = await ann.http.post("/api/v2/assets/from-hash", json={"hash": hash_of(content)})
    assert read(models.ErrorEnvelope, missing, 404)["error"]["code"] == "blob_not_found"
    first = await ann.asset(content)
    assert (await ann.http.head(address)).status_code == 200
    wanted: dict[str, Any] = {"hash": hash_of(content), "file_path": "photo.png"}
    same = read(models.Asset, await ann.http.post("/api/v2/assets/from-hash", json=wanted), 200)
    assert (same["id"], same["created_new"]) == (first["id"], False)
    wanted = {"hash": hash_of(content), "file_path": "other.png", "tags": ["input"], "expires_in": 60}
    other = read(models.Asset, await ann.http.post("/api/v2/assets/from-hash", json=wanted), 201)
    assert other["id"] != first["id"]
    assert await ann.download(other) == content


async def test_post_jobs_get_job_and_content(ann: Client) -> None:
    asset = await ann.asset(png())
    graph = file_graph(reference(asset))
    answer = await ann.http.post("/api/v2/jobs", json={"workflow": graph})
    made = read(models.Job, answer, 201)
    assert (made["status"], made["outputs"], made["error"], made["progress"]) == ("queued", [], None, None)
    assert made["metrics"] == {"queue_ms": None, "execution_ms": None}
    assert answer.headers["location"] == made["urls"]["self"] == f"/api/v2/jobs/{made['id']}"
    job = await ann.ended(made["id"])
    read(models.Job, await ann.http.get(made["urls"]["self"]), 200)
    (output,) = job["outputs"]
    models.Output.model_validate(output)
    assert output["job_id"] == made["id"]
    assert job["metrics"]["queue_ms"] >= 0
    assert job["metrics"]["execution_ms"] >= 0
    content = await ann.http.get(f"/api/v2/assets/{output['id']}/content")
    assert content.status_code == 200
    assert hash_of(content.content) == output["hash"]
    seen = read(models.Asset, await ann.http.get(f"/api/v2/assets/{output['id']}"), 200)
    assert seen["job_id"] == made["id"]


async def test_get_job_workflow_is_verbatim(ann: Client) -> None:
    graph = image_graph()
    graph["1"]["_meta"] = {"title": "Müller ☃ \u0000"}
    graph["3"]["inputs"]["filename_prefix"] = "sub/elsewhere"
    job = await ann.submit(graph)
    body = read(models.JobWorkflowResponse, await ann.http.get(f"{job['urls']['self']}/workflow"), 200)
    assert body == {"workflow": graph, "format": "api"}


async def test_cancel_job(ann: Client, sim: Simulator) -> None:
    sim.hold()
    running = await ann.submit(image_graph())
    await ann.until(running["id"], "running")
    waiting = await ann.submit(image_graph())
    gone = read(models.Job, await ann.http.post(waiting["urls"]["cancel"]), 200)
    assert gone["status"] == "canceled"
    going = read(models.Job, await ann.http.post(running["urls"]["cancel"]), 200)
    assert going["status"] in {"canceling", "canceled"}
    assert (await ann.ended(running["id"]))["status"] == "canceled"
    for job in (waiting, running):
        again = read(models.Job, await ann.http.post(job["urls"]["cancel"]), 200)
        assert again["status"] == "canceled"
    assert await ann.balance() == (100, 0)


async def test_get_job_events(ann: Client) -> None:
    job = await ann.submit(image_graph())
    shapes: dict[str, type[BaseModel]] = {
        "status": models.StatusEvent,
        "progress": models.Progress,
        "preview": models.PreviewEvent,
        "output": models.Output,
    }
    names = []
    async for name, body in ann.events(job["id"]):
        names.append(name)
        shapes[name].model_validate(body)
    assert names[0] == "status"
    assert names[-2:] == ["output", "status"]


async def test_list_jobs_pages(ann: Client, sim: Simulator) -> None:
    sim.hold()
    made = [(await ann.submit(image_graph()))["id"] for _ in range(5)]
    await ann.until(made[0], "running")
    listed: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await ann.http.get("/api/v2/jobs", params={"limit": 2, **cursor})).json()
        for item in page["jobs"]:
            models.Job.model_validate(item)
            assert item["create_time"] == item["created_at"]
        listed += [item["id"] for item in page["jobs"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert listed == made[::-1]
    for params, wanted in (
        ({"status": "running"}, made[:1]),
        ({"status": "queued,running"}, made[::-1]),
        ({"status": ["running", "succeeded"]}, made[:1]),
        ({"status": "succeeded"}, []),
    ):
        page = (await ann.http.get("/api/v2/jobs", params=params)).json()
        assert [item["id"] for item in page["jobs"]] == wanted


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v2/jobs/{id}"),
        ("GET", "/api/v2/jobs/{id}/workflow"),
        ("GET", "/api/v2/jobs/{id}/events"),
        ("POST", "/api/v2/jobs/{id}/cancel"),
        ("GET", "/api/v2/assets/{id}"),
        ("GET", "/api/v2/assets/{id}/content"),
        ("DELETE", "/api/v2/assets/{id}"),
    ],
)
async def test_unknown_ids_are_404(house: Gateway, method: str, path: str) -> None:
    async with house.client(await house.add_account()) as ann:
        for value in (NEVER, "nonsense", "%00", "a" * 3000, "..%2f..", "%F0%9F%A6%8A"):
            answer = await ann.http.request(method, path.replace("{id}", value))
            body = read(models.ErrorEnvelope, answer, 404)
            assert body["error"]["code"] == "not_found"
