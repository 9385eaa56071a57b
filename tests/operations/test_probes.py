"""/healthz and /readyz: each trouble in a sentence, and no name or secret in any of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from sqlalchemy import text

from comfygate.app.readiness import Readiness
from comfygate.app.wiring import opened
from comfygate.domain.health import ServerState
from comfygate.gate.context import Context, ServerStatus
from comfygate.simulator import Simulator
from comfygate.store.engine import Connection
from comfygate.version import VERSION
from tests.api.house import settings_for
from tests.operations.place import service, value


def readiness_of(ctx: Context, folder: Path, *, dispatching: bool = False) -> Readiness:
    return Readiness(ctx, dispatching=dispatching, folders={"data": folder})


async def wrong(readiness: Readiness) -> list[tuple[str, str]]:
    """What a look anew finds wrong: grade and subject."""
    readiness._looked_at = float("-inf")
    return [(f.grade, f.subject) for f in await readiness.look() if f.grade in {"warn", "fault"}]


async def test_a_whole_service_is_alive_and_ready(tmp_path: Path, sqlite_url: str, sim: Simulator) -> None:
    async with service(tmp_path / "gate", sqlite_url, metrics={"port": 0}) as place:
        await place.join(sim, lanes=("image", "video"))
        public = ""
        for base in (place.house.url, place.house.operations_url):
            alive = await place.http.get(f"{base}/healthz")
            assert (alive.status_code, alive.json()["status"]) == (200, "alive")
            place.house.watched.readiness._looked_at = float("-inf")
            place.house.watched.readiness.disk_low_bytes = 0
            ready = await place.http.get(f"{base}/readyz")
            assert (ready.status_code, ready.json()["status"], ready.json()["wrong"]) == (200, "ready", [])
            public += ready.text
            assert (await place.http.head(f"{base}/readyz")).status_code == 200
        assert (await place.http.get(f"{place.house.operations_url}/metrics")).status_code == 404
        place.house.watched.readiness.stopping = True
        stopping = await place.http.get(f"{place.house.url}/readyz")
        assert (stopping.status_code, stopping.json()["status"]) == (503, "not_ready")
        assert stopping.json()["wrong"] == ["This process was told to stop and takes nothing on."]
        assert (await place.http.get(f"{place.house.url}/healthz")).status_code == 200
        public += stopping.text
        assert [word for word in ("one", sim.url, sqlite_url, str(tmp_path)) if f'"{word}' in public] == []


async def test_each_trouble_has_its_sentence(tmp_path: Path, sqlite_url: str) -> None:
    settings = settings_for(tmp_path / "gate", sqlite_url)
    async with opened(settings) as ctx:
        readiness = readiness_of(ctx, tmp_path)
        readiness.disk_low_bytes = 0
        assert await wrong(readiness) == []
        readiness.disk_low_bytes = 2**62
        assert await wrong(readiness) == [("warn", "disk")]
        readiness.disk_full_bytes = 2**62
        assert await wrong(readiness) == [("fault", "disk")]
        gone = readiness_of(ctx, tmp_path / "gone")
        assert await wrong(gone) == [("fault", "disk")]

        readiness.disk_low_bytes = readiness.disk_full_bytes = 0
        assert ctx.eyes is not None
        ctx.eyes.classifier.trouble, before = "no weights in /secret/place", ctx.eyes.classifier.trouble
        assert await wrong(readiness) == [("warn", "screening")]
        assert "secret" not in str(await readiness.look())
        ctx.eyes.classifier.trouble = before

        dispatching = readiness_of(ctx, tmp_path, dispatching=True)
        dispatching.disk_low_bytes = 0
        assert await wrong(dispatching) == [("fault", "lease")]
        ctx.lease.renewed(asyncio.get_running_loop().time() + 60)
        assert await wrong(dispatching) == []

        ctx.fleet.status["gpu1"] = ServerStatus(ServerState.DOWN, lanes=("image",))
        assert await wrong(readiness) == [("warn", "lane image")]
        assert "gpu1" not in str(await readiness.look())
        ctx.fleet.status["gpu1"].state = ServerState.SUSPECT
        assert await wrong(readiness) == []

        for revision, grade in (("0001", "fault"), ("9999", "warn")):
            await ctx.store.run(be_at, revision)
            assert await wrong(readiness) == [(grade, "schema")]
        await ctx.store.close()
        assert await wrong(readiness) == [("fault", "database")]


def be_at(conn: Connection, revision: str) -> None:
    conn.execute(text("UPDATE alembic_version SET version_num = :at"), {"at": revision})


async def test_a_database_that_hangs_is_asked_once(tmp_path: Path, sqlite_url: str) -> None:
    async with opened(settings_for(tmp_path / "gate", sqlite_url)) as ctx:
        readiness = readiness_of(ctx, tmp_path)
        readiness.patience_seconds = 0.05
        asked = readiness._asking = asyncio.create_task(hangs())
        try:
            for _ in range(2):
                assert ("fault", "database") in await wrong(readiness)
                assert readiness._asking is asked
        finally:
            asked.cancel()


async def hangs() -> str | None:
    await asyncio.Event().wait()
    return None


async def test_a_role_without_http_has_the_operators_address(
    tmp_path: Path, postgresql_url: str, sim: Simulator
) -> None:
    both: dict[str, Any] = {"role": "dispatch", "metrics": {"enabled": True, "port": 0}}
    async with service(tmp_path / "gate", postgresql_url, **both) as place:
        await place.join(sim)
        assert place.house.url == ""
        ready = await place.http.get(f"{place.house.operations_url}/readyz")
        assert ready.json()["status"] in {"ready", "degraded"}
        found = await place.scraped()
        assert value(found, "comfygate_build_info", role="dispatch", version=VERSION) == 1
        assert value(found, "comfygate_lease_in_force") == 1
        assert value(found, "comfygate_server_state", server="one", state="up") == 1
        assert (await place.http.get(f"{place.house.operations_url}/api/v2/jobs")).status_code == 404
