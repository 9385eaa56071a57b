"""Makes a server's next job ready while the present one runs, to be sent the moment that one ends.

Nothing is bound by that. The job stays queued in its place; its inputs are on the server, its graph is
rewritten, the prompt_id it will be sent under is written down (`store/ready.py`). A better job that comes
displaces it for nothing. It is sent without another look at the database only while this process knows of
nothing that may have changed the order: every such thing rings the lane's bell, and the ring itself is heard
here. Where other processes share the database, one look is taken just before.

A job that another server could begin sooner is not made ready (`Fleet.sole`): of it the inputs alone are
brought.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import structlog

from comfygate.comfy.client import ComfyClient
from comfygate.comfy.errors import ComfyError
from comfygate.domain.errors import Conflict, GateError
from comfygate.domain.order import Place
from comfygate.gate.context import Context, lane_bell, lease_name
from comfygate.gate.stage import InputGone, Staged, bring, stage
from comfygate.store import fit as fit_store
from comfygate.store import ready as ready_store
from comfygate.store.attempts import Slot
from comfygate.store.fit import Taste
from comfygate.store.ready import Ready
from comfygate.store.rows import ClaimedAttempt, ServerRow

BETWEEN_SECONDS = 0.2
"""Between two looks at who is next, after one that made nothing ready."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What can be sent at once."""

    ready: Ready
    staged: Staged
    brought: Mapping[str, str]

    @property
    def attempt(self) -> ClaimedAttempt:
        return self.ready.attempt


@dataclass(frozen=True, slots=True)
class _Brought:
    """One job's inputs, on the server or on their way: the names they have there, by asset id."""

    job_id: str
    names: asyncio.Task[dict[str, str]]


