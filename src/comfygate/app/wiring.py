"""From settings to running parts: the store, the bytes, the servers' clients and the loops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import aiohttp
from filelock import FileLock, Timeout
from sqlalchemy.exc import DBAPIError

from comfygate.assets.blobs import BlobStore
from comfygate.assets.screening import Eyes, shared_workers
from comfygate.comfy.address import ServerAddress
from comfygate.comfy.channel import Channel
from comfygate.comfy.client import ComfyClient
from comfygate.comfy.restart import RestartHook
from comfygate.comfy.wire import Timeouts
from comfygate.domain.errors import Conflict, SettingsError
from comfygate.domain.health import HealthLimits
from comfygate.domain.order import Lane, Tier
from comfygate.domain.retry import SubmitPolicy
from comfygate.domain.safety import NodePolicy
from comfygate.domain.screening import Action, Policy
from comfygate.domain.watchdog import Patience
from comfygate.gate.catalogue import Shelf
from comfygate.gate.context import Context
from comfygate.gate.dispatcher import Connect
from comfygate.gate.embedded import Gate
from comfygate.gate.live import Live
from comfygate.gate.manifest import House
from comfygate.gate.rules import Limits, Rules
from comfygate.gate.run import Link
from comfygate.gate.service import Service, running
from comfygate.settings import Settings, load_settings
from comfygate.store.engine import Store, open_store
from comfygate.store.rows import ServerRow
from comfygate.store.schema import migrate

CALLBACK_SECONDS = 5.0
"""How long callbacks may take once the running jobs have ended."""
LOCK_FILE = "comfygate.lock"


def ordered_id() -> str:
    """A new UUID that begins with the time, in ms (RFC 9562, version 7), its other 74 bits random.

    Rows that come one after the other are neighbours in an index: of random ids, each is on another page.
    """
    drawn = secrets.randbits(74)
    value = time.time_ns() // 1_000_000 << 80 | 7 << 76 | drawn >> 62 << 64 | 2 << 62 | drawn & (2**62 - 1)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def rules_of(settings: Settings) -> Rules:
    """The settings as the plain values that `gate` takes."""
    given = settings.limits
    return Rules(
        lanes={
            name: Lane(name=name, **{key: getattr(lane, key) for key in type(lane).model_fields})
            for name, lane in settings.lanes.items()
        },
        tiers={
            name: Tier(name=name, **{key: getattr(tier, key) for key in type(tier).model_fields})
            for name, tier in settings.tiers.items()
        },
        output_nodes=settings.output_nodes,
        file_inputs=settings.file_inputs,
        node_prices=settings.node_prices,
        nodes=NodePolicy(frozenset(settings.allowed_nodes), frozenset(settings.refused_nodes)),
        limits=Limits(**{name: getattr(given, name) for name in Limits.__slots__}),
        submit=SubmitPolicy(settings.comfy.submit_retries, settings.comfy.submit_retry_seconds),
        health=HealthLimits(
            settings.dispatch.failures_max,
            settings.dispatch.quarantine_seconds,
            settings.dispatch.quarantine_seconds_max,
        ),
        patience=Patience(**settings.watchdog.model_dump()),
        screening=Policy(
            settings.screening.enabled,
            settings.screening.threshold,
            Action(settings.screening.action),
            settings.screening.frames_max,
            settings.screening.suspicions_max,
        ),
        attempts_max=settings.dispatch.attempts_max,
        unable_seconds_max=settings.dispatch.unable_seconds_max,
        comfy_poll_seconds=settings.comfy.poll_seconds,
        probe_seconds=settings.comfy.probe_seconds,
        lost_after_seconds=settings.comfy.lost_after_seconds,
        dispatch_poll_seconds=settings.dispatch.poll_seconds,
        object_info_seconds=settings.comfy.object_info_seconds,
        warm_window=settings.dispatch.warm_window,
        warm_overtakes_max=settings.dispatch.warm_overtakes_max,
        warm_wait_seconds=settings.dispatch.warm_wait_seconds,
        lease_seconds=settings.dispatch.lease_seconds,
        stop_seconds=settings.dispatch.stop_seconds,
        idempotency_seconds=given.idempotency_seconds,
        retry_after_seconds=given.retry_after_seconds,
        results_seconds=settings.retention.results_seconds,
        uploads_seconds=settings.retention.uploads_seconds,
        code_seconds=settings.code_seconds,
        session_seconds=settings.session_seconds,
    )


def as_it_is(store: Store) -> Store:
    """The store itself: nobody measures it."""
    return store


@contextlib.asynccontextmanager
async def opened(settings: Settings, seen: Callable[[Store], Store] = as_it_is) -> AsyncIterator[Context]:
    """Store, bytes and rules, ready for use cases; no loop runs. `seen` may wrap the store, to measure it.

    With SQLite this holds the data directory's lock. Raises Conflict when another process has it,
    SettingsError when a directory or the database cannot be used.
    """
    _make_directories(settings)
    url = settings.sqlalchemy_url()
    with only_process(settings) if url.startswith("sqlite") else contextlib.nullcontext():
        store = await asyncio.to_thread(_open_database, settings, url)
        try:
            # Started with the first picture that somebody looks at.
            with shared_workers(settings.screening.workers) as workers:
                yield Context(
                    store=seen(store),
                    blobs=BlobStore(uploads=settings.uploads_path, results=settings.results_path),
                    rules=rules_of(settings),
                    now_ms=lambda: time.time_ns() // 1_000_000,
                    new_id=ordered_id,
                    owner=str(uuid.uuid4()),
                    live=Live(time.monotonic),
                    eyes=Eyes(workers, workers),
                    shelf=Shelf(
                        settings.workflows_path,
                        House(frozenset(settings.lanes), frozenset(settings.tiers)),
                        nodes_max=settings.limits.graph_nodes_max,
                    ),
                    listen_url=None if url.startswith("sqlite") else url,
                )
        finally:
            await store.close()


def _open_database(settings: Settings, url: str) -> Store:
    """The store, at the newest schema. The database's own words are shown, its password never."""
    try:
        migrate(url)
        return open_store(url)
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise SettingsError(
            f"the database {settings.database_address} cannot be used: {reason}; "
            "correct database_url or start the database"
        ) from error


