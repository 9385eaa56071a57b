"""Signing in on the web: once by a link, only from one's own pages, until it is ended."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from comfygate.store import sessions
from tests.promises.rig import Gateway, gateway, plain_graph, settings_for
from tests.web.browser import SAME_SITE, browsing


@pytest.fixture
async def house(tmp_path: Path, database_url: str) -> AsyncIterator[Gateway]:
    async with gateway(settings_for(tmp_path / "gate", database_url)) as started:
        yield started


@pytest.fixture
async def lite(tmp_path: Path, sqlite_url: str) -> AsyncIterator[Gateway]:
    async with gateway(settings_for(tmp_path / "gate", sqlite_url)) as started:
        yield started


async def test_a_link_signs_in_once_and_the_session_stands_for_the_key(house: Gateway) -> None:
    ann = await house.add_account("ann", credits=10)
    made = await ann.call("POST", "/gate/v1/account/sign-in-links", status=201)
    assert made["url"].startswith(f"{house.house.url}/sign-in#")
    async with browsing(house.house.url) as browser, browsing(house.house.url) as thief:
        signed_in = await browser.sign_in(made["url"])
        assert signed_in["account"]["id"] == ann.id
        again = await thief.ask(
            "POST", "/gate/v1/session", status=404, json={"code": made["url"].partition("#")[2]}
        )
        assert again["error"]["code"] == "not_found"
        assert (await browser.ask("GET", "/gate/v1/account"))["id"] == ann.id
        job = await browser.ask("POST", "/api/v2/jobs", status=201, json={"workflow": plain_graph()})
        assert (await ann.job(job["id"]))["id"] == job["id"]
        await thief.ask("GET", f"/api/v2/jobs/{job['id']}", status=401)


async def test_nothing_of_a_link_or_session_is_kept_but_digests(lite: Gateway, tmp_path: Path) -> None:
    ann = await lite.add_account("ann")
    made = await ann.call("POST", "/gate/v1/account/sign-in-links", status=201)
    code = made["url"].partition("#")[2]
    async with browsing(lite.house.url) as browser:
        await browser.sign_in(made["url"])
        (cookie,) = list(browser.session.cookie_jar)
    store = lite.house.service.ctx.store
    digest = hashlib.sha256(f"session {cookie.value}".encode()).hexdigest()
    assert await store.read(sessions.account_of, digest, 0) is not None
    assert await store.read(sessions.account_of, cookie.value, 0) is None
    kept = b"".join(file.read_bytes() for file in (tmp_path / "gate" / "data").glob("comfygate.db*"))
    assert code.encode() not in kept
    assert cookie.value.encode() not in kept


async def test_a_newer_link_ends_the_one_before_and_a_link_runs_out(house: Gateway) -> None:
    ann = await house.add_account("ann")
    first = await ann.call("POST", "/gate/v1/account/sign-in-links", status=201)
    second = await ann.call("POST", "/gate/v1/account/sign-in-links", status=201)
    ctx = house.house.service.ctx
    now_ms = ctx.now_ms()
    async with browsing(house.house.url) as browser:
        await browser.ask(
            "POST", "/gate/v1/session", status=404, json={"code": first["url"].partition("#")[2]}
        )
        object.__setattr__(ctx, "now_ms", lambda: now_ms + ctx.rules.code_seconds * 1000 + 1)
        await browser.ask(
            "POST", "/gate/v1/session", status=404, json={"code": second["url"].partition("#")[2]}
        )
        await browser.ask("POST", "/gate/v1/session", status=201, json={"api_key": ann.key})
        object.__setattr__(ctx, "now_ms", lambda: now_ms + 2 * ctx.rules.session_seconds * 1000)
        answer = await browser.ask("GET", "/gate/v1/account", status=401)
        assert "sign in again" in answer["error"]["message"]


async def test_signing_out_here_or_everywhere(house: Gateway) -> None:
    ann = await house.add_account("ann")
    url = house.house.url
    async with browsing(url) as desk, browsing(url) as phone, browsing(url) as tablet:
        for browser in (desk, phone, tablet):
            await browser.ask("POST", "/gate/v1/session", status=201, json={"api_key": ann.key})
        (cookie,) = list(desk.session.cookie_jar)
        await desk.ask("DELETE", "/gate/v1/session", status=204)
        assert not list(desk.session.cookie_jar)
        stolen = {"Cookie": f"{cookie.key}={cookie.value}", **SAME_SITE}
        await desk.ask("GET", "/gate/v1/account", status=401, headers=stolen)
        await phone.ask("DELETE", "/gate/v1/session?of=all", status=204)
        await tablet.ask("GET", "/gate/v1/account", status=401)
        await ann.call("GET", "/gate/v1/account")


ELSEWHERE: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {},
]
NO_BODIES: list[dict[str, object]] = [
    {}, {"code": "x", "api_key": "y"}, {"code": ""}, {"code": 5}, {"other": "x"}, {"code": "x" * 201}
]  # fmt: skip


async def test_another_site_changes_nothing_with_a_session(lite: Gateway) -> None:
    ann = await lite.add_account("ann", credits=10)
    async with browsing(lite.house.url) as browser:
        await browser.ask("POST", "/gate/v1/session", status=201, json={"api_key": ann.key})
        job = {"workflow": plain_graph()}
        for headers in ELSEWHERE:
            refused = await browser.ask("POST", "/api/v2/jobs", status=403, headers=headers, json=job)
            assert refused["error"]["code"] == "forbidden"
            await browser.ask("DELETE", "/gate/v1/session", status=403, headers=headers)
        signing_in = {"json": {"api_key": ann.key}}
        for headers in ELSEWHERE[:-1]:
            await browser.ask("POST", "/gate/v1/session", status=403, headers=headers, **signing_in)
        assert await ann.credits() == (10, 0)
        # The same from a page of the service, in a browser that knows no Fetch Metadata.
        own = {"Origin": lite.house.url}
        await browser.ask("POST", "/api/v2/jobs", status=201, headers=own, json=job)
        for body in NO_BODIES:
            answer = await browser.ask("POST", "/gate/v1/session", status=422, json=body)
            assert answer["error"]["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("public_url", "root_path", "secure", "path"),
    [
        ("https://gate.example.org/comfy", "/comfy", True, "/comfy/"),
        ("http://gate.example.org", "", False, "/"),
    ],
)
async def test_the_cookie_is_kept_from_scripts_and_from_plain_http(
    tmp_path: Path, sqlite_url: str, public_url: str, root_path: str, secure: bool, path: str
) -> None:
    top = {"public_url": public_url, "root_path": root_path}
    async with gateway(settings_for(tmp_path / "gate", sqlite_url, top)) as house:
        ann = await house.add_account("ann")
        made = await ann.call("POST", "/gate/v1/account/sign-in-links", status=201)
        assert made["url"].startswith(f"{public_url}/sign-in#")
        url = f"{house.house.url}/gate/v1/session"
        async with house.session.post(url, json={"api_key": ann.key}, headers=SAME_SITE) as answer:
            (cookie,) = SimpleCookie(answer.headers["Set-Cookie"]).values()
    assert (bool(cookie["secure"]), bool(cookie["httponly"])) == (secure, True)
    assert (cookie["samesite"].lower(), cookie["path"]) == ("lax", path)


async def test_a_session_goes_with_its_account(house: Gateway) -> None:
    ann = await house.add_account("ann")
    ben = await house.add_account("ben")
    async with browsing(house.house.url) as browser:
        await browser.ask("POST", "/gate/v1/session", status=201, json={"api_key": ann.key})
        code = (await ben.call("POST", "/gate/v1/account/link-codes", status=201))["code"]
        await browser.ask("POST", "/gate/v1/account/link", json={"code": code})
        # Joined to ben's, the session is of ben's account now.
        assert (await browser.ask("GET", "/gate/v1/account"))["id"] == ben.id
