"""No account sees another's anything: foreign and unknown answer alike, to the last byte but the id."""

from typing import Any

import httpx
import pytest

from comfygate.gate import accounts
from comfygate.simulator import Simulator
from tests.api.house import Client, Gateway, file_graph, hash_of, image_graph, png, reference

UNKNOWN = "01234567-89ab-4cde-8f01-23456789abcd"


def said(answer: httpx.Response, value: str) -> tuple[int, str, dict[str, str]]:
    """Status, body with the id left out, and every header that says something of the thing asked for."""
    heads = {
        name: text
        for name, text in answer.headers.items()
        if name not in {"date", "x-request-id", "x-comfy-request-id"}
    }
    return answer.status_code, answer.text.replace(value, "ID"), heads


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v2/jobs/{}"),
        ("HEAD", "/api/v2/jobs/{}"),
        ("GET", "/api/v2/jobs/{}/workflow"),
        ("GET", "/api/v2/jobs/{}/events"),
        ("POST", "/api/v2/jobs/{}/cancel"),
        ("GET", "/api/v2/assets/{}"),
        ("GET", "/api/v2/assets/{}/content"),
        ("HEAD", "/api/v2/assets/{}/content"),
        ("DELETE", "/api/v2/assets/{}"),
        ("GET", "/gate/v1/jobs/{}"),
        ("DELETE", "/gate/v1/jobs/{}"),
        ("GET", "/gate/v1/outputs.zip?job={}"),
    ],
)
async def test_foreign_and_unknown_look_the_same(
    ann: Client, ben: Client, method: str, path: str, sim: Simulator
) -> None:
    sim.hold()
    ids = {
        "jobs": (await ann.submit(image_graph()))["id"],
        "assets": (await ann.asset(png()))["id"],
    }
    foreign = ids["assets" if "/assets/" in path else "jobs"]
    seen = said(await ben.http.request(method, path.format(foreign)), foreign)
    assert seen == said(await ben.http.request(method, path.format(UNKNOWN)), UNKNOWN)
    assert seen[0] == 404
    assert (await ann.job(ids["jobs"]))["status"] in {"queued", "running"}
    assert (await ann.http.get(f"/api/v2/assets/{ids['assets']}")).status_code == 200


async def test_lists_ledgers_and_names_are_ones_own(ann: Client, ben: Client) -> None:
    job = await ann.run(image_graph())
    assert (await ben.http.get("/api/v2/jobs")).json() == {"jobs": [], "next_cursor": None}
    assert await ben.entries() == [("grant", 100)]
    assert await ben.balance() == (100, 0)
    output = job["outputs"][0]
    for graph in (file_graph(reference(output)), file_graph(output["name"])):
        refused = await ben.http.post("/api/v2/jobs", json={"workflow": graph})
        assert refused.json()["error"]["code"] == "missing_asset"
    assert await ben.balance() == (100, 0)


async def test_bytes_of_others_cannot_be_minted_or_noticed(ann: Client, ben: Client) -> None:
    content = png()
    await ann.asset(content, "secret.png")
    address = f"/api/v2/assets/by-hash/{hash_of(content)}"
    assert (await ann.http.head(address)).status_code == 200
    assert (await ben.http.head(address)).status_code == 404
    minted = await ben.http.post("/api/v2/assets/from-hash", json={"hash": hash_of(content)})
    assert (minted.status_code, minted.json()["error"]["code"]) == (404, "blob_not_found")
    # Uploading them oneself tells nothing of the other's copy.
    own = await ben.upload(content, "secret.png")
    assert (own.status_code, own.json()["created_new"]) == (201, True)
    refused = await ben.http.post("/api/v2/jobs", json={"workflow": file_graph("other.png")})
    assert refused.json()["error"]["code"] == "missing_asset"


async def test_deleting_ones_own_record_leaves_the_others_bytes(ann: Client, ben: Client) -> None:
    content = png()
    mine, theirs = await ann.asset(content), await ben.asset(content)
    assert (await ann.http.delete(f"/api/v2/assets/{mine['id']}")).status_code == 204
    assert await ben.download(theirs) == content
    assert (await ann.http.head(f"/api/v2/assets/by-hash/{hash_of(content)}")).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer cgk_wrong"},
        {"Authorization": "Basic YW5uOmFubg=="},
        {"Authorization": "Bearer \xfc\xfc"},
        {"Authorization": "Bearer " + "x" * 10_000},
    ],
)
async def test_without_a_valid_key_nothing_answers(house: Gateway, headers: dict[str, Any]) -> None:
    wire = {name: value.encode("latin-1") for name, value in headers.items()}
    async with httpx.AsyncClient(base_url=house.url) as nobody:
        for method, path in (
            ("GET", "/api/v2/jobs"),
            ("POST", "/api/v2/jobs"),
            ("POST", "/api/v2/assets"),
            ("GET", f"/api/v2/jobs/{UNKNOWN}/events"),
            ("GET", f"/api/v2/assets/{UNKNOWN}/content"),
            ("GET", "/gate/v1/account"),
        ):
            answer = await nobody.request(method, path, headers=wire)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_key_works_until_another_is_needed(house: Gateway) -> None:
    first = await house.add_account()
    second = (await accounts.add_key(house.ctx, "ann")).api_key
    for key in (first, second):
        async with house.client(key) as client:
            assert (await client.http.get("/gate/v1/account")).json()["name"] == "ann"
