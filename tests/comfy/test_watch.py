"""Watching ends exactly once and rightly, whatever happens to the socket, the server or the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from aiohttp import web

from comfygate.comfy.client import ComfyClient
from comfygate.comfy.errors import ProtocolError
from comfygate.comfy.feed import Feed, FeedItem
from comfygate.comfy.frames import Executing, ExecutionEnded
from comfygate.comfy.watch import (
    Event,
    Finished,
    NodeOutput,
    NodeProgress,
    OffServer,
    PreviewImage,
    Started,
    Unreachable,
    Vanished,
    watch,
)
from comfygate.comfy.wire import CancelResult, FileRef, ServerAddress, TextOutput
from tests.comfy.rig import (
    NEVER_SECONDS,
    SOON_SECONDS,
    Rig,
    Told,
    drained,
    new_id,
    node,
    odd_server,
    picture_graph,
    rig,
    running,
    says,
)

GRAPH = picture_graph()


def watching(
    made: Rig,
    prompt_id: str,
    *,
    client_id: str | None,
    poll_seconds: float = NEVER_SECONDS,
    feed: Feed | None = None,
    graph: dict[str, Any] = GRAPH,
) -> AsyncGenerator[Event, None]:
    return watch(
        made.client,
        made.channel,
        prompt_id,
        graph,
        poll_seconds=poll_seconds,
        client_id_sent=client_id,
        feed=feed,
    )


def looks(made: Rig, prompt_id: str) -> int:
    return sum(request.path == f"/history/{prompt_id}" for request in made.sim.requests)


async def test_socket_alone_tells_all_and_history_is_read_once() -> None:
    async with rig(steps=True, previews=True) as made:
        prompt_id, client_id = new_id(), await made.connected()
        with made.channel.listen(prompt_id) as feed:
            await made.client.send(prompt_id, GRAPH, client_id=client_id)
            events = await drained(watching(made, prompt_id, client_id=client_id, feed=feed))
        assert looks(made, prompt_id) == 1
    assert isinstance(events[0], Started)
    assert sum(isinstance(event, Started) for event in events) == 1
    progress = [event for event in events if isinstance(event, NodeProgress)]
    assert [event.value for event in progress] == sorted(event.value for event in progress)
    assert progress[-1].value == 1.0
    assert {event.current_node_class for event in progress} >= {"EmptyImage", "ImageInvert"}
    assert any(isinstance(event, PreviewImage) for event in events)
    assert NodeOutput("3", (FileRef("out_00001_.png", "", "output"),)) in events
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.record.status == "success"
    assert sum(isinstance(event, Finished | Vanished) for event in events) == 1


async def test_execution_success_is_not_the_end_history_is() -> None:
    async with rig() as made:
        made.sim.hold("history")
        prompt_id, client_id, told = new_id(), await made.connected(), Told()
        with made.channel.listen(prompt_id) as feed:
            await made.client.send(prompt_id, GRAPH, client_id=client_id)
            async with running(told.follow(watching(made, prompt_id, client_id=client_id, feed=feed))):
                await told.until(NodeOutput)
                assert looks(made, prompt_id) == 0
                made.sim.release()
                assert isinstance(await told.end(), Finished)


async def test_only_executing_null_asks_for_history() -> None:
    async with rig() as made:
        client_id, told = await made.connected(), Told()
        with made.channel.listen("p") as feed:
            feed.put(ExecutionEnded("p", "success"))
            feed.put(Executing("p", "1"))
            async with running(told.follow(watching(made, "p", client_id=client_id, feed=feed))):
                await told.until(NodeProgress)
                assert looks(made, "p") == 0
                feed.put(Executing("p", None))
                await made.sim.requested("GET", "/history/p")


async def test_a_late_loop_hears_what_was_said_before_it_looks() -> None:
    async with rig() as made:
        prompt_id, client_id = new_id(), await made.connected()
        with made.channel.listen(prompt_id) as earlier:
            await made.client.send(prompt_id, GRAPH, client_id=client_id)
            heard: list[FeedItem | None] = []
            while not heard or heard[-1] != Executing(prompt_id, None):
                heard.append(await earlier.get(NEVER_SECONDS))
        feed = Feed()
        for frame in heard:
            assert frame is not None
            feed.put(frame)
        # Without its client id the first look is due at once, and late from the first frame on.
        events = await drained(watching(made, prompt_id, client_id=None, feed=feed))
        assert looks(made, prompt_id) == 1
    assert any(isinstance(event, NodeOutput) for event in events)
    assert [type(event) for event in events[-2:]] == [OffServer, Finished]


async def test_prompt_over_before_watching_began_is_found_at_the_first_look() -> None:
    async with rig() as made:
        prompt_id, client_id = new_id(), await made.connected()
        with made.channel.listen(prompt_id) as earlier:
            await made.client.send(prompt_id, GRAPH, client_id=client_id)
            while await earlier.get(NEVER_SECONDS) != Executing(prompt_id, None):
                continue
        events = await drained(watching(made, prompt_id, client_id=client_id))
        assert isinstance(events[-1], Finished)


async def test_silent_socket_is_settled_by_polling() -> None:
    async with rig() as made:
        made.sim.hold()
        prompt_id, client_id, told = new_id(), await made.connected(), Told()
        made.sim.silence_sockets()
        await made.client.send(prompt_id, GRAPH, client_id=client_id)
        events = watching(made, prompt_id, client_id=client_id, poll_seconds=SOON_SECONDS)
        async with running(told.follow(events)):
            await told.until(Started)
            made.sim.release()
            end = await told.end()
        assert made.channel.client_id == client_id
    assert isinstance(end, Finished)
    assert told.of(NodeProgress) == []


async def test_dropped_socket_midway_looks_at_once_and_polls_on() -> None:
    async with rig() as made:
        made.sim.hold()
        prompt_id, client_id, told = new_id(), await made.connected(), Told()
        with made.channel.listen(prompt_id) as feed:
            await made.client.send(prompt_id, GRAPH, client_id=client_id)
            events = watching(made, prompt_id, client_id=client_id, poll_seconds=SOON_SECONDS, feed=feed)
            async with running(told.follow(events)):
                await told.until(NodeProgress)
                made.sim.drop_sockets()
                await made.sim.requested("GET", "/queue")
                assert await made.connected() != client_id
                made.sim.release()
                assert isinstance(await told.end(), Finished)
        assert made.sim.executed == [prompt_id]


async def test_dropped_socket_does_not_wait_for_the_next_poll() -> None:
    async with rig() as made:
        made.sim.hold()
        prompt_id, client_id, told = new_id(), await made.connected(), Told()
        with made.channel.listen(prompt_id) as feed:
            await made.client.send(prompt_id, GRAPH, client_id=client_id)
            async with running(told.follow(watching(made, prompt_id, client_id=client_id, feed=feed))):
                await told.until(NodeProgress)
                made.sim.drop_sockets()
                await made.sim.requested("GET", "/queue")


async def test_prompt_seen_again_between_two_looks_has_not_vanished() -> None:
    answers = iter([[], [[0, "p"]], [], [[0, "p"]], [], []])

    async def queue(_request: web.Request) -> web.Response:
        return web.json_response({"queue_running": next(answers), "queue_pending": []})

    routes = [("GET", "/history/p", says({})), ("GET", "/queue", queue)]
    async with rig(connect=False) as made, odd_server(routes) as url:
        client = ComfyClient(ServerAddress(url), session=made.session)
        events = watch(client, made.channel, "p", GRAPH, poll_seconds=SOON_SECONDS, client_id_sent=None)
        assert await drained(events) == [Started(), Vanished()]
    assert next(answers, None) is None


async def test_socket_under_another_id_or_none_leaves_it_to_polling() -> None:
    async with rig() as made:
        for client_id in ("an-older-connection", None):
            prompt_id = new_id()
            await made.client.send(prompt_id, picture_graph(new_id()), client_id=client_id)
            events = watching(made, prompt_id, client_id=client_id, poll_seconds=SOON_SECONDS)
            assert isinstance((await drained(events))[-1], Finished)


async def test_lost_answer_to_send_is_watched_to_its_end_and_run_once() -> None:
    async with rig() as made:
        prompt_id, client_id = new_id(), await made.connected()
        made.sim.fail_next("/prompt", "accept_then_close", method="POST")
        with pytest.raises(Exception, match="connection broke"):
            await made.client.send(prompt_id, GRAPH, client_id=client_id)
        events = await drained(watching(made, prompt_id, client_id=client_id, poll_seconds=SOON_SECONDS))
        assert isinstance(events[-1], Finished)
        assert made.sim.executed == [prompt_id]


async def test_prompt_forgotten_by_a_restart_vanishes_after_two_looks() -> None:
    async with rig() as made:
        made.sim.hold()
        prompt_id, client_id, told = new_id(), await made.connected(), Told()
        await made.client.send(prompt_id, GRAPH, client_id=client_id)
        events = watching(made, prompt_id, client_id=client_id, poll_seconds=SOON_SECONDS)
        async with running(told.follow(events)):
            await told.until(Started)
            await made.sim.restart()
            assert isinstance(await told.end(), Vanished)
        assert told.of(Finished) == []


async def test_first_look_that_finds_nothing_is_not_the_end() -> None:
    async with rig(connect=False) as made:
        prompt_id, told = new_id(), Told()
        events = watching(made, prompt_id, client_id=None, poll_seconds=0.3)
        async with running(told.follow(events)):
            await made.sim.requested("GET", f"/history/{prompt_id}", count=2)
            await made.client.send(prompt_id, GRAPH, client_id=None)
            assert isinstance(await told.end(), Finished)


async def test_unreachable_server_is_told_each_poll_and_is_not_an_end() -> None:
    async with rig() as made:
        made.sim.hold()
        prompt_id, client_id, told = new_id(), await made.connected(), Told()
        await made.client.send(prompt_id, GRAPH, client_id=client_id)
        events = watching(made, prompt_id, client_id=client_id, poll_seconds=SOON_SECONDS)
        async with running(told.follow(events)):
            await told.until(Started)
            for outcome in (500, 401, 404):
                made.sim.fail_next(f"/history/{prompt_id}", outcome)
            made.sim.drop_sockets()
            await made.sim.requested("GET", f"/history/{prompt_id}", count=looks(made, prompt_id) + 4)
            made.sim.release()
            assert isinstance(await told.end(), Finished)
    waits = [event.since_seconds for event in told.of(Unreachable)]
    assert len(waits) == 3
    assert waits[0] == 0.0
    assert waits == sorted(waits)


@pytest.mark.parametrize("server", [{}, {"jobs_api": True}])
async def test_canceled_while_running_ends_as_interrupted(server: dict[str, Any]) -> None:
    async with rig(**server) as made:
        made.sim.hold()
        prompt_id, client_id, told = new_id(), await made.connected(), Told()
        with made.channel.listen(prompt_id) as feed:
            await made.client.send(prompt_id, GRAPH, client_id=client_id)
            async with running(told.follow(watching(made, prompt_id, client_id=client_id, feed=feed))):
                await told.until(Started)
                assert await made.client.cancel(prompt_id) is CancelResult.REQUESTED
                end = await told.end()
    assert isinstance(end, Finished)
    assert end.record.status == "interrupted"


async def test_canceled_while_pending_vanishes() -> None:
    async with rig() as made:
        made.sim.hold()
        stranger, prompt_id, client_id = new_id(), new_id(), await made.connected()
        await made.client.send(stranger, GRAPH, client_id="stranger")
        await made.sim.started(stranger)
        await made.client.send(prompt_id, GRAPH, client_id=client_id)
        told = Told()
        events = watching(made, prompt_id, client_id=client_id, poll_seconds=SOON_SECONDS)
        async with running(told.follow(events)):
            assert await made.client.cancel(prompt_id) is CancelResult.REQUESTED
            assert isinstance(await told.end(), Vanished)
        assert told.of(Started) == []


async def test_failing_node_ends_with_its_reason() -> None:
    async with rig() as made:
        made.sim.error_on("ImageInvert", message="CUDA out of memory", exception_type="OutOfMemoryError")
        prompt_id, client_id = new_id(), await made.connected()
        with made.channel.listen(prompt_id) as feed:
            await made.client.send(prompt_id, GRAPH, client_id=client_id)
            events = await drained(watching(made, prompt_id, client_id=client_id, feed=feed))
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.record.status == "error"
    assert last.record.failure is not None
    assert (last.record.failure.node_id, last.record.failure.class_type) == ("2", "ImageInvert")
    assert last.record.failure.exception_type.endswith("OutOfMemoryError")


async def test_cached_run_and_text_output() -> None:
    graph = {"1": node("PrimitiveString", value="hello"), "2": node("PreviewAny", source=["1", 0])}
    async with rig() as made:
        client_id = await made.connected()
        for _ in range(2):
            prompt_id = new_id()
            with made.channel.listen(prompt_id) as feed:
                await made.client.send(prompt_id, graph, client_id=client_id)
                events = await drained(watching(made, prompt_id, client_id=client_id, feed=feed, graph=graph))
            last = events[-1]
            assert isinstance(last, Finished)
            assert last.record.outputs == {"2": (TextOutput("hello"),)}


async def test_history_that_lags_behind_the_end_is_asked_for_again_soon() -> None:
    async with rig() as made:
        prompt_id, client_id = new_id(), await made.connected()
        made.sim.fail_next(f"/history/{prompt_id}", 500, times=2)
        with made.channel.listen(prompt_id) as feed:
            await made.client.send(prompt_id, GRAPH, client_id=client_id)
            events = await drained(watching(made, prompt_id, client_id=client_id, feed=feed))
        assert isinstance(events[-1], Finished)
        assert looks(made, prompt_id) == 3


async def test_history_of_another_shape_is_raised() -> None:
    routes = [("GET", "/history/p", says({"p": {"status": None}}))]
    async with rig(connect=False) as made, odd_server(routes) as url:
        client = ComfyClient(ServerAddress(url), session=made.session)
        with pytest.raises(ProtocolError, match=r"history\.status"):
            await drained(watch(client, made.channel, "p", GRAPH, client_id_sent=None))


async def test_watch_that_is_left_stops_listening() -> None:
    async with rig() as made:
        made.sim.hold()
        prompt_id, client_id = new_id(), await made.connected()
        await made.client.send(prompt_id, GRAPH, client_id=client_id)
        events = watching(made, prompt_id, client_id=client_id, poll_seconds=SOON_SECONDS)
        assert isinstance(await anext(events), Started)
        await events.aclose()
        assert made.channel._listeners == {}


async def test_foreign_queue_is_not_read_while_the_socket_speaks() -> None:
    asked: list[str] = []
    spoken = asyncio.Event()

    async def history(_request: web.Request) -> web.Response:
        asked.append("history")
        if len(asked) > 3:
            spoken.set()
        return web.json_response({})

    async def queue(_request: web.Request) -> web.Response:
        asked.append("queue")
        return web.json_response({"queue_running": [[0, "p"]], "queue_pending": []})

    routes = [("GET", "/history/p", history), ("GET", "/queue", queue)]
    async with rig() as made, odd_server(routes) as url:
        client_id = await made.connected()
        client = ComfyClient(ServerAddress(url), session=made.session)
        made.sim.hold()
        with made.channel.listen("p") as feed:
            told = Told()
            events = watch(
                client,
                made.channel,
                "p",
                GRAPH,
                poll_seconds=SOON_SECONDS,
                client_id_sent=client_id,
                feed=feed,
            )
            feed.put(Executing("p", "1"))
            async with running(told.follow(events)), asyncio.timeout(10):
                await spoken.wait()
    assert asked[0] == "history"
    assert asked[1] == "history"
    assert "queue" in asked
