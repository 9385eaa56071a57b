"""One look serves all viewers, and a viewer that does not keep up holds nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from comfygate.app import opened
from comfygate.domain.errors import TooManyStreams
from comfygate.gate import operate, ops_board
from comfygate.gate.context import Context
from comfygate.gate.ops_board import EVENTS_AT_ONCE, Board, Happened, Viewer
from comfygate.gate.ops_feed import FEED_MAX, Feed
from comfygate.gate.ops_now import look
from comfygate.settings import load_settings
from tests.looking import before_the_next_look

PATIENCE_SECONDS = 20.0


@pytest.fixture
async def ctx(tmp_path: Path) -> AsyncIterator[Context]:
    async with opened(load_settings(base_dir=tmp_path, environ={})) as context:
        yield context


def events_in(sent: bytes) -> list[tuple[str, Any]]:
    found = []
    for frame in sent.decode().split("\n\n"):
        if frame:
            name, data = frame.split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_the_feed_keeps_the_newest_and_says_what_is_missed() -> None:
    feed = Feed()
    assert feed.after(0) == ([], 0)
    for number in range(FEED_MAX + 10):
        feed.note(number, "job.queued", job_id=str(number))
    found, missed = feed.after(0)
    assert (len(found), missed) == (FEED_MAX, 10)
    found, missed = feed.after(feed.last - 3, 2)
    assert ([event[0] for event in found], missed) == ([feed.last - 1, feed.last], 1)
    assert feed.after(feed.last) == ([], 0)


async def test_what_was_not_taken_is_replaced_by_what_is_newer(ctx: Context) -> None:
    viewer = Viewer(Happened(ctx))
    for number in range(10_000):
        viewer.put({("lane", "image"): b"lane %d\n" % number, ("lane", "video"): b"other\n"})
    for number in range(FEED_MAX):
        ctx.feed.note(number, "job.queued", job_id=str(number))
    sent = await viewer.take()
    assert sent.startswith(b"lane 9999\nother\n")
    ((name, body),) = events_in(sent.removeprefix(b"lane 9999\nother\n"))
    assert name == "events"
    assert len(body["events"]) == EVENTS_AT_ONCE
    assert body["missed"] == FEED_MAX - EVENTS_AT_ONCE
    assert body["events"][-1]["job_id"] == str(FEED_MAX - 1)


async def test_what_happened_is_written_once_for_all_who_know_as_much(ctx: Context) -> None:
    happened = Happened(ctx)
    one, other = Viewer(happened), Viewer(happened)
    ctx.feed.note(1, "job.queued", job_id="a")
    one.wake()
    first = await one.take()
    ctx.feed.note(2, "job.running", job_id="a")
    for viewer in (one, other):
        viewer.wake()
    second, both = await one.take(), await other.take()
    assert [event["kind"] for event in events_in(first)[0][1]["events"]] == ["job.queued"]
    assert [event["kind"] for event in events_in(second)[0][1]["events"]] == ["job.running"]
    assert [event["id"] for event in events_in(both)[0][1]["events"]] == [1, 2]
    assert happened.after(0) is happened.after(0)
    assert happened.after(happened.last) == b""


async def test_events_are_told_while_a_look_takes_long(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    board, hold = Board(ctx), asyncio.Event()
    monkeypatch.setattr(ops_board, "EVENTS_SECONDS", 0.01)

    async def slow(ctx: Context) -> Any:
        await hold.wait()
        return await look(ctx)

    with board.viewer() as viewer:
        told = board.told(viewer)
        await anext(told)
        monkeypatch.setattr(ops_board, "look", slow)
        async with asyncio.timeout(PATIENCE_SECONDS):
            for number in range(3):
                ctx.feed.note(number, "job.queued", job_id=str(number))
                names = {name for name, _ in events_in(await anext(told))}
                assert "events" in names
        hold.set()
        await told.aclose()  # type: ignore[attr-defined]


async def test_viewers_are_told_what_changes_by_one_look(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, looks = Board(ctx), 0

    async def counted(ctx: Context) -> Any:
        nonlocal looks
        looks += 1
        return await look(ctx)

    monkeypatch.setattr(ops_board, "look", counted)
    with board.viewer() as one, board.viewer() as other:
        told = [board.told(one), board.told(other)]
        async with asyncio.timeout(PATIENCE_SECONDS):
            for source in told:
                ((name, now),) = events_in(await anext(source))
                assert name == "now"
                assert [lane["state"] for lane in now["lanes"]] == ["open", "open"]
            assert looks == 1
            await operate.perform(ctx, "lanes.pause", {"lane": "image"})
            seen: list[set[str]] = []
            for source in told:
                names: set[str] = set()
                while "lane" not in names:
                    for name, body in events_in(await anext(source)):
                        names.add(name)
                        if name == "lane":
                            assert (body["name"], body["state"]) == ("image", "paused")
                seen.append(names)
        assert "events" in seen[0], "the operation is an event too"
        assert looks <= 4
        for source in told:
            await source.aclose()  # type: ignore[attr-defined]
    assert board.viewers == 0


async def test_a_server_that_is_gone_is_said_to_be(ctx: Context) -> None:
    board = Board(ctx)
    await operate.perform(
        ctx, "servers.add", {"name": "gpu1", "url": "http://127.0.0.1:9", "lanes": ["image"]}
    )
    with board.viewer() as viewer:
        told = board.told(viewer)
        async with asyncio.timeout(PATIENCE_SECONDS):
            ((_, now),) = events_in(await anext(told))
            assert [server["name"] for server in now["servers"]] == ["gpu1"]
            assert {alert["key"] for alert in now["alerts"]} == {"server gpu1", "lane image", "lane video"}
            await operate.perform(ctx, "servers.remove", {"name": "gpu1"})
            while True:
                names = dict(events_in(await anext(told)))
                if "gone" in names:
                    break
        assert names["gone"] == {"what": "server", "name": "gpu1"}
        await told.aclose()  # type: ignore[attr-defined]


async def test_there_are_only_so_many_viewers(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops_board, "VIEWERS_MAX", 1)
    board = Board(ctx)
    with board.viewer(), pytest.raises(TooManyStreams), board.viewer():
        pytest.fail("one too many")
    with board.viewer():
        assert board.viewers == 1


async def test_books_that_do_not_balance_are_an_alert(ctx: Context) -> None:
    await operate.perform(ctx, "accounts.add", {"name": "ann", "credits": 5})

    def forge(conn: Any) -> None:
        conn.exec_driver_sql("UPDATE accounts SET available = 6")

    await ctx.store.run(forge)
    board = Board(ctx)
    alerts: dict[str, Any] = {}
    # They are read beside the looks.
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "ledger" not in alerts:
            alerts = {alert["key"]: alert for alert in json.loads(await board.now())["alerts"]}
            await board.alerts.books_read()
            await before_the_next_look()
    assert alerts["ledger"]["grade"] == "fault"
    assert "available is 6, its entries say 5" in alerts["ledger"]["says"]
