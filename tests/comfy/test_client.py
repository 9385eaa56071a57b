"""Asking a server: what it says comes back as values, and every way of not answering has its own error."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from aiohttp import web

from comfygate.comfy.client import ComfyClient
from comfygate.comfy.errors import (
    AnswerTooLarge,
    PromptRejected,
    ProtocolError,
    RequestRefused,
    ServerRefused,
    ServerUnreachable,
)
from comfygate.comfy.wire import CancelVia, Located, ServerAddress, Timeouts
from tests.comfy.rig import (
    WAIT_SECONDS,
    Handler,
    Rig,
    client_of,
    new_id,
    node,
    odd_server,
    picture_graph,
    rig,
    running,
    says,
)


async def test_probe_tells_version_devices_and_limits() -> None:
    async with rig(connect=False, upload_bytes_max=1234) as made:
        found = await made.client.probe()
    assert (found.version, found.devices, found.upload_bytes_max) == ("0.3.64", ("cpu",), 1234)
    assert found.keeps_prompt_id
    assert found.cancel_via is CancelVia.INTERRUPT_BY_ID


async def test_probe_of_a_server_without_features_page() -> None:
    stats = {"system": {"comfyui_version": "0.3.40"}, "devices": None}
    async with odd_server([("GET", "/system_stats", says(stats))]) as url, client_of(url) as client:
        found = await client.probe()
    assert (found.upload_bytes_max, found.devices, found.keeps_prompt_id) == (None, (), False)
    assert found.cancel_via is CancelVia.NONE


async def test_send_locate_history_forget() -> None:
    async with rig(connect=False) as made:
        made.sim.hold()
        prompt_id, waiting_id = new_id(), new_id()
        first = await made.client.send(prompt_id, picture_graph(), client_id="c")
        await made.sim.started(prompt_id)
        second = await made.client.send(waiting_id, picture_graph(), client_id="c", extra_data={"a": 1})
        assert second.number == first.number + 1
        assert first.node_errors == {}
        assert await made.client.locate(prompt_id) == (Located.RUNNING, None)
        assert await made.client.locate(waiting_id) == (Located.PENDING, None)
        assert await made.client.locate(new_id()) == (Located.UNKNOWN, None)
        assert await made.client.queue_depth() == 2
        made.sim.release()
        await made.sim.finished(waiting_id)
        where, record = await made.client.locate(prompt_id)
        assert where is Located.FINISHED
        assert record is not None
        assert record.status == "success"
        await made.client.forget(prompt_id)
        assert await made.client.history(prompt_id) is None
        assert await made.client.history(waiting_id) is not None


async def test_prompt_that_ends_between_history_and_queue_is_found_by_the_third_look() -> None:
    looks = 0
    done = {"p": {"outputs": {}, "status": {"status_str": "success", "completed": True, "messages": []}}}

    async def history(_request: web.Request) -> web.Response:
        nonlocal looks
        looks += 1
        return web.json_response(done if looks == 2 else {})

    queue = says({"queue_running": [], "queue_pending": []})
    routes = [("GET", "/history/p", history), ("GET", "/queue", queue)]
    async with odd_server(routes) as url, client_of(url) as client:
        where, record = await client.locate("p")
    assert where is Located.FINISHED
    assert record is not None


async def test_rejected_graph_carries_the_servers_reasons() -> None:
    async with rig(connect=False) as made:
        with pytest.raises(PromptRejected) as caught:
            await made.client.send(new_id(), {"1": node("NoSuchNode")}, client_id="c")
        assert caught.value.status == 400
        assert caught.value.error["type"] == "invalid_prompt"


async def test_partly_valid_graph_is_sent_with_node_errors() -> None:
    graph = {**picture_graph(), "9": node("SaveImage", filename_prefix="bad")}
    async with rig(connect=False) as made:
        sent = await made.client.send(new_id(), graph, client_id="c")
        assert set(sent.node_errors) == {"9"}


async def test_send_without_a_client_id_makes_one_up() -> None:
    async with rig(connect=False) as made:
        await made.client.send(new_id(), picture_graph(), client_id=None)
        request = await made.sim.requested("POST", "/prompt")
        assert len(request.json["client_id"]) == 32


async def test_lost_answer_may_have_been_accepted_and_the_prompt_is_found() -> None:
    async with rig(connect=False) as made:
        made.sim.hold()
        made.sim.fail_next("/prompt", "accept_then_close", method="POST")
        prompt_id = new_id()
        with pytest.raises(ServerUnreachable) as caught:
            await made.client.send(prompt_id, picture_graph(), client_id="c")
        assert caught.value.maybe_accepted
        where, _record = await made.client.locate(prompt_id)
        assert where in (Located.RUNNING, Located.PENDING)
        posts = [r for r in made.sim.requests if (r.method, r.path) == ("POST", "/prompt")]
        assert len(posts) == 1


async def test_request_that_was_never_heard_may_have_been_accepted_for_all_we_know() -> None:
    async with rig(connect=False) as made:
        made.sim.fail_next("/prompt", "close", method="POST")
        prompt_id = new_id()
        with pytest.raises(ServerUnreachable) as caught:
            await made.client.send(prompt_id, picture_graph(), client_id="c")
        assert caught.value.maybe_accepted
        assert await made.client.locate(prompt_id) == (Located.UNKNOWN, None)


async def test_connection_refused_was_certainly_not_accepted() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with client_of(f"http://127.0.0.1:{unused.getsockname()[1]}") as client:
            with pytest.raises(ServerUnreachable) as caught:
                await client.send(new_id(), picture_graph(), client_id="c")
    assert not caught.value.maybe_accepted


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, ServerUnreachable),
        (503, ServerUnreachable),
        (429, ServerUnreachable),
        (401, ServerRefused),
        (403, ServerRefused),
        (404, RequestRefused),
        (405, RequestRefused),
        (413, RequestRefused),
        (400, RequestRefused),
    ],
)
async def test_every_status_has_its_error(status: int, kind: type[Exception]) -> None:
    async with rig(connect=False) as made:
        made.sim.fail_next("/prompt", status, method="POST")
        with pytest.raises(kind) as caught:
            await made.client.send(new_id(), picture_graph(), client_id="c")
        assert getattr(caught.value, "maybe_accepted", None) in (None, status >= 500)
        made.sim.fail_next("/prompt", status, method="GET")
        with pytest.raises(kind):
            await made.client.queue_depth()


async def test_answer_in_no_time_is_unreachable() -> None:
    asked, release = asyncio.Event(), asyncio.Event()

    async def stuck(_request: web.Request) -> web.Response:
        asked.set()
        await release.wait()
        return web.json_response({})

    hasty = Timeouts(answer_seconds=0.05)
    async with odd_server([("POST", "/prompt", stuck)]) as url, client_of(url, timeouts=hasty) as client:
        with pytest.raises(ServerUnreachable, match="no answer in time") as caught:
            await client.send(new_id(), picture_graph(), client_id="c")
        release.set()
    assert asked.is_set()
    assert caught.value.maybe_accepted


async def test_redirect_is_refused_and_not_followed() -> None:
    followed = False

    async def elsewhere(_request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("/trap")

    async def trap(_request: web.Request) -> web.Response:
        nonlocal followed
        followed = True
        return web.json_response({})

    routes = [("GET", "/prompt", elsewhere), ("GET", "/trap", trap)]
    async with odd_server(routes) as url, client_of(url) as client:
        with pytest.raises(RequestRefused, match="redirects are not followed"):
            await client.queue_depth()
    assert not followed


async def test_page_in_place_of_json_counts_as_unreachable() -> None:
    async def login(_request: web.Request) -> web.Response:
        return web.Response(text="<html>log in</html>", content_type="text/html")

    routes = [("GET", "/prompt", login), ("POST", "/prompt", login)]
    async with odd_server(routes) as url, client_of(url) as client:
        with pytest.raises(ServerUnreachable, match="not JSON"):
            await client.queue_depth()
        with pytest.raises(ServerUnreachable) as caught:
            await client.send(new_id(), picture_graph(), client_id="c")
    assert caught.value.maybe_accepted


async def test_answers_have_a_largest_size() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        try:
            while True:
                await reply.write(b"[" * 65536)
        except ConnectionError:
            return reply

    limits = Timeouts(history_bytes_max=200_000, queue_bytes_max=200_000, object_info_bytes_max=200_000)
    routes = [("GET", path, endless) for path in ("/history/p", "/queue", "/object_info")]
    async with odd_server(routes) as url, client_of(url, timeouts=limits) as client:
        with pytest.raises(AnswerTooLarge, match="200000 bytes"):
            await client.history("p")
        with pytest.raises(AnswerTooLarge):
            await client.object_info()
        with pytest.raises(ServerUnreachable, match="longer than"):
            await client.queue()


async def test_deeply_nested_answer_does_not_crash() -> None:
    async def deep(_request: web.Request) -> web.Response:
        return web.Response(text="[" * 100_000, content_type="application/json")

    async with odd_server([("GET", "/history/p", deep)]) as url, client_of(url) as client:
        with pytest.raises(ServerUnreachable):
            await client.history("p")


async def test_json_of_another_shape_names_the_place() -> None:
    routes = [("GET", "/queue", says({"queue_running": [[1]], "queue_pending": []}))]
    async with odd_server([*routes, ("GET", "/object_info", says([]))]) as url, client_of(url) as client:
        with pytest.raises(ProtocolError, match=r"queue\.queue_running\[0\]"):
            await client.queue()
        with pytest.raises(ProtocolError, match="object_info"):
            await client.object_info()


async def test_server_that_uses_ids_of_its_own_is_told_to_drop_the_prompt() -> None:
    deleted = []

    async def queue(request: web.Request) -> web.Response:
        deleted.append(await request.json())
        return web.Response()

    routes = [("POST", "/prompt", says({"prompt_id": "other", "number": 1, "node_errors": {}}))]
    async with odd_server([*routes, ("POST", "/queue", queue)]) as url, client_of(url) as client:
        with pytest.raises(ProtocolError, match=r"0\.3\.45"):
            await client.send(new_id(), picture_graph(), client_id="c")
    assert deleted == [{"delete": ["other"]}]


async def test_object_info_is_whole_and_large_ones_are_fine() -> None:
    async with rig(connect=False) as made:
        assert "SaveImage" in await made.client.object_info()
    large = {f"Node{i}": {"input": {"required": {"x": [["v" * 50] * 20]}}} for i in range(2000)}
    assert len(json.dumps(large)) > 2_000_000
    async with odd_server([("GET", "/object_info", says(large))]) as url, client_of(url) as client:
        assert len(await client.object_info()) == 2000


async def test_path_prefix_goes_before_every_path() -> None:
    prefix = "/deep/comfy"
    async with (
        rig(connect=False) as made,
        odd_server([("*", "/{rest:.*}", forward(made, prefix))], prefix) as url,
    ):
        client = ComfyClient(ServerAddress(url + "/"), session=made.session)
        prompt_id = new_id()
        await client.send(prompt_id, picture_graph(), client_id="c")
        await made.sim.finished(prompt_id)
        assert await client.history(prompt_id) is not None
        assert (await client.probe()).version == "0.3.64"
    assert str(ServerAddress("https://host/comfy/").socket("id")) == "wss://host/comfy/ws?clientId=id"
    assert str(ServerAddress("http://[::1]:8188").socket("id")) == "ws://[::1]:8188/ws?clientId=id"


def forward(made: Rig, prefix: str) -> Handler:
    """What a reverse proxy with a path prefix does."""

    async def handle(request: web.Request) -> web.Response:
        path = request.rel_url.path_qs.removeprefix(prefix)
        body = await request.read()
        headers = {"Content-Type": request.headers.get("Content-Type", "")}
        url = made.sim.url + path
        async with made.session.request(request.method, url, data=body, headers=headers) as answer:
            return web.Response(
                status=answer.status, body=await answer.read(), content_type=answer.content_type
            )

    return handle


async def test_canceled_caller_lets_go_of_the_connection() -> None:
    asked = asyncio.Event()

    async def stuck(_request: web.Request) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        return web.Response()

    async with (
        odd_server([("GET", "/prompt", stuck)]) as url,
        client_of(url) as client,
        running(client.queue_depth()),
        asyncio.timeout(WAIT_SECONDS),
    ):
        await asked.wait()
