"""Files go in under the name the server chose and come out whole, whatever they are called."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from comfygate.comfy.client import ComfyClient
from comfygate.comfy.errors import OutputUnavailable, RequestRefused, ServerUnreachable
from comfygate.comfy.wire import FileRef
from tests.comfy.rig import client_of, content, new_id, node, odd_server, rig, whole


async def put(client: ComfyClient, name: str, *chunks: bytes, subfolder: str = "acct/job-1") -> str:
    return await client.upload(
        subfolder=subfolder,
        name=name,
        content=content(*chunks),
        size=sum(map(len, chunks)),
        content_type="image/png",
    )


@pytest.mark.parametrize(
    "name", ["photo.png", "Фото кота.png", "写真 🐈.png", "it's 100% + a&b;c=d#e?.png", "%2e%2e%2fx.png"]
)
async def test_name_and_bytes_survive_the_way_in_and_out(name: str) -> None:
    async with rig(connect=False) as made:
        reference = await put(made.client, name, b"\x89PNG", b"\0\r\n--", b"rest")
        assert reference == f"acct/job-1/{name}"
        stored = made.sim.base_dir / "input" / "acct" / "job-1" / name
        assert stored.read_bytes() == b"\x89PNG\0\r\n--rest"
        back = await whole(made.client.output(FileRef(name, "acct/job-1", "input")))
        assert back == b"\x89PNG\0\r\n--rest"


async def test_clash_is_renamed_and_same_bytes_are_reused() -> None:
    async with rig(connect=False) as made:
        assert await put(made.client, "a.png", b"one", subfolder="") == "a.png"
        assert await put(made.client, "a.png", b"two", subfolder="") == "a (1).png"
        assert await put(made.client, "a.png", b"one", subfolder="") == "a.png"
        assert (made.sim.base_dir / "input" / "a.png").read_bytes() == b"one"


async def test_upload_is_streamed_with_its_length() -> None:
    seen: dict[str, str | None] = {}
    halfway: list[int] = []
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(512):
            sent += 1
            yield b"x" * 65536

    async def receive(request: web.Request) -> web.Response:
        seen.update(length=request.headers.get("Content-Length"))
        async for piece in request.content.iter_any():
            if piece and not halfway:
                halfway.append(sent)
        return web.json_response({"name": "n.bin", "subfolder": "s", "type": "input"})

    async with odd_server([("POST", "/upload/image", receive)]) as url, client_of(url) as client:
        reference = await client.upload(
            subfolder="s", name="n.bin", content=chunks(), size=512 * 65536, content_type="video/mp4"
        )
    assert reference == "s/n.bin"
    assert int(seen["length"] or 0) > 512 * 65536
    assert halfway[0] < 512


async def test_too_large_for_the_server_is_refused_with_its_status() -> None:
    async with rig(connect=False, upload_bytes_max=1000) as made:
        with pytest.raises(RequestRefused) as caught:
            await put(made.client, "big.png", b"x" * 5000)
        assert caught.value.status == 413


@pytest.mark.parametrize(("size", "word"), [(2, "more"), (9, "fewer")])
async def test_content_of_another_length_is_the_callers_mistake(size: int, word: str) -> None:
    async with rig(connect=False) as made:
        with pytest.raises(ValueError, match=word):
            await made.client.upload(
                subfolder="s", name="a.png", content=content(b"four"), size=size, content_type="image/png"
            )
        assert not (made.sim.base_dir / "input" / "s").exists()


async def test_failure_of_the_source_is_the_callers_own() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise LookupError("gone")

    async with rig(connect=False) as made:
        with pytest.raises(LookupError, match="gone"):
            await made.client.upload(
                subfolder="s", name="a.png", content=broken(), size=5, content_type="image/png"
            )


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b.png", "a\\b.png", 'a"b.png', "a\r\nX: y.png", "x" * 999]
)
async def test_names_that_could_do_harm_are_not_sent(name: str) -> None:
    async with rig(connect=False) as made:
        with pytest.raises(ValueError, match="not a plain file name"):
            await put(made.client, name, b"x")
        with pytest.raises(ValueError, match="not a relative folder"):
            await put(made.client, "a.png", b"x", subfolder="../up")
        assert made.sim.requests == []


async def test_outputs_of_a_run_are_fetched_by_subfolder_and_type() -> None:
    graph = {
        "1": node("EmptyImage", width=32, height=32, batch_size=4, color=7),
        "2": node("CreateVideo", images=["1", 0], fps=8.0),
        "3": node("SaveVideo", video=["2", 0], filename_prefix="vid/кот", format="auto", codec="auto"),
        "4": node(
            "SaveAnimatedWEBP",
            images=["1", 0],
            filename_prefix="anim",
            fps=8.0,
            lossless=False,
            quality=80,
            method="default",
        ),
        "5": node("PreviewImage", images=["1", 0]),
    }
    async with rig(connect=False) as made:
        prompt_id = new_id()
        await made.client.send(prompt_id, graph, client_id="c")
        await made.sim.finished(prompt_id)
        record = await made.client.history(prompt_id)
        assert record is not None
        assert record.status == "success"
        assert record.unread == ()
        refs = [ref for given in record.outputs.values() for ref in given if isinstance(ref, FileRef)]
        assert {Path(ref.filename).suffix for ref in refs} == {".mp4", ".webp", ".png"}
        for ref in refs:
            on_disk = made.sim.base_dir / ref.type / ref.subfolder / ref.filename
            assert await whole(made.client.output(ref)) == on_disk.read_bytes()


async def test_file_that_is_not_there() -> None:
    async with rig(connect=False) as made:
        for ref in (
            FileRef("nope.png", "", "output"),
            FileRef("../x", "", "output"),
            FileRef("x", "..\\..", "output"),
        ):
            with pytest.raises(OutputUnavailable):
                await whole(made.client.output(ref))


async def test_download_that_breaks_off_is_not_a_file() -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Length": "100"})
        await reply.prepare(request)
        await reply.write(b"only this")
        assert request.transport is not None
        request.transport.close()
        return reply

    async with odd_server([("GET", "/view", cut)]) as url, client_of(url) as client:
        with pytest.raises(ServerUnreachable):
            await whole(client.output(FileRef("a.png", "", "output")))


async def test_download_may_be_left_halfway() -> None:
    async def large(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 5_000_000)

    async with odd_server([("GET", "/view", large)]) as url, client_of(url) as client:
        stream = client.output(FileRef("a.png", "", "output"))
        assert await anext(stream)
        await stream.aclose()