class Ahead:
    """What one server has ahead of its next claim: of one job at a time."""

    def __init__(
        self,
        ctx: Context,
        server: ServerRow,
        client: ComfyClient,
        taste: Callable[[], Taste],
        wake: Callable[[], None],
    ) -> None:
        self._ctx = ctx
        self._server = server
        self._client = client
        self._taste = taste
        self._wake = wake
        self._slot = Slot(server.name, 0, server.lanes)
        self._topics = [lane_bell(lane) for lane in server.lanes]
        self._brought: _Brought | None = None
        self._prepared: Prepared | None = None
        self._doubted = False
        self._news = 0
        self._written: set[str] = set()
        """Under these prompt_ids something may be written down that was not sent."""
        self._dropping: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._next_look_at = float("-inf")
        self._later: asyncio.TimerHandle | None = None

    def heard(self, place: Place | None, from_outside: bool) -> None:
        """A lane's bell rang: what is ready may not be next any more."""
        if from_outside and not self._shared:
            # It was said here before.
            return
        mine = self._prepared
        if mine is None or place is None or place.before(mine.ready.place):
            self._news += 1
            self._doubted = True

    @property
    def _shared(self) -> bool:
        """Whether other processes may change the order."""
        return self._ctx.store.dialect != "sqlite"

    def look(self) -> None:
        """Begin to make the next job ready, unless that is done or being done."""
        loop = asyncio.get_running_loop()
        if self._looking is not None and not self._looking.done():
            return
        if self._prepared is not None and not (self._doubted or self._overdue):
            return
        if (wait := self._next_look_at - loop.time()) > 0:
            if self._later is None:
                self._later = loop.call_later(wait, self._look_later)
            return
        self._looking = asyncio.create_task(self._look(), name=f"ahead of {self._server.name}")

    def _look_later(self) -> None:
        self._later = None
        self._wake()

    @property
    def has_ready(self) -> bool:
        """Whether there is something that may be sent, after another look perhaps."""
        return self._may_go()

    def take_now(self) -> Prepared | None:
        """What can be sent without another look; it is taken by that."""
        if self._doubted or self._overdue or self._shared or not self._may_go():
            return None
        return self._use()

    async def take(self) -> Prepared | None:
        """What can be sent, after another look where one is due; else None, and it is ready no more."""
        await self._stop_looking()
        if self._may_go() and await self._still_first():
            return self._use()
        self._put_away()
        if self._written and (self._dropping is None or self._dropping.done()):
            # Beside what follows. What is left costs the next process a second look at the server.
            self._dropping = asyncio.create_task(self._drop(), name=f"ahead of {self._server.name}: drop")
        return None

    def _put_away(self) -> None:
        self._prepared = None
        self._ctx.bells.ignore(self._topics, self.heard)

    @property
    def _overdue(self) -> bool:
        """Whether by now a job that was kept off the server may be before what is ready."""
        until = None if self._prepared is None else self._prepared.ready.sure_until_at_ms
        return until is not None and self._ctx.now_ms() >= until

    def _may_go(self) -> bool:
        ready = None if self._prepared is None else self._prepared.ready
        return (
            ready is not None
            and ready.place.lane in self._ctx.fleet.sole
            and self._ctx.now_ms() < ready.queue_deadline_at_ms
        )

    async def _still_first(self) -> bool:
        prepared = self._prepared
        if not (self._doubted or self._overdue or self._shared) or prepared is None:
            return prepared is not None
        news = self._news
        taste = Taste(limits=self._ctx.rules.overtakes_max)
        first = await self._ctx.store.read(
            ready_store.is_first,
            self._slot,
            prepared.attempt.fence.job_id,
            self._ctx.now_ms(),
            taste,
            owner=self._ctx.owner,
            under_lease=lease_name(self._server.name),
        )
        if not first or news != self._news or self._prepared is not prepared:
            return False
        self._doubted = False
        return self._may_go()

    def _use(self) -> Prepared | None:
        prepared = self._prepared
        self._written.clear()
        self._put_away()
        self._ctx.fleet.ahead.pop(self._server.name, None)
        self._brought = None
        return prepared

    async def inputs_of(self, job_id: str) -> Mapping[str, str]:
        """The names under which the job's assets are on the server, by asset id, for one use. What is on its
        way is waited for; of what could not be brought there is none."""
        brought = self._brought
        if brought is None or brought.job_id != job_id:
            return {}
        self._brought = None
        self._ctx.fleet.ahead.pop(self._server.name, None)
        try:
            return await brought.names
        except (GateError, ComfyError, InputGone) as error:
            # The attempt meets it again, and knows what it means.
            log.info("inputs.not_brought_ahead", server=self._server.name, error=str(error))
            return {}

    def forget(self) -> None:
        """The server may have lost what was brought."""
        if self._looking is not None and self._looking is not asyncio.current_task():
            # It would put in place what no bell is heard for.
            self._looking.cancel()
        if self._brought is not None:
            self._brought.names.cancel()
        self._brought = None
        self._put_away()
        self._ctx.fleet.ahead.pop(self._server.name, None)

    async def close(self) -> None:
        """Stop, and leave nothing that the next process would have to look for on the server."""
        if self._later is not None:
            self._later.cancel()
        await self._stop_looking()
        brought = self._brought
        self.forget()
        if brought is not None:
            await asyncio.gather(brought.names, return_exceptions=True)
        if self._dropping is not None:
            await asyncio.gather(self._dropping, return_exceptions=True)
        await self._drop()

    async def _drop(self) -> None:
        for prompt_id in list(self._written):
            try:
                await self._ctx.store.run(ready_store.forget_ready, self._server.name, prompt_id)
            except GateError as error:
                log.info("ready.not_forgotten", server=self._server.name, error=error.message)
                return
            self._written.discard(prompt_id)

    async def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        """Trouble is left to the attempt, which meets it again and knows what it means."""
        try:
            again = True
            while again:
                again = await self._made_ready() and self._doubted
        except (GateError, ComfyError, InputGone) as error:
            self.forget()
            self._rest()
            log.info("job.not_made_ready", server=self._server.name, error=str(error))

    def _rest(self) -> None:
        self._next_look_at = asyncio.get_running_loop().time() + BETWEEN_SECONDS

    async def _made_ready(self) -> bool:
        """Make the first job ready, or bring the inputs of the one that will probably be the next."""
        if self._prepared is not None and not self._overdue and await self._still_first():
            return True
        # From here on there is nothing that could be sent, and whatever rings is news.
        was, self._prepared, self._doubted = self._prepared, None, False
        ready = await self._written_down()
        if ready is None:
            self._put_away()
            self._rest()
            await self._bring_likely()
            return False
        attempt, job_id = ready.attempt, ready.attempt.fence.job_id
        if was is not None and was.attempt.fence == attempt.fence:
            self._prepared = Prepared(ready, was.staged, was.brought)
            return True
        names = await self._bring(attempt.account_id, job_id, {item.asset_id for item in attempt.inputs})
        self._prepared = Prepared(ready, await stage(self._ctx, self._client, attempt, names), names)
        return True

    async def _written_down(self) -> Ready | None:
        ctx, server = self._ctx, self._server
        # With a prompt waiting on the server there is no moment to be ready for.
        if server.slots > 1 or server.ahead or ctx.fleet.sole.isdisjoint(server.lanes):
            return None
        prompt_id = ctx.new_id()
        self._written.add(prompt_id)
        ctx.bells.attend(self._topics, self.heard)
        try:
            ready = await ctx.store.run(
                ready_store.make_ready,
                self._slot,
                ctx.fleet.sole,
                owner=ctx.owner,
                prompt_id=prompt_id,
                now_ms=ctx.now_ms(),
                under_lease=lease_name(server.name),
                taste=self._taste(),
            )
        except Conflict:
            return None
        # Whatever was there before is not there any more.
        self._written = set() if ready is None else {prompt_id}
        return ready

    async def _bring_likely(self) -> None:
        """Find the first job in order that is not brought to another server, and upload its inputs."""
        ctx, server = self._ctx, self._server
        elsewhere = {ticket for name, ticket in ctx.fleet.ahead.items() if name != server.name}
        found = await ctx.store.read(
            fit_store.likely_next, server.name, server.lanes, ctx.now_ms(), elsewhere
        )
        if found is None:
            return
        ctx.fleet.ahead[server.name] = found.ticket
        await self._bring(found.account_id, found.job_id, found.asset_ids)

    async def _bring(self, account_id: str, job_id: str, asset_ids: Collection[str]) -> dict[str, str]:
        """Upload a job's inputs, unless that was done or is being done. It goes on when the looking is
        stopped: the attempt takes it over."""
        if self._brought is None or self._brought.job_id != job_id:
            if self._brought is not None:
                self._brought.names.cancel()
            names = asyncio.create_task(bring(self._ctx, self._client, account_id, job_id, asset_ids))
            # Nobody may come to ask what became of it.
            names.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._brought = _Brought(job_id, names)
        return await asyncio.shield(self._brought.names)
