"""Everything that happens to one account, for as long as somebody looks: one stream, however many its jobs.

What happens is heard in this process; what is told is read from the store, so that it is never wrong, and all
of it is looked at again after a while in which nothing was heard. Nothing waits for whoever reads: what was
not read yet is replaced by what is newer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from comfygate.gate import eta as etas
from comfygate.gate import views
from comfygate.gate.cards import ETAS_MAX, Card, cards_of, to_estimate
from comfygate.gate.context import Context
from comfygate.gate.eta import Eta
from comfygate.gate.gathered import Gathered
from comfygate.gate.live import PreviewEvent, ProgressEvent, StatusEvent, Watch
from comfygate.store import accounts as accounts_store
from comfygate.store import gallery
from comfygate.store.engine import Connection
from comfygate.store.rows import AccountRow, JobRow

LOOK_SECONDS = 15.0
"""How often all of it is looked at again, whatever was heard."""
LINGER_SECONDS = 0.1
"""After something was told, so long until the next is: what comes meanwhile is told together."""
OPEN_MAX = 100
"""Jobs of an account that are followed at once, the oldest first; others are followed once these end."""
ETA_SECONDS = 5.0
"""Least time between two estimates told because places in line moved."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A queued job's new place in line, and its estimate if one was made just now."""

    job_id: str
    position: int | None
    eta: Eta | None


@dataclass(frozen=True, slots=True)
class News:
    """What to tell next, at once. `gone`: jobs that the account has no longer; `first`: it is how everything
    stands, and whoever knows of another job that has not ended is wrong."""

    account: AccountRow | None = None
    cards: tuple[Card, ...] = ()
    gone: tuple[str, ...] = ()
    moved: tuple[Moved, ...] = ()
    progress: tuple[tuple[str, ProgressEvent], ...] = ()
    previews: tuple[tuple[str, PreviewEvent], ...] = ()
    first: bool = False


@dataclass(frozen=True, slots=True)
class _Ask:
    """A look at an account: at these jobs, or (None) at all that have not ended."""

    account_id: str
    jobs: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class _Seen:
    account: AccountRow
    cards: Mapping[str, Card] = field(default_factory=dict)


async def follow_account(ctx: Context, account_id: str) -> AsyncGenerator[News, None]:
    """How all stands, then what changes, until the caller has enough. Raises NotFound and StoreTrouble."""
    loop = asyncio.get_running_loop()
    with ctx.live.stirs(account_id) as stirs, _Watches(ctx, stirs.ready) as watches:
        told: AccountRow | None = None
        look_at = eta_at = float("-inf")
        first = True
        while True:
            stirs.ready.clear()
            all_of_it, moved_alone = loop.time() >= look_at, stirs.account
            ids = stirs.take() | watches.changed()
            cards: tuple[Card, ...] = ()
            gone: tuple[str, ...] = ()
            account: AccountRow | None = None
            if all_of_it or ids or moved_alone:
                seen = await _look(ctx, account_id, None if all_of_it else frozenset(ids))
                cards, gone = watches.settle(seen.cards, ids, everything=all_of_it)
                account = None if seen.account == told else seen.account
                told = seen.account
                look_at = loop.time() + LOOK_SECONDS if all_of_it else look_at
            moved = watches.moved()
            if moved and loop.time() >= eta_at:
                eta_at = loop.time() + ETA_SECONDS
                moved = await _estimated(ctx, account_id, moved)
            progress, previews = watches.drawn()
            if first or account or cards or gone or moved or progress or previews:
                yield News(account, cards, gone, moved, progress, previews, first)
                first = False
                await asyncio.sleep(LINGER_SECONDS)
            try:
                async with asyncio.timeout_at(look_at):
                    await stirs.ready.wait()
            except TimeoutError:
                continue


