"""Who may look no more is shown no more, and who takes nothing is cut off and holds up nobody."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from comfygate.api import ops_stream
from comfygate.api.ops_auth import PREFIX
from comfygate.gate import operate
from tests.api.house import PATIENCE_SECONDS, Gateway
from tests.api.test_ops import staff
from tests.looking import before_the_next_look


async def test_a_stream_ends_with_the_role(house: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops_stream, "CHECK_SECONDS", 0.05)
    async with staff(house, "operator", "otto") as http, http.stream("GET", f"{PREFIX}/stream") as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "event: now"
        await operate.perform(house.ctx, "accounts.role", {"account": "otto", "role": "user"})
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for _line in lines:
                continue


async def test_who_takes_nothing_is_cut_off(house: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops_stream, "SEND_SECONDS", 0.2)
    board = house.http._server.config.app.state.board  # type: ignore[union-attr]
    async with staff(house, "operator", "otto") as http:
        at = urlsplit(house.url)
        reader, writer = await asyncio.open_connection(at.hostname, at.port, limit=1024)
        head = (
            f"GET {PREFIX}/stream HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: Bearer {house.keys['otto']}"
        )
        writer.write(f"{head}\r\n\r\n".encode())
        await reader.readline()
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        large = {("lane", "image"): b": " + b"x" * 1_000_000 + b"\n\n"}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not board.viewers:
                await before_the_next_look()
            while board.viewers:
                for viewer in list(board._viewers):
                    viewer.put(large)
                # The rest of the service answers meanwhile.
                assert (await http.get(f"{PREFIX}/me")).status_code == 200
        writer.close()
