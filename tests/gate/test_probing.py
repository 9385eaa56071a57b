"""What servers can run is parsed and kept once; a well server is looked at lightly, a troubled one deeply."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection, insert

import comfygate
from comfygate.app.wiring import connector, http_session
from comfygate.comfy.client import ComfyClient
from comfygate.comfy.errors import ProtocolError, ServerUnreachable
from comfygate.comfy.transport import Transport
from comfygate.domain.errors import StoreTrouble
from comfygate.domain.health import Answered, ServerState, Silent
from comfygate.gate import operate
from comfygate.gate.abilities import PARSE_ASIDE_BYTES, Abilities
from comfygate.gate.condition import Condition
from comfygate.gate.probing import Prober
from comfygate.simulator import Simulator
from comfygate.store import fit as fit_store
from comfygate.store.rows import ServerRow
from comfygate.store.tables import misfits
from tests.looking import before_the_next_look
from tests.promises.rig import PATIENCE_SECONDS, settings_for
from tests.store.world import World


class Answering:
    """A server whose /object_info gives this text."""

    server = "http://gpu1:8188"

    def __init__(self, text: str) -> None:
        self.text = text

    async def object_info_body(self) -> bytes:
        return self.text.encode()


def client(text: str) -> ComfyClient:
    return cast("ComfyClient", Answering(text))


def described(*names: str) -> str:
    return json.dumps({name: {"input": {"required": {}}, "output_node": False} for name in names})


@pytest.mark.parametrize("count", [2, PARSE_ASIDE_BYTES // 40], ids=["small", "large"])
async def test_equal_answers_are_one_object(count: int) -> None:
    abilities, text = Abilities(), described(*(f"Node{number}" for number in range(count)))
    first = await abilities.ask(client(text), [])
    assert len(first) == count
    assert await abilities.ask(client(text), [first]) is first
    assert await abilities.ask(client(described("Other")), [first]) is not first


async def test_what_no_server_has_any_more_is_forgotten() -> None:
    abilities, text = Abilities(), described("Node")
    first = await abilities.ask(client(text), [])
    await abilities.ask(client(described("Other")), [])
    assert await abilities.ask(client(text), []) is not first


async def test_an_answer_of_another_shape_is_told() -> None:
    with pytest.raises(ProtocolError, match="object_info"):
        await Abilities().ask(client("[]"), [])
    with pytest.raises(ServerUnreachable, match="not JSON"):
        await Abilities().ask(client("<html>"), [])


async def test_between_deep_looks_one_request_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[str] = Counter()
    more = asyncio.Event()
    real = Transport._answered

    async def counted(self: Transport, method: str, segments: tuple[str, ...], *rest: Any) -> Any:
        asked[segments[0]] += 1
        more.set()
        return await real(self, method, segments, *rest)

    async def until(what: str, times: int) -> None:
        while asked[what] < times:
            more.clear()
            await more.wait()

    monkeypatch.setattr(Transport, "_answered", counted)
    settings = settings_for(tmp_path / "gate", comfy={"probe_seconds": 0.02}, dispatch={"poll_seconds": 60})
    async with (
        Simulator(base_dir=tmp_path / "comfy") as simulator,
        comfygate.open(settings) as gate,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        await operate.servers_add(gate.ctx, "one", simulator.url, ["image"])
        await until("prompt", 10)
        assert (asked["system_stats"], asked["features"], asked["object_info"]) == (1, 1, 1)
        await simulator.restart()
        await until("system_stats", 2)


async def test_what_was_kept_off_comes_back_once_the_database_does(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a server can run is new, and the database fails just then: the next look makes up for that."""
    world = World(database_url)
    trouble = [StoreTrouble("the database is in trouble")]
    real = fit_store.forget_misfits

    def forget_misfits(conn: Connection, server: str) -> int:
        if trouble:
            raise trouble.pop()
        return real(conn, server)

    monkeypatch.setattr(fit_store, "forget_misfits", forget_misfits)
    settings = settings_for(tmp_path / "gate", database_url, comfy={"probe_seconds": 0.02})
    async with (
        Simulator(base_dir=tmp_path / "comfy") as simulator,
        comfygate.open(settings) as gate,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        now_ms = gate.ctx.now_ms()
        misfit = {"workflow": "w", "server": "one", "reason": "node class X", "judged_at_ms": now_ms}
        await gate.ctx.store.run(lambda conn: conn.execute(insert(misfits).values(**misfit)))
        await operate.servers_add(gate.ctx, "one", simulator.url, ["image"])
        while (await asyncio.to_thread(world.sql, "SELECT count(*) FROM misfits"))[0][0]:
            await before_the_next_look()
    assert not trouble


async def test_a_well_server_that_answered_meanwhile_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How much waits there is known from its socket."""
    settings = settings_for(tmp_path / "gate", comfy={"probe_seconds": 0.02})
    async with (
        Simulator(base_dir=tmp_path / "comfy") as simulator,
        comfygate.open(settings) as gate,
        http_session() as session,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        row = ServerRow("apart", simulator.url, 1, ("image",), 0)
        link, condition = connector(settings, session)(row), Condition(gate.ctx, row)

        def see(evidence: Answered | Silent) -> None:
            condition.see(evidence)

        prober = Prober(gate.ctx, link, condition, held=lambda: 0, see=see, able=lambda: None)
        socket, probing = asyncio.create_task(link.channel.run()), asyncio.create_task(prober.run())
        try:
            await link.channel.wait_connected()
            while condition.status.state is not ServerState.UP:
                await before_the_next_look()
            monkeypatch.setattr(ComfyClient, "answered_at", asyncio.get_running_loop().time() + 3600)
            asked_last = None
            # A look that was under way may end in the first round.
            while simulator.journal.moments[-1] is not asked_last:
                asked_last, condition.status.foreign = simulator.journal.moments[-1], None
                while condition.status.foreign is None:
                    await before_the_next_look()
            prober.look_now()
            while simulator.journal.moments[-1] is asked_last:
                await before_the_next_look()
        finally:
            socket.cancel()
            probing.cancel()
            await asyncio.gather(socket, probing, return_exceptions=True)
