"""The control channel: for its owner only, used when it is there, and never twice for one request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from filelock import FileLock, Timeout

from comfygate.app.main import SERVICES
from comfygate.app.wiring import LOCK_FILE
from comfygate.cli import control_file
from comfygate.cli.control_file import ControlFile
from comfygate.cli.operate import operate
from comfygate.cli.refusals import CommandError
from comfygate.settings import Settings, load_settings
from tests.cli.rig import command, private_mode, serving

FOUND = ControlFile(port=1, pid=2, url="http://127.0.0.1:3", token="t0p")


@pytest.fixture
def settings(base: Path) -> Settings:
    (base / "data").mkdir()
    return load_settings()


@asynccontextmanager
async def stranger(status: int, body: object) -> AsyncIterator[tuple[int, list[str]]]:
    """Another program on the port of a service that is gone; its port, and the paths it was asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if status == 0:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(body, status=status or 200)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1], asked
    finally:
        await runner.cleanup()


def test_the_file_is_private_and_says_where_the_service_is(tmp_path: Path) -> None:
    control_file.write(tmp_path, FOUND)
    assert private_mode(tmp_path / "control.json")
    assert control_file.read(tmp_path) == FOUND
    assert "t0p" not in repr(FOUND)
    assert [path.name for path in tmp_path.iterdir()] == ["control.json"]


def test_a_planted_file_is_not_written_into(tmp_path: Path) -> None:
    planted = tmp_path / ".control.json.2"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch(mode=0o666)
    planted.symlink_to(elsewhere)
    control_file.write(tmp_path, FOUND)
    assert elsewhere.read_bytes() == b""
    assert private_mode(tmp_path / "control.json")


def test_only_its_own_file_is_removed(tmp_path: Path) -> None:
    control_file.write(tmp_path, FOUND)
    control_file.remove(tmp_path, "another token")
    assert control_file.read(tmp_path) == FOUND
    control_file.remove(tmp_path, FOUND.token)
    control_file.remove(tmp_path, FOUND.token)
    assert control_file.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"port": "x"}', "\x00\xff"])
def test_a_file_that_makes_no_sense_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "control.json").write_text(text, encoding="latin-1")
    assert control_file.read(tmp_path) is None


async def test_a_file_left_by_a_crash_is_passed_over(settings: Settings) -> None:
    control_file.write(settings.data_path, FOUND)
    assert await operate(SERVICES, settings, "accounts.list") == {"accounts": []}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"detail": "Not Found"}),
        (401, {"error": {"code": "unauthorized", "message": "who?"}}),
        (200, ["something", "else"]),
        (302, {}),
    ],
)
async def test_a_stranger_on_the_port_is_passed_over(status: int, body: object, settings: Settings) -> None:
    async with stranger(status, body) as (port, asked):
        control_file.write(settings.data_path, ControlFile(port, 2, "http://x", "t0p"))
        made = await operate(SERVICES, settings, "accounts.add", name="ann")
    assert made["name"] == "ann"
    assert asked == ["/control"]


@pytest.mark.parametrize("status", [0, 500])
async def test_what_may_have_been_done_is_not_done_again(status: int, settings: Settings) -> None:
    async with stranger(status, {}) as (port, asked):
        control_file.write(settings.data_path, ControlFile(port, 2, "http://x", "t0p"))
        with pytest.raises(CommandError) as refused:
            await operate(SERVICES, settings, "accounts.add", name="ann")
    assert (refused.value.code, len(asked)) == ("out_of_reach", 1)
    control_file.remove(settings.data_path, "t0p")
    assert await operate(SERVICES, settings, "accounts.list") == {"accounts": []}


async def test_a_refusal_by_the_service_is_the_answer(settings: Settings) -> None:
    body = {"error": {"code": "not_found", "message": "no account 'ann'", "details": {"field": "account"}}}
    async with stranger(404, body) as (port, _asked):
        control_file.write(settings.data_path, ControlFile(port, 2, "http://x", "t0p"))
        with pytest.raises(CommandError) as refused:
            await operate(SERVICES, settings, "keys.add", account="ann")
    assert (refused.value.code, refused.value.exit) == ("not_found", 5)
    assert refused.value.details == {"field": "account"}


async def test_while_serve_runs_commands_go_through_it_and_nobody_else_writes(base: Path) -> None:
    async with serving(base) as service:
        path = base / "data" / "control.json"
        said = json.loads(path.read_text(encoding="utf-8"))
        assert private_mode(path)
        assert (said["pid"], said["url"]) == (service.process.pid, service.url)
        # The service holds the lock to its end, so a command that succeeds cannot have opened the file.
        with pytest.raises(Timeout):
            FileLock(base / "data" / LOCK_FILE).acquire(timeout=0)
        made, refused, second = await asyncio.gather(
            command(base, "accounts", "add", "ann", "--credits", "3", "--json"),
            command(base, "accounts", "add", "bob", "--tier", "gold", "--json"),
            command(base, "serve", "--port", "0"),
        )
        assert set(made.json()) == {"id", "api_key"}
        assert (refused.code, refused.error()["code"]) == (4, "invalid_request")
        assert "tier is 'gold'" in refused.error()["message"]
        assert (second.code, second.err.count("\n")) == (4, 1)
        assert "another process uses" in second.err
        assert json.loads(path.read_text(encoding="utf-8")) == said
        path.unlink()
        alone = await command(base, "accounts", "list")
        assert alone.code == 4
        assert "control channel does not answer" in alone.err