def _make_directories(settings: Settings) -> None:
    # The data folder holds the books and the digests of keys: nobody else's to read.
    for path, mode in (
        (settings.data_path, 0o700),
        (settings.uploads_path, 0o777),
        (settings.results_path, 0o777),
    ):
        try:
            path.mkdir(mode=mode, parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"directory {path} cannot be made: {error.strerror}") from error


@contextlib.contextmanager
def only_process(settings: Settings) -> Iterator[None]:
    """Hold the data directory. Raises Conflict when another process has it, SettingsError when it cannot be
    written."""
    lock = FileLock(settings.data_path / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Conflict(
            f"another process uses {settings.data_path}: SQLite is for one process at a time; "
            "stop it first, or use PostgreSQL to run several",
            details={"field": "data_dir"},
        ) from None
    except OSError as error:
        raise SettingsError(
            f"data_dir {settings.data_path} cannot be written ({error.strerror}); correct its permissions"
        ) from error
    try:
        yield
    finally:
        lock.release()


def http_session() -> aiohttp.ClientSession:
    """What all servers are talked to through. No cookies, and no limit but the slots'. To be closed."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())


def connector(settings: Settings, session: aiohttp.ClientSession) -> Connect:
    """How a configured server becomes a client and a socket, with its secrets from the settings."""
    timeouts = Timeouts(
        connect_seconds=settings.comfy.connect_timeout_seconds,
        answer_seconds=settings.comfy.request_timeout_seconds,
        transfer_stall_seconds=settings.comfy.transfer_timeout_seconds,
    )

    def connect(server: ServerRow) -> Link:
        secret = settings.server_secrets.get(server.name)
        basic_auth = None
        headers: dict[str, str] = {}
        if secret is not None:
            headers = {name: value.get_secret_value() for name, value in secret.headers.items()}
            if secret.username is not None and secret.password is not None:
                basic_auth = (secret.username, secret.password.get_secret_value())
        address = ServerAddress(server.url, headers=headers, basic_auth=basic_auth)
        return Link(
            name=server.name,
            client=ComfyClient(address, session=session, timeouts=timeouts),
            channel=Channel(address, session=session, rng=random.Random()),  # noqa: S311 - jitter, no secret
            restart=_restart(settings, server.name, session),
        )

    return connect


def _restart(
    settings: Settings, name: str, session: aiohttp.ClientSession
) -> Callable[[], Awaitable[None]] | None:
    """The operator's way to start this ComfyUI anew, if the settings have one."""
    hook = settings.server_hooks.get(name)
    if hook is None:
        return None
    url = hook.restart_url.get_secret_value() if hook.restart_url is not None else ""
    return partial(RestartHook(hook.restart_command, url).run, session)


@contextlib.asynccontextmanager
async def started(settings: Settings, seen: Callable[[Store], Store] = as_it_is) -> AsyncIterator[Service]:
    """A gate with all its loops running. Takes and raises what `opened` does."""
    async with (
        opened(settings, seen) as ctx,
        http_session() as session,
        running(ctx, connector(settings, session), dispatch=settings.role in {"all", "dispatch"}) as service,
    ):
        yield service


@contextlib.asynccontextmanager
async def open(settings: Settings | None = None) -> AsyncIterator[Gate]:
    """Run a gate inside this process and use it without HTTP; settings are loaded if none are given.

    At the end of the block running jobs are given `stop_seconds` to finish, then left for adoption.
    """
    async with started(settings or load_settings()) as service:
        gate = Gate(service)
        yield gate
        await service.drain(asyncio.Event())
        await gate.close(seconds=CALLBACK_SECONDS)


def signing_secret(settings: Settings) -> bytes:
    """The secret that signs download addresses: from the settings, else made once and kept in data_dir."""
    if settings.signing_secret is not None:
        return settings.signing_secret.get_secret_value().encode()
    return _kept_secret(settings.data_path / "signing.secret")


def _kept_secret(path: Path) -> bytes:
    """The file's content; made if it is not there or, after a crash, empty. Never half-written."""
    with contextlib.suppress(FileNotFoundError):
        if kept := path.read_bytes():
            return kept
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32))
    fresh.replace(path)
    return path.read_bytes()
