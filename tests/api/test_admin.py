"""The operator's side over HTTP: who may, what it does, and what it says to what cannot be."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from comfygate.api.admin import PREFIX, ROUTES
from comfygate.gate.operate import CHANGING, OPERATIONS
from comfygate.simulator import Simulator
from tests.api.house import Client, Gateway, image_graph

KEY = "an-admin-key-of-more-than-32-characters"
NEVER = "00000000-0000-4000-8000-000000000000"
with_key = pytest.mark.parametrize("changes", [{"admin_key": KEY}])


def _address(path: str) -> str:
    parts = [NEVER if part.startswith("{") else part for part in path.split("/")]
    return PREFIX + "/".join(parts)


async def _rows(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await http.get(f"{PREFIX}/audit")).json()["audit"]
    return rows


def test_every_operation_has_an_address() -> None:
    assert {route.operation for route in ROUTES} == set(OPERATIONS)
    assert {route.operation for route in ROUTES if route.method != "GET"} == CHANGING


async def test_without_a_key_in_the_settings_nothing_is_there(house: Gateway) -> None:
    async with house.client(await house.add_account()) as ann:
        unknown = (await ann.http.get("/gate/v1/nothing")).json()
        for route in ROUTES:
            answer = await ann.http.request(route.method, _address(route.path), json={})
            assert (answer.status_code, answer.json()) == (404, unknown), route
    document = house.http._server.config.app.openapi()  # type: ignore[union-attr]
    assert not [path for path in document["paths"] if path.startswith(PREFIX)]


@with_key
async def test_only_the_admin_key_opens_it(house: Gateway) -> None:
    account_key = await house.add_account()
    for key, status, code in (
        (None, 401, "unauthorized"),
        ("wrong", 401, "unauthorized"),
        (KEY + "x", 401, "unauthorized"),
        (KEY[:-1], 401, "unauthorized"),
        (account_key, 403, "forbidden"),
    ):
        async with house.client(key) as someone:
            for route in ROUTES:
                # A body that is no JSON shows that nothing is read before the key was.
                answer = await someone.http.request(route.method, _address(route.path), content=b"{")
                assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), route
    async with house.client(KEY) as admin:
        assert (await admin.http.get(f"{PREFIX}/lanes")).status_code == 200
        assert (await admin.http.get("/gate/v1/account")).status_code == 401, "it is no account's key"
        assert await _rows(admin.http) == [], "nothing was done"


@with_key
async def test_what_the_command_line_does_works_over_http(lite: Gateway, sim: Simulator) -> None:
    async with lite.client(KEY) as admin:
        http = admin.http
        made = await http.post(f"{PREFIX}/accounts", json={"name": "zoe", "credits": 3})
        assert made.headers["cache-control"] == "no-store"
        granted = await http.post(f"{PREFIX}/accounts/zoe/credits", json={"amount": 4, "reason": "a gift"})
        assert granted.json()["available"] == 7
        assert (await http.post(f"{PREFIX}/accounts/zoe/keys")).json()["api_key"].startswith("cgk_")
        entries = (await http.get(f"{PREFIX}/accounts/zoe/entries", params={"limit": 1})).json()["entries"]
        assert [entry["amount"] for entry in entries] == [4]
        assert (await http.post(f"{PREFIX}/lanes/image/pause")).json()["state"] == "paused"
        async with lite.client(made.json()["api_key"]) as zoe:
            await _a_job_through_its_life(http, zoe)
        assert (await http.post(f"{PREFIX}/servers/one/drain")).json()["state"] == "draining"
        assert (await http.post(f"{PREFIX}/servers/one/resume")).json()["drained_at_ms"] is None
        assert (await http.delete(f"{PREFIX}/servers/one")).json()["removed"] is True
        added = {"name": "two", "url": sim.url, "lanes": ["image"]}
        assert (await http.post(f"{PREFIX}/servers", json=added)).status_code == 200
        assert [s["name"] for s in (await http.get(f"{PREFIX}/servers")).json()["servers"]] == ["two"]
        assert (await http.get(f"{PREFIX}/ledger/audit")).json()["balanced"] is True
        rows = await _rows(http)
        assert {row["actor"] for row in rows} == {"admin"}
        assert "cgk_" not in str(rows)
        assert KEY not in str(rows)
        assert [row["operation"] for row in rows][-2:] == ["credits.grant", "accounts.add"]


async def _a_job_through_its_life(http: httpx.AsyncClient, zoe: Client) -> None:
    job = (await zoe.submit(image_graph()))["id"]
    mine = (await zoe.http.get(f"/gate/v1/jobs/{job}/why")).json()
    assert (mine["id"], mine["status"]) == (job, "queued")
    assert (mine["code"], mine["reason"]) == ("lane_paused", "lane image is paused")
    assert mine["line"]["limits"]["lane_paused"] is True
    assert mine["eta"] is None
    why = (await http.get(f"{PREFIX}/jobs/{job}/why")).json()
    assert why["why"][0].startswith("lane image is paused since ")
    listed = (await http.get(f"{PREFIX}/jobs", params={"status": "queued,running", "limit": 5})).json()
    assert [one["id"] for one in listed["jobs"]] == [job]
    refused = await http.post(f"{PREFIX}/jobs/{job}/retry")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert (await http.post(f"{PREFIX}/jobs/{job}/cancel")).json()["status"] == "canceled"
    copy = (await http.post(f"{PREFIX}/jobs/{job}/retry")).json()
    assert copy["retry_of"] == job
    assert (await http.post(f"{PREFIX}/lanes/image/resume")).json()["state"] == "open"
    assert (await zoe.ended(copy["id"]))["status"] == "succeeded"
    assert (await http.get(f"{PREFIX}/jobs/{copy['id']}")).json()["attempts"][0]["outcome"] == "succeeded"


@with_key
@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "/accounts", {}, 422, "name"),
        ("POST", "/accounts", {"name": 7}, 422, "name"),
        ("POST", "/accounts", {"name": "x", "credits": "5"}, 422, "credits"),
        ("POST", "/accounts", {"name": "x", "credits": True}, 422, "credits"),
        ("POST", "/accounts", {"name": "x", "colour": "red"}, 422, "colour"),
        ("POST", "/accounts", {"name": "x\x00"}, 422, "name"),
        ("POST", "/accounts", {"name": "x\ud800"}, 422, "name"),
        ("POST", "/accounts/ann/credits", {"amount": 1, "reason": "\x00"}, 422, "reason"),
        ("POST", "/accounts/ann/credits", {"amount": -1, "reason": "r"}, 422, None),
        ("POST", "/accounts/ann/credits", {"amount": 1, "reason": "r", "account": "ben"}, 422, "account"),
        ("POST", "/servers", {"name": "x", "url": "u", "lanes": "image"}, 422, "lanes"),
        ("POST", "/servers", {"name": "x", "url": "http://h", "lanes": ["image"], "hook": "id"}, 422, "hook"),
        ("POST", "/servers/one/drain", {"now": True}, 422, "now"),
        ("POST", "/lanes/nowhere/pause", None, 404, None),
        ("POST", "/lanes/%00/pause", None, 404, None),
        ("DELETE", "/servers/nobody", None, 404, None),
        ("GET", "/jobs?limit=x", None, 422, "limit"),
        ("GET", "/jobs?limit=0", None, 422, "limit"),
        ("GET", "/jobs?colour=red", None, 422, "colour"),
        ("GET", "/jobs?status=odd", None, 422, "status"),
        ("GET", "/jobs?cursor=x", None, 422, "cursor"),
        ("GET", "/audit?before=0", None, 422, "before"),
        ("GET", "/audit?limit=1e3", None, 422, "limit"),
        ("GET", f"/jobs/{NEVER}", None, 404, None),
        ("GET", "/jobs/%00/why", None, 404, None),
        ("GET", "/jobs/%ed%a0%80", None, 404, None),
        ("PUT", "/lanes", None, 405, None),
    ],
)
async def test_what_cannot_be_is_refused_by_field(
    gateway: Gateway, method: str, path: str, body: Any, status: int, field: str | None
) -> None:
    await gateway.add_account()
    async with gateway.client(KEY) as admin:
        answer = await admin.http.request(
            method, PREFIX + path, content=None if body is None else json.dumps(body)
        )
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"]
    if field is not None:
        assert (error["code"], error["details"]) == ("invalid_request", {"field": field})
        assert error["message"].startswith(field)
