"""A gateway's folder and database made ready before it starts: its servers configured, its lane paused, jobs
queued as submissions would have left them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w
from sqlalchemy import Connection

from benchmarks.backlog import CROWD, write_jobs
from benchmarks.engines import Engine
from benchmarks.processes import base_settings, fresh_database
from comfygate.app import opened
from comfygate.gate import accounts, fleet_control
from comfygate.settings import load_settings
from comfygate.store import accounts as accounts_store

_serial = itertools.count()


@contextlib.contextmanager
def folders(engine: Engine, count: int = 1, **extra: Any) -> Iterator[list[Path]]:
    """So many gateways' folders over one empty database. More than one need PostgreSQL."""
    with fresh_database(engine) as url:
        found: list[Path] = []
        for _ in range(count):
            base = engine.folder / f"prepared-{next(_serial)}"
            base.mkdir()
            shared = {name: str(found[0] / name) for name in ("uploads", "results")} if found else {}
            settings = base_settings(engine, url, {**extra, **{f"{k}_dir": v for k, v in shared.items()}})
            (base / "comfygate.toml").write_text(tomli_w.dumps(settings), encoding="utf-8")
            found.append(base)
        yield found


async def fill(base: Path, servers: dict[str, str], jobs: int) -> None:
    """Configure servers (address by name) for the lane image, pause it, and queue jobs in it."""

    def add_all(conn: Connection, now_ms: int) -> None:
        for name, url in servers.items():
            accounts_store.add_server(conn, name, url, 1, ("image",), now_ms)

    async with opened(load_settings(base_dir=base, environ={})) as ctx:
        await ctx.store.run(add_all, ctx.now_ms())
        await fleet_control.lanes_pause(ctx, "image")
        for number in range(CROWD):
            await accounts.add_account(ctx, f"crowd-{number}", credits=jobs)
        await ctx.store.run(write_jobs, 0, jobs, ctx.now_ms())
