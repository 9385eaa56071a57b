"""All of an account in one stream: how it stands, then what changes; one's own alone, at any pace."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import httpx
import pytest

from comfygate.api import account_events
from comfygate.gate import account_feed, operate
from comfygate.simulator import Simulator
from tests.api.house import (
    PATIENCE_SECONDS,
    Client,
    Event,
    Gateway,
    file_graph,
    image_graph,
    png,
    reference,
    sse,
)
from tests.looking import before_the_next_look
from tests.web.browser import SAME_SITE, browsing


class Heard:
    """What a page knows of its account, by the stream alone."""

    def __init__(self) -> None:
        self.account: dict[str, Any] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.gone: list[str] = []
        self.opened: list[str] | None = None
        self.progress: list[dict[str, Any]] = []
        self.statuses: dict[str, list[str]] = {}
        self.names: list[str] = []

    def take(self, event: Event) -> None:
        name, body = event
        self.names.append(name)
        match name:
            case "account":
                self.account = body
            case "job":
                self.jobs[body["id"]] = body
                self.statuses.setdefault(body["id"], []).append(body["status"])
            case "moved":
                self.jobs[body["id"]]["queue_position"] = body["queue_position"]
            case "progress":
                self.progress.append(body)
            case "gone":
                self.gone.append(body["id"])
            case "all":
                self.opened = body["ids"]
            case _:
                assert name in {"comment", "preview"}, name


class Page:
    """An open stream."""

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self.events, self.heard = events, Heard()

    async def until(self, good: Callable[[Heard], object]) -> Heard:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not good(self.heard):
                self.heard.take(await anext(self.events))
        return self.heard


@contextlib.asynccontextmanager
async def looking(client: Client) -> AsyncIterator[Page]:
    async with client.http.stream("GET", "/gate/v1/events") as answer:
        assert answer.status_code == 200, (await answer.aread()).decode()
        assert answer.headers["content-type"].startswith("text/event-stream")
        page = Page(sse(answer.aiter_lines()))
        await page.until(lambda heard: heard.opened is not None)
        yield page


async def test_a_page_hears_of_every_job_of_its_account_and_of_no_other(
    gateway: Gateway, sim: Simulator
) -> None:
    ann_key, ben_key = await gateway.add_account("ann"), await gateway.add_account("ben")
    async with gateway.client(ann_key) as ann, gateway.client(ben_key) as ben:
        sim.hold()
        before = await ann.submit(image_graph())
        await ann.until(before["id"], "running")
        async with looking(ann) as page, looking(ben) as others:
            assert page.heard.opened == [before["id"]]
            assert page.heard.account["held"] == 1
            assert others.heard.opened == []
            # From anywhere: another device, the bot, a program.
            later = [(await ann.submit(image_graph(color=n)))["id"] for n in range(3)]
            heard = await page.until(lambda h: set(later) <= h.jobs.keys())
            assert [heard.jobs[one]["queue_position"] for one in later] == [1, 2, 3]
            assert heard.jobs[later[0]]["charged"] == 1
            assert heard.jobs[later[0]]["hold"] == "placed"
            await ann.http.post(f"/api/v2/jobs/{later[0]}/cancel")
            heard = await page.until(lambda h: h.jobs[later[0]]["status"] == "canceled")
            assert heard.jobs[later[0]]["hold"] == "released"
            heard = await page.until(lambda h: h.jobs[later[1]]["queue_position"] == 1)
            his = await ben.submit(image_graph())
            sim.release()
            ids = [before["id"], *later[1:]]
            heard = await page.until(
                lambda h: all(h.jobs[one]["status"] == "succeeded" for one in ids) and h.account["held"] == 0
            )
            assert heard.account["available"] == 97
            assert all(len(heard.jobs[one]["outputs"]) == 1 for one in ids)
            assert heard.jobs.keys() == {before["id"], *later}
            known = await others.until(lambda h: h.jobs.get(his["id"], {}).get("status") == "succeeded")
            assert known.jobs.keys() == {his["id"]}
            gone = await ann.http.delete(f"/gate/v1/jobs/{ids[0]}")
            assert gone.status_code == 204
            await page.until(lambda h: h.gone == [ids[0]])
    async with asyncio.timeout(PATIENCE_SECONDS):
        while gateway.ctx.live.streams or gateway.ctx.live.watchers:
            await before_the_next_look()


async def test_progress_is_told_and_an_unheard_end_is_seen(
    tmp_path: Any, house: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_feed, "LOOK_SECONDS", 0.3)
    async with Simulator(base_dir=tmp_path / "sim", previews=True, node_seconds=0.3) as sim:
        await house.add_server(sim)
        async with house.client(await house.add_account()) as ann, looking(ann) as page:
            job = await ann.submit(image_graph())
            heard = await page.until(lambda h: h.progress and "preview" in h.names)
            assert heard.progress[0]["id"] == job["id"]
            await page.until(lambda h: h.jobs[job["id"]]["status"] == "succeeded")
            # As if another replica had told it, and the word got lost.
            monkeypatch.setattr(house.ctx.live, "stir", lambda *_: None)
            monkeypatch.setattr(house.ctx.live, "publish", lambda *_args, **_more: None)
            quiet = await ann.submit(image_graph(color=7))
            await page.until(lambda h: h.jobs.get(quiet["id"], {}).get("status") == "succeeded")


async def test_a_stream_ends_with_its_session_and_counts_against_the_limit(
    house: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_events, "KEEP_ALIVE_SECONDS", 0.05)
    key = await house.add_account()
    most = house.ctx.rules.limits.streams_per_account_max
    async with browsing(house.url) as desk:
        await desk.ask("POST", "/gate/v1/session", status=201, json={"api_key": key})
        async with desk.session.get(f"{house.url}/gate/v1/events", headers=SAME_SITE) as answer:
            await answer.content.readuntil(b": still here")
            await desk.ask("DELETE", "/gate/v1/session?of=all", status=204)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await answer.content.read()
    async with house.client(key) as ann, contextlib.AsyncExitStack() as stack:
        for _ in range(most):
            await stack.enter_async_context(looking(ann))
        refused = await ann.http.get("/gate/v1/events")
        assert (refused.status_code, refused.json()["error"]["details"]["value"]) == (429, most)


async def test_a_stream_ends_with_its_key(house: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_events, "KEEP_ALIVE_SECONDS", 0.05)
    key = await house.add_account("ann")
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{house.url}/gate/v1/events", headers=headers) as answer,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        await answer.content.readuntil(b": still here")
        (mark,) = (await operate.perform(house.ctx, "keys.list", {"account": "ann"}))["keys"]
        await operate.perform(house.ctx, "keys.revoke", {"account": "ann", "key": mark["key"]})
        await answer.content.read()
    assert house.ctx.live.streams == 0


async def test_what_is_heard_while_all_is_looked_at_is_not_lost(house: Gateway) -> None:
    """A job that ended meanwhile is not among the open ones: it is looked at by itself."""
    ready = asyncio.Event()
    watches = account_feed._Watches(house.ctx, ready)
    assert watches.settle({}, {"short"}, everything=True) == ((), ())
    assert ready.is_set()
    assert watches.changed() == {"short"}


async def test_who_does_not_read_is_cut_off_and_holds_nobody(
    lite: Gateway, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_events, "SEND_SECONDS_MAX", 0.2)
    # So much at once that no buffer takes it.
    big = "x" * 40_000_000
    monkeypatch.setattr(account_events.AccountStream, "_frames", lambda *_: [big])
    key = await lite.add_account()
    reader, writer = await asyncio.open_connection("127.0.0.1", lite.http.port)
    writer.write(f"GET /gate/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with lite.client(key) as ann:
            assert (await ann.run(image_graph()))["status"] == "succeeded"
            while lite.ctx.live.streams:
                await before_the_next_look()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_cards_say_what_was_ordered_and_what_went_in(ann: Client, lite: Gateway) -> None:
    asset = await ann.asset(png())
    job = await ann.run(file_graph(reference(asset)))
    card = (await ann.http.get(f"/gate/v1/jobs/{job['id']}")).json()
    assert (card["workflow"], card["parameters"], card["charged"], card["hold"]) == (
        None,
        None,
        1,
        "captured",
    )
    assert [sent["asset_id"] for sent in card["inputs"]] == [asset["id"]]
    assert card["outputs"][0]["id"] == job["outputs"][0]["id"]
    page = (await ann.http.get("/gate/v1/jobs", params={"limit": 1, "status": "succeeded"})).json()
    assert [one["id"] for one in page["jobs"]] == [job["id"]]
    assert page["next_cursor"] is None
    assert (await ann.http.get("/gate/v1/jobs", params={"workflow": "other"})).json()["jobs"] == []
    wrong: list[tuple[dict[str, str], str]] = [
        ({"status": "x"}, "status"), ({"cursor": "x"}, "cursor"), ({"limit": "1000"}, "limit")
    ]  # fmt: skip
    for params, field in wrong:
        refused: httpx.Response = await ann.http.get("/gate/v1/jobs", params=params)
        assert (refused.status_code, refused.json()["error"]["details"]["field"]) == (422, field)
