"""Looks at everything a gateway needs, in the order in which things would go wrong at its start."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

from comfygate.cli import control_file, open_files
from comfygate.cli.control_file import ControlFile
from comfygate.cli.findings import Finding
from comfygate.cli.operate import ANSWER_SECONDS, NobodyThereError, ask, operate
from comfygate.cli.refusals import CommandError
from comfygate.cli.services import Services
from comfygate.domain.errors import GateError, SettingsError
from comfygate.settings import Settings, config_path, load_settings

FREE_BYTES_FAULT: Final = 100 * 1024 * 1024
FREE_BYTES_WARN: Final = 1024 * 1024 * 1024
CLOCK_BEHIND_MS_MAX: Final = 60_000
CLOCK_SANE_AFTER_UNIX_MS: Final = 1_767_225_600_000
"""2026-01-01: this version is younger, so no right clock shows an earlier time."""


async def look(services: Services) -> list[Finding]:
    """Every finding. Settings that cannot be used end the tour: nothing else would mean anything."""
    try:
        settings = load_settings()
    except SettingsError as error:
        return [Finding("fault", "settings", error.message, "correct the named key, then look again")]
    return [finding async for finding in _tour(services, settings)]


async def _tour(services: Services, settings: Settings) -> AsyncIterator[Finding]:
    yield _settings()
    for name, path in (
        ("data", settings.data_path), ("uploads", settings.uploads_path), ("results", settings.results_path)
    ):  # fmt: skip
        yield await asyncio.to_thread(_folder, f"{name} folder", path)
    for finding in await services.check_screening(settings):
        yield finding
    running, says = await _service(settings)
    yield says
    if running is None:
        yield _port(settings)
    database = list(await services.check_database(settings))
    for finding in database:
        yield finding
    if not any(finding.subject == "schema" and finding.grade == "ok" for finding in database):
        yield Finding("note", "ledger and servers", "not looked at: the database is not ready for it")
        return
    try:
        async for finding in _contents(services, settings, None if running is None else running.pid):
            yield finding
    except (CommandError, GateError) as error:
        yield Finding("fault", "store", error.message, "correct this, then look again")


async def _contents(services: Services, settings: Settings, pid: int | None) -> AsyncIterator[Finding]:
    yield _ledger(await operate(services, settings, "ledger.audit"))
    newest = await operate(services, settings, "jobs.list", limit=1)
    yield _clock([job["created_at_ms"] for job in newest["jobs"]])
    servers = (await operate(services, settings, "servers.list"))["servers"]
    for findings in await asyncio.gather(*(services.check_server(settings, one) for one in servers)):
        for finding in findings:
            yield finding
    for finding in _lanes(settings, servers):
        yield finding
    yield open_files.check(len(servers), pid)


def _settings() -> Finding:
    path = config_path()
    if path.exists():
        return Finding("ok", "settings", f"{path} and the environment are understood")
    return Finding("note", "settings", f"no {path}; defaults and the environment hold", "comfygate init")


def _folder(subject: str, path: Path) -> Finding:
    if not path.exists():
        above = next(parent for parent in path.parents if parent.exists())
        if (trouble := _not_writable(above)) is not None:
            return Finding("fault", subject, f"{path} cannot be made: {trouble}", "correct its permissions")
        return Finding("note", subject, f"{path} is made at the first start")
    if not path.is_dir():
        return Finding("fault", subject, f"{path} is no folder", "move it away or choose another folder")
    if (trouble := _not_writable(path)) is not None:
        return Finding("fault", subject, f"{path} cannot be written: {trouble}", "correct its permissions")
    free = shutil.disk_usage(path).free
    says = f"{path} is writable, {free / 1024**3:.1f} GiB free"
    if free < FREE_BYTES_FAULT:
        return Finding("fault", subject, says, "make room: the next job's results will not fit")
    if free < FREE_BYTES_WARN:
        return Finding("warn", subject, says, "make room, or shorten [retention]")
    return Finding("ok", subject, says)


def _not_writable(path: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=path):
            return None
    except OSError as error:
        return error.strerror or type(error).__name__


async def _service(settings: Settings) -> tuple[ControlFile | None, Finding]:
    """Whether one runs here: its control channel must answer, not only its file be there."""
    found = control_file.read(settings.data_path)
    if found is None:
        return None, Finding("ok", "service", "not running here")
    try:
        await ask(found, "servers.list", {})
    except NobodyThereError:
        says = (
            f"left no word at its end (process {found.pid}): it was killed; its jobs are adopted at the start"
        )
        return None, Finding("note", "service", says)
    except CommandError as error:
        advice = f"wait, or stop process {found.pid}; an answer may take {ANSWER_SECONDS:g} s at most"
        return found, Finding("fault", "service", error.message, advice)
    return found, Finding("ok", "service", f"running at {found.url}, process {found.pid}")


def _port(settings: Settings) -> Finding:
    where = f"{settings.host}:{settings.port}"
    if settings.port == 0:
        return Finding("ok", "port", "the system chooses one")
    try:
        address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with contextlib.closing(socket.socket(address[0], address[1])) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address[4])
    except OSError as error:
        advice = "stop the program that has it, or set another port"
        return Finding("fault", "port", f"{where} cannot be had ({error.strerror})", advice)
    return Finding("ok", "port", f"{where} is free")


def _ledger(audit: Mapping[str, Any]) -> Finding:
    if audit["balanced"]:
        return Finding("ok", "ledger", f"balances over {audit['entries']} entries")
    first = next(iter(audit["faults"]), "the sum is not 0")
    return Finding("fault", "ledger", first, "see 'comfygate ledger audit'; do not edit entries")


def _clock(newest_job_ms: list[int]) -> Finding:
    now_ms = time.time_ns() // 1_000_000
    if now_ms < CLOCK_SANE_AFTER_UNIX_MS:
        return Finding("fault", "clock", "shows a time before this version was made", "set the clock")
    if newest_job_ms and newest_job_ms[0] > now_ms + CLOCK_BEHIND_MS_MAX:
        behind = (newest_job_ms[0] - now_ms) // 1000
        says = f"the newest job was submitted {behind} s from now, so the clock went back"
        return Finding("warn", "clock", says, "set the clock; leases and expiry go by it")
    return Finding("ok", "clock", "shows a time that can be right")


def _lanes(settings: Settings, servers: list[dict[str, Any]]) -> list[Finding]:
    if not servers:
        advice = "comfygate servers add gpu1 http://127.0.0.1:8188 --lanes image,video"
        return [Finding("warn", "servers", "there are none, so no job can run", advice)]
    served = {lane for server in servers for lane in server["lanes"]}
    findings = [
        Finding("warn", f"lane {lane}", "no server takes its jobs", "add it to a server's --lanes")
        for lane in settings.lanes
        if lane not in served
    ]
    unknown = served - set(settings.lanes)
    return findings + [
        Finding("warn", f"lane {lane}", "a server has it, the settings do not", "add it to [lanes]")
        for lane in sorted(unknown)
    ]
