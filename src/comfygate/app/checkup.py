"""What `comfygate doctor` asks of the database and of each ComfyUI. It looks, and changes nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from comfygate.app.wiring import connector, http_session
from comfygate.assets.screening import PictureWorkers
from comfygate.cli.findings import Finding
from comfygate.comfy.cancel import KEEPS_PROMPT_ID_SINCE
from comfygate.comfy.errors import ComfyError, ServerRefused
from comfygate.comfy.wire import CancelVia, Capabilities
from comfygate.domain.errors import GateError, ScreeningUnavailable, ServerTrouble
from comfygate.gate.run import Link
from comfygate.settings import Settings
from comfygate.store.inspect import look_at_postgresql, look_at_sqlite
from comfygate.store.rows import ServerRow
from comfygate.store.schema import newest_revision

SQLITE_WAL_FIXED_SINCE: Final = (3, 51, 3)
"""Before it a rare race of two connections could damage a database in WAL mode when the log was reset."""
POSTGRESQL_MIN: Final = 13
SOCKET_SECONDS: Final = 5.0
OBJECT_INFO_NODES_MIN: Final = 1


async def check_database(settings: Settings) -> Sequence[Finding]:
    """Reachable, at our schema, undamaged."""
    url = settings.sqlalchemy_url()
    if url.startswith("sqlite"):
        return await asyncio.to_thread(_check_sqlite, Path(url.removeprefix("sqlite:///")))
    return await asyncio.to_thread(_check_postgresql, settings, url)


def _check_sqlite(path: Path) -> list[Finding]:
    found = [_sqlite_version()]
    if not path.exists():
        return [
            *found,
            Finding("note", "database", f"{path} is not there yet; it is made at the first start"),
        ]
    try:
        look = look_at_sqlite(path)
    except ServerTrouble as error:
        advice = "restore the file from a backup, or correct database_url and its permissions"
        return [*found, Finding("fault", "database", f"{path} cannot be read: {error.message}", advice)]
    if look.damage:
        advice = "stop the service, keep a copy, and restore from a backup"
        return [*found, Finding("fault", "database", f"{path} is damaged: {look.damage[0]}", advice)]
    return [*found, Finding("ok", "database", f"{path} is sound"), _schema(look.revision)]


def _sqlite_version() -> Finding:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < SQLITE_WAL_FIXED_SINCE:
        fixed = ".".join(map(str, SQLITE_WAL_FIXED_SINCE))
        return Finding(
            "note",
            "sqlite",
            f"SQLite {version}; {fixed} mends a rare damage when the write-ahead log is reset",
            f"use a Python with SQLite {fixed} or newer when you can, and keep backups",
        )
    return Finding("ok", "sqlite", f"SQLite {version}")


def _schema(revision: str | None) -> Finding:
    newest = newest_revision()
    if revision == newest:
        return Finding("ok", "schema", f"at {revision}, which this version needs")
    if revision is None:
        return Finding("note", "schema", "empty; it is made at the first start")
    return Finding(
        "warn",
        "schema",
        f"at {revision}, this version needs {newest}",
        "start the service once to bring it up to date; if it refuses, the data belong to a newer comfygate",
    )


def _check_postgresql(settings: Settings, url: str) -> list[Finding]:
    where = settings.database_address
    try:
        look = look_at_postgresql(url)
    except ServerTrouble as error:
        advice = "start PostgreSQL, or correct database_url"
        return [Finding("fault", "database", f"{where} does not answer: {error.message}", advice)]
    version, revision = look.version, look.revision
    major = int(version.split(".", maxsplit=1)[0].split(maxsplit=1)[0])
    if major < POSTGRESQL_MIN:
        advice = f"use PostgreSQL {POSTGRESQL_MIN} or newer"
        return [Finding("fault", "database", f"{where} is PostgreSQL {version}", advice), _schema(revision)]
    return [Finding("ok", "database", f"{where} is PostgreSQL {version}"), _schema(revision)]


async def check_screening(settings: Settings) -> Sequence[Finding]:
    """Whether pictures can be scored here, in a process of its own as the service has one."""
    worker = PictureWorkers()
    try:
        await worker.ready()
    except ScreeningUnavailable as error:
        says = error.message if settings.screening.enabled else f"{error.message}; [screening] is off"
        advice = "install comfygate's dependencies again; until then jobs with pictures are refused"
        return [Finding("fault", "screening", says, advice)]
    finally:
        worker.close()
    if not settings.screening.enabled:
        says = "off; jobs that are sent a picture are screened all the same"
        return [Finding("warn", "screening", says, "set screening.enabled = true before strangers come")]
    action, threshold = settings.screening.action, settings.screening.threshold
    return [Finding("ok", "screening", f"{worker.model} works; from {threshold:g}: {action}")]


async def check_server(settings: Settings, server: Mapping[str, Any]) -> Sequence[Finding]:
    """Reachable with the settings' secrets, able to run and cancel our prompts, its socket speaking."""
    name = str(server["name"])
    row = ServerRow(name, str(server["url"]), int(server["slots"]), tuple(server["lanes"]), 0)
    subject = f"server {name}"
    async with http_session() as session:
        try:
            link = connector(settings, session)(row)
            found = await link.client.probe()
            classes = len(await link.client.object_info())
            waiting = await link.client.queue_depth()
        except ServerRefused as error:
            advice = f"correct headers, username or password under [server_secrets.{name}]"
            return [Finding("fault", subject, str(error), advice)]
        except (ComfyError, GateError) as error:
            advice = f"start it, or correct its address: comfygate servers add {name} URL --lanes LANES"
            return [Finding("fault", subject, str(error), advice)]
        socket = await _socket_speaks(link)
    says = (
        f"ComfyUI {found.version} at {row.url}, {classes} node classes, {waiting} prompts queued or running"
    )
    return [Finding("ok", subject, says), *_abilities(subject, found, classes), *_socket(subject, socket)]


def _abilities(subject: str, found: Capabilities, classes: int) -> list[Finding]:
    findings: list[Finding] = []
    if not found.keeps_prompt_id:
        needed = ".".join(map(str, KEEPS_PROMPT_ID_SINCE))
        says = f"version {found.version} gives prompts ids of its own, so a job could not be found again"
        findings.append(Finding("fault", subject, says, f"update ComfyUI to {needed} or newer"))
    if found.cancel_via is CancelVia.NONE:
        says = (
            "a running prompt cannot be stopped there without hitting a stranger's; cancel waits for its end"
        )
        findings.append(Finding("warn", subject, says, "update ComfyUI"))
    if classes < OBJECT_INFO_NODES_MIN:
        says = "it names no node classes, so no graph can run"
        findings.append(Finding("fault", subject, says, "look at the log of ComfyUI"))
    return findings


def _socket(subject: str, speaks: bool) -> list[Finding]:
    if speaks:
        return []
    says = f"its WebSocket did not greet within {SOCKET_SECONDS:g} s; jobs run, progress comes by polling"
    return [Finding("warn", subject, says, "let a proxy before it pass WebSockets (Upgrade) to /ws")]


async def _socket_speaks(link: Link) -> bool:
    running = asyncio.create_task(link.channel.run())
    try:
        async with asyncio.timeout(SOCKET_SECONDS):
            await link.channel.wait_connected()
    except TimeoutError:
        return False
    else:
        return True
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
