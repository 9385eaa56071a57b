"""The operator's side for accounts: who may, what it does, and what it says to what cannot be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from comfygate.api.ops import routers
from comfygate.api.ops_actions import ACTIONS
from comfygate.api.ops_auth import PREFIX
from comfygate.domain.staff import OPERATORS_MAY
from comfygate.gate import operate
from comfygate.gate.operate import CHANGING, OPERATIONS
from comfygate.simulator import Simulator
from tests.api.house import PATIENCE_SECONDS, Client, Gateway, image_graph, running_gateway, settings_for, sse
from tests.looking import before_the_next_look

NEVER = "00000000-0000-4000-8000-000000000000"
HTML = "<script>alert('1')</script>"


def addresses() -> list[tuple[str, str]]:
    """Every method and address there is, with an id that nobody has in each place for one."""
    found = []
    for router in routers:
        for route in router.routes:
            path: str = route.path  # type: ignore[attr-defined]
            parts = [NEVER if part.startswith("{") else part for part in path.split("/")]
            parts = [
                "0" if known == "{number}" else part
                for known, part in zip(path.split("/"), parts, strict=True)
            ]
            found += [(method, "/".join(parts)) for method in sorted(route.methods)]  # type: ignore[attr-defined]
    return found


@asynccontextmanager
async def staff(house: Gateway, role: str, name: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    name = name or f"the {role}"
    key = house.keys.get(name) or await house.add_account(name)
    await operate.perform(house.ctx, "accounts.role", {"account": name, "role": role})
    async with house.client(key) as client:
        yield client.http


async def test_strangers_and_users_get_nothing(house: Gateway) -> None:
    user = await house.add_account()
    assert len(addresses()) > 40
    for key, status, code in (
        (None, 401, "unauthorized"),
        ("wrong", 401, "unauthorized"),
        (user, 403, "forbidden"),
    ):
        async with house.client(key) as someone:
            for method, address in addresses():
                # A body that is no JSON shows that nothing is read before the role was.
                answer = await someone.http.request(method, address, content=b"{")
                assert answer.status_code == status, (method, address)
                if method != "HEAD":
                    assert answer.json()["error"]["code"] == code
    assert (await operate.perform(house.ctx, "audit.list", {}))["audit"] == [], "nothing was done"


async def test_an_operator_may_not_do_what_is_an_admins(house: Gateway) -> None:
    async with staff(house, "operator") as http:
        for route in ACTIONS:
            address = PREFIX + "/".join(NEVER if p.startswith("{") else p for p in route.path.split("/"))
            answer = await http.request(
                route.method, address, content=b"{" if route.method != "GET" else None
            )
            allowed = route.operation in OPERATORS_MAY or (
                route.operation not in CHANGING and route.operation not in {"codes.list", "payments.list"}
            )
            assert (answer.status_code == 403) is not allowed, (route.operation, answer.text)
        me = (await http.get(f"{PREFIX}/me")).json()
    assert me["role"] == "operator"
    assert set(me["operations"]) & CHANGING == OPERATORS_MAY
    done = {row["operation"] for row in (await operate.perform(house.ctx, "audit.list", {}))["audit"]}
    assert done <= OPERATORS_MAY | {"accounts.role"}


def test_every_operation_is_at_an_address() -> None:
    documents = {
        "accounts.list",
        "audit.list",
        "jobs.list",
        "jobs.show",
        "ledger.show",
        "review.list",
        "servers.list",
    }
    assert {route.operation for route in ACTIONS} | documents == set(OPERATIONS)
    assert OPERATORS_MAY < CHANGING


async def test_a_role_that_is_taken_away_is_gone_at_once(house: Gateway) -> None:
    async with staff(house, "admin", "ann") as http:
        assert (await http.get(f"{PREFIX}/me")).status_code == 200
        assert (await http.post(f"{PREFIX}/accounts/ann/role", json={"role": "user"})).status_code == 200
        assert (await http.get(f"{PREFIX}/me")).status_code == 403


async def test_a_session_operates_from_our_own_pages_alone(house: Gateway) -> None:
    key = await house.add_account("ann")
    await operate.perform(house.ctx, "accounts.role", {"account": "ann", "role": "admin"})
    own = {"Sec-Fetch-Site": "same-origin"}
    async with house.client() as browser:
        signed = await browser.http.post("/gate/v1/session", json={"api_key": key}, headers=own)
        assert signed.status_code == 201
        assert (await browser.http.get(f"{PREFIX}/me")).json()["role"] == "admin"
        assert (await browser.http.get("/gate/v1/session")).json()["role"] == "admin"
        pause = f"{PREFIX}/lanes/image/pause"
        assert (await browser.http.post(pause)).status_code == 403
        assert (await browser.http.post(pause, headers={"Sec-Fetch-Site": "cross-site"})).status_code == 403
        assert (await browser.http.post(pause, headers=own)).json()["state"] == "paused"
        assert (await browser.http.post(f"{PREFIX}/accounts/ann/sign-out", headers=own)).status_code == 200
        assert (await browser.http.get(f"{PREFIX}/me")).status_code == 401


async def test_what_is_done_takes_effect_and_is_audited_by_name(gateway: Gateway, sim: Simulator) -> None:
    async with staff(gateway, "admin", "ada") as http:
        made = (await http.post(f"{PREFIX}/accounts", json={"name": "zoe", "credits": 3})).json()
        granted = await http.post(f"{PREFIX}/accounts/zoe/credits", json={"amount": 4, "reason": HTML})
        assert granted.json()["available"] == 7
        assert (await http.post(f"{PREFIX}/lanes/image/pause")).json()["state"] == "paused"
        async with gateway.client(made["api_key"]) as zoe:
            job = (await zoe.submit(image_graph()))["id"]
            assert (await http.post(f"{PREFIX}/lanes/image/resume")).json()["state"] == "open"
            assert (await zoe.ended(job))["status"] == "succeeded"
            mark = (await http.get(f"{PREFIX}/accounts/zoe/keys")).json()["keys"][0]["key"]
            assert (await http.delete(f"{PREFIX}/accounts/zoe/keys/{mark}")).json()["revoked"] is True
            assert (await zoe.http.get("/gate/v1/account")).status_code == 401
        assert (await http.post(f"{PREFIX}/servers/one/drain")).json()["state"] == "draining"
        assert (await http.post(f"{PREFIX}/servers/one/resume")).json()["drained_at_ms"] is None
        suspended = (await http.post(f"{PREFIX}/accounts/zoe/suspend")).json()
        assert suspended["disabled_at_ms"] is not None
        assert (await http.post(f"{PREFIX}/accounts/zoe/restore")).json()["disabled_at_ms"] is None
        rows = (await http.get(f"{PREFIX}/audit", params={"operation": "accounts."})).json()["rows"]
        assert [row["operation"] for row in rows][:2] == ["accounts.restore", "accounts.suspend"]
        assert {row["actor_name"] for row in rows} == {"ada", None}
        mine = (await http.get(f"{PREFIX}/audit", params={"actor": rows[0]["actor"], "limit": 2})).json()
        assert len(mine["rows"]) == 2
        rest = await http.get(f"{PREFIX}/audit", params={"cursor": mine["next_cursor"], "limit": 500})
        assert max(row["id"] for row in rest.json()["rows"]) < mine["rows"][-1]["id"]
        entries = (await http.get(f"{PREFIX}/entries", params={"account": "zoe"})).json()["rows"]
        assert [entry["kind"] for entry in entries] == ["capture", "hold", "grant", "grant"]
        assert entries[2]["reason"] == HTML, "text stays text"


async def test_now_shows_lanes_and_what_slots_run(lite: Gateway, sim: Simulator, ann: Client) -> None:
    sim.hold()
    first = (await ann.submit(image_graph()))["id"]
    await ann.until(first, "running")
    second = (await ann.submit(image_graph()))["id"]
    async with staff(lite, "operator") as http:
        now = (await http.get(f"{PREFIX}/now")).json()
        lane = next(one for one in now["lanes"] if one["name"] == "image")
        assert (lane["depth"], lane["running"], lane["servers_up"], lane["state"]) == (1, 1, 1, "open")
        assert [(one["waiting"], "regular" in one["tiers"]) for one in lane["by_class"]] == [(1, True)]
        assert lane["last_in_line"]["id"] == second
        (server,) = now["servers"]
        assert (server["name"], server["state"], server["running"]) == ("one", "up", 1)
        (slot,) = server["running_now"]
        assert (slot["job_id"], slot["account_name"], slot["slot"]) == (first, "ann", 0)
        listed = (await http.get(f"{PREFIX}/jobs", params={"status": "queued,running"})).json()["rows"]
        assert [(job["id"], job["queue_position"]) for job in listed] == [(second, 1), (first, None)]
        assert listed[1]["server"] == "one"
        sim.release()
        await ann.ended(second)


async def test_a_jobs_story_an_account_and_a_server(lite: Gateway, ann: Client) -> None:
    job = (await ann.run(image_graph()))["id"]
    async with staff(lite, "operator") as http:
        story = (await http.get(f"{PREFIX}/jobs/{job}")).json()
        assert story["job"]["status"] == "succeeded"
        assert story["account"]["name"] == "ann"
        assert [entry["kind"] for entry in story["entries"]] == ["hold", "capture"]
        stretches = [one["what"] for one in story["timeline"]]
        assert stretches[:2] == ["waiting", "sending"]
        assert all(one["until_at_ms"] >= one["from_at_ms"] for one in story["timeline"])
        assert story["wire"]["classes"] == {"EmptyImage": 1, "ImageInvert": 1, "SaveImage": 1}
        assert story["attempts"][0]["outcome"] == "succeeded"
        account = (await http.get(f"{PREFIX}/accounts/ann")).json()
        assert (account["available"], account["role"], account["jobs_queued"]) == (99, "user", 0)
        assert account["limits"]["jobs_queued_max"] > 0
        assert account["suspicions"]["suspicions"] == 0
        server = (await http.get(f"{PREFIX}/servers/one")).json()
        assert (server["state"], server["troubles"], server["running_now"]) == ("up", [], [])
        assert [change["state"] for change in server["changes"]][-1:] == ["up"]


REFUSED: list[tuple[str, str, Any, int, str | None]] = [
    ("GET", "/jobs?limit=0", None, 422, "limit"),
    ("GET", "/jobs?limit=501", None, 422, "limit"),
    ("GET", "/jobs?status=odd", None, 422, "status"),
    ("GET", "/jobs?cursor=x", None, 422, "cursor"),
    ("GET", "/jobs?cursor=-1", None, 422, "cursor"),
    ("GET", "/jobs?lane=%00", None, 422, "lane"),
    ("GET", "/jobs?account=nobody", None, 404, None),
    ("GET", "/jobs?format=xml", None, 422, "format"),
    ("GET", "/accounts?cursor=1.%27", None, 422, "cursor"),
    ("GET", "/reviews?state=odd", None, 422, "state"),
    ("GET", "/entries?account=nobody", None, 404, None),
    ("GET", f"/jobs/{NEVER}", None, 404, None),
    ("GET", "/jobs/1%20or%201", None, 404, None),
    ("GET", "/accounts/%00", None, 404, None),
    ("GET", "/accounts/nobody", None, 404, None),
    ("GET", "/servers/nobody", None, 404, None),
    ("GET", f"/reviews/{NEVER}/outputs/0", None, 404, None),
    ("GET", f"/reviews/{NEVER}/outputs/x", None, 422, "number"),
    ("POST", "/accounts/ann/role", {"role": "god"}, 422, "role"),
    ("POST", "/accounts/ann/role", {}, 422, "role"),
    ("POST", "/accounts/nobody/suspend", None, 404, None),
    ("DELETE", "/accounts/ann/keys/odd", None, 404, None),
    ("POST", f"/jobs/{NEVER}/retry", None, 404, None),
    ("PUT", "/now", None, 405, None),
]


async def test_what_cannot_be_is_refused_by_field(tmp_path: Path, database_url: str) -> None:
    async with running_gateway(settings_for(tmp_path, database_url)) as house:
        await house.add_account()
        async with staff(house, "admin") as http:
            for method, path, body, status, field in REFUSED:
                content = None if body is None else json.dumps(body)
                answer = await http.request(method, PREFIX + path, content=content)
                assert answer.status_code == status, (path, answer.text)
                error = answer.json()["error"]
                if field is not None:
                    assert (error["code"], error["details"]) == ("invalid_request", {"field": field})
                    assert error["message"].startswith(field)


async def test_a_list_as_csv_runs_no_formula(house: Gateway) -> None:
    for name in ("=1+1", "@sum", "-2", "+3", 'a "b", c', HTML):
        await house.add_account(name)
    async with staff(house, "admin", "ada") as http:
        answer = await http.get(f"{PREFIX}/accounts", params={"format": "csv"})
        assert answer.headers["content-type"].startswith("text/csv")
        assert answer.headers["content-disposition"] == 'attachment; filename="accounts.csv"'
        head, *lines = answer.text.split("\r\n")
        assert head.startswith("id,name,tier,role")
        text = "\n".join(lines)
        for shown in ("'=1+1", "'@sum", "'-2", "'+3", '"a ""b"", c"', HTML):
            assert f",{shown}," in text
        assert len([line for line in lines if line]) == 7
        found = (await http.get(f"{PREFIX}/accounts", params={"search": "<SCR"})).json()["rows"]
        assert [row["name"] for row in found] == [HTML]


async def test_the_stream_tells_everything_once_and_then_what_changes(lite: Gateway, ann: Client) -> None:
    async with staff(lite, "operator") as http, http.stream("GET", f"{PREFIX}/stream") as answer:
        assert answer.status_code == 200
        events = sse(answer.aiter_lines())
        name, now = await anext(events)
        assert name == "now"
        assert {lane["name"] for lane in now["lanes"]} == {"image", "video"}
        await operate.perform(lite.ctx, "lanes.pause", {"lane": "image"})
        seen: dict[str, Any] = {}
        async for name, body in events:
            seen[name] = body
            if name == "lane" and body["name"] == "image":
                break
        assert seen["lane"]["state"] == "paused"
        job = (await ann.submit(image_graph()))["id"]
        async for name, body in events:
            if name == "events" and any(one.get("job_id") == job for one in body["events"]):
                break
        await operate.perform(lite.ctx, "lanes.resume", {"lane": "image"})
        await ann.ended(job)
    board = lite.http._server.config.app.state.board  # type: ignore[union-attr]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while board.viewers:
            await before_the_next_look()
