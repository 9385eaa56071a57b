"""The control channel: for the holder of the token on this machine, closed to everything else."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from comfygate.api.control import create_control
from comfygate.gate.operate import OPERATIONS
from tests.api.house import Gateway

TOKEN = "t0ken-of-this-run"


@pytest.fixture
async def control(house: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the channel that has the token."""
    transport = httpx.ASGITransport(create_control(house.ctx, TOKEN), raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://control", headers={"Authorization": f"Bearer {TOKEN}"}
    ) as client:
        yield client


async def ask(control: httpx.AsyncClient, operation: Any, **arguments: Any) -> httpx.Response:
    """One command."""
    return await control.post("/control", json={"operation": operation, "arguments": arguments})


async def test_commands_are_performed(control: httpx.AsyncClient) -> None:
    made = (await ask(control, "accounts.add", name="ann", tier="vip", credits=5)).json()
    assert made["api_key"].startswith("cgk_")
    granted = (await ask(control, "credits.grant", account="ann", amount=7, reason="a gift")).json()
    assert granted["available"] == 12
    shown = (await ask(control, "ledger.show", account=made["id"], limit=1)).json()
    assert [entry["amount"] for entry in shown["entries"]] == [7]
    added = await ask(control, "servers.add", name="one", url="http://127.0.0.1:9", lanes=["image"])
    assert added.status_code == 200, added.text
    assert (await ask(control, "servers.list")).json()["servers"][0]["name"] == "one"
    assert (await ask(control, "jobs.list", status=None)).json() == {"jobs": [], "next_cursor": None}
    assert (await ask(control, "ledger.audit")).json()["balanced"] is True


@pytest.mark.parametrize(
    ("operation", "arguments", "status", "field"),
    [
        ("no.such", {}, 404, None),
        ("accounts.add", {}, 422, "name"),
        ("accounts.add", {"name": 7}, 422, "name"),
        ("accounts.add", {"name": "x", "credits": "5"}, 422, "credits"),
        ("accounts.add", {"name": "x", "credits": True}, 422, "credits"),
        ("accounts.add", {"name": "x", "credits": 10**30}, 422, "credits"),
        ("accounts.add", {"name": "x", "ctx": None}, 422, "ctx"),
        ("accounts.add", {"name": "x", "colour": "red"}, 422, "colour"),
        ("accounts.add", {"name": "\u0000"}, 422, "name"),
        ("credits.grant", {"account": "x", "amount": 1.5, "reason": "r"}, 422, "amount"),
        ("servers.add", {"name": "x", "url": "u", "lanes": "image"}, 422, "lanes"),
        ("jobs.list", {"limit": None}, 422, "limit"),
        ("jobs.show", {"job": "nobody"}, 404, None),
        (7, {}, 422, "operation"),
    ],
)
async def test_what_cannot_be_done_names_the_argument(
    control: httpx.AsyncClient, operation: Any, arguments: dict[str, Any], status: int, field: str | None
) -> None:
    body = {"operation": operation, "arguments": arguments}
    answer = await control.post("/control", json=body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"]
    assert error["next_step"]
    if field is not None:
        assert (error["code"], error["details"]) == ("invalid_request", {"field": field})


async def test_every_operation_refuses_arguments_it_does_not_have(control: httpx.AsyncClient) -> None:
    for operation in OPERATIONS:
        answer = await ask(control, operation, never=1)
        assert answer.status_code == 422, operation


async def test_without_the_token_nothing_happens(house: Gateway, control: httpx.AsyncClient) -> None:
    for value in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \xfc"):
        answer = await control.post(
            "/control",
            json={"operation": "accounts.list"},
            headers=[(b"Authorization", value.encode("latin-1"))],
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    async with house.client(await house.add_account()) as ann:
        answer = await ann.http.post("/control", json={"operation": "accounts.list"})
        assert answer.status_code == 404, "users reach no control channel"


async def test_other_machines_are_turned_away(house: Gateway) -> None:
    transport = httpx.ASGITransport(create_control(house.ctx, TOKEN), client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://control") as client:
        answer = await client.post(
            "/control", json={"operation": "accounts.list"}, headers={"Authorization": f"Bearer {TOKEN}"}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


async def test_bad_bodies(control: httpx.AsyncClient) -> None:
    for body in (b"", b"[]", b"{", b'{"operation": "accounts.list", "more": 1}', b"[" * 100_000):
        answer = await control.post("/control", content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")
    answer = await control.post("/control", content=b" " * (1024 * 1024 + 1))
    assert answer.status_code == 413
    assert (await control.get("/control")).status_code == 405
    assert (await control.get("/docs")).status_code == 404