class _Watches:
    """The watches of an account's jobs that have not ended, and what was heard and not told yet."""

    def __init__(self, ctx: Context, ready: asyncio.Event) -> None:
        self._ctx, self._ready = ctx, ready
        self._open: dict[str, tuple[Watch, ExitStack]] = {}
        self._told: dict[str, tuple[str, int | None]] = {}
        self._moved: dict[str, int | None] = {}
        self._progress: dict[str, ProgressEvent] = {}
        self._previews: dict[str, PreviewEvent] = {}
        self._missed: set[str] = set()

    def __enter__(self) -> _Watches:
        return self

    def __exit__(self, *_: object) -> None:
        for _watch, stack in self._open.values():
            stack.close()

    def changed(self) -> set[str]:
        """Take what the watches heard; the jobs whose status is another one now."""
        found, self._missed = self._missed, set()
        for job_id, (watch, _stack) in self._open.items():
            for event in watch.take_now():
                match event:
                    case ProgressEvent():
                        self._progress[job_id] = event
                    case PreviewEvent():
                        self._previews[job_id] = event
                    case StatusEvent(status="queued") if self._told.get(job_id, ("", None))[0] == "queued":
                        self._moved[job_id] = event.position
                    case StatusEvent():
                        found.add(job_id)
        return found

    def settle(
        self, seen: Mapping[str, Card], asked: Collection[str], *, everything: bool
    ) -> tuple[tuple[Card, ...], tuple[str, ...]]:
        """Watch what is open now, and no more what ended; the cards to tell, and the jobs that are gone."""
        gone = tuple(job_id for job_id in asked if job_id not in seen and not everything)
        cards: list[Card] = []
        for job_id, card in seen.items():
            state = (card.view.status, card.view.position)
            if job_id in asked or self._told.get(job_id) != state:
                cards.append(card)
            self._follow(card, state)
        if everything:
            for job_id in (self._open.keys() | set(asked)) - seen.keys():
                self._stop(job_id)
                # It ended, or is gone: it is looked at by itself.
                self._missed.add(job_id)
                self._ready.set()
        for job_id in gone:
            self._stop(job_id)
        return tuple(cards), gone

    def _follow(self, card: Card, state: tuple[str, int | None]) -> None:
        job = card.view.job
        self._moved.pop(job.id, None)
        if job.completed_at_ms is not None:
            self._stop(job.id)
            return
        self._told[job.id] = state
        if job.id not in self._open and len(self._open) < OPEN_MAX:
            stack = ExitStack()
            watch = stack.enter_context(self._ctx.live.watch(job.id, job.lane, self._ready))
            self._open[job.id] = (watch, stack)
            for snapshot in (self._ctx.live.progress_of(job.id), self._ctx.live.preview_of(job.id)):
                if snapshot is not None:
                    watch.put(snapshot)

    def _stop(self, job_id: str) -> None:
        for heard in (self._told, self._moved, self._progress, self._previews):
            heard.pop(job_id, None)
        if job_id in self._open:
            self._open.pop(job_id)[1].close()

    def moved(self) -> tuple[Moved, ...]:
        moved, self._moved = self._moved, {}
        for job_id, position in moved.items():
            self._told[job_id] = ("queued", position)
        return tuple(Moved(job_id, position, None) for job_id, position in moved.items())

    def drawn(
        self,
    ) -> tuple[tuple[tuple[str, ProgressEvent], ...], tuple[tuple[str, PreviewEvent], ...]]:
        progress, previews = tuple(self._progress.items()), tuple(self._previews.items())
        self._progress, self._previews = {}, {}
        return progress, previews


async def _look(ctx: Context, account_id: str, jobs: frozenset[str] | None) -> _Seen:
    """One read serves all pages that look at the same moment."""

    async def read(asked: Collection[_Ask]) -> Mapping[_Ask, _Seen]:
        return await ctx.store.read(_seen, ctx, asked)

    looks: Gathered[_Ask, _Seen] = ctx.live.account_looks
    seen = await looks.ask(_Ask(account_id, jobs), read)
    assert seen is not None  # noqa: S101 - `_seen` answers every ask
    return seen


def _seen(conn: Connection, ctx: Context, asked: Collection[_Ask]) -> dict[_Ask, _Seen]:
    rows = {ask: _rows(conn, ctx, ask) for ask in asked}
    # What estimates are made of takes longer to read than all else, and is the same for everybody.
    when = etas.etas_of(conn, ctx, [job for of in rows.values() for job in to_estimate(of)])
    return {
        ask: _Seen(
            accounts_store.get_account(conn, ask.account_id),
            cards_of(conn, ctx, ask.account_id, of, when),
        )
        for ask, of in rows.items()
    }


def _rows(conn: Connection, ctx: Context, ask: _Ask) -> list[JobRow]:
    if ask.jobs is None:
        return gallery.open_jobs(conn, ask.account_id, OPEN_MAX)
    keys = [(job_id, ask.account_id) for job_id in sorted(ask.jobs)]
    return [view.job for view in views.read_jobs(conn, ctx, keys).values()]


async def _estimated(ctx: Context, account_id: str, moved: tuple[Moved, ...]) -> tuple[Moved, ...]:
    def read(conn: Connection) -> dict[str, Eta]:
        keys = [(one.job_id, account_id) for one in moved[:OPEN_MAX]]
        rows = [view.job for view in views.read_jobs(conn, ctx, keys).values()]
        return etas.etas_of(conn, ctx, rows[:ETAS_MAX])

    found = await ctx.store.read(read)
    return tuple(Moved(one.job_id, one.position, found.get(one.job_id)) for one in moved)
