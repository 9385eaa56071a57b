"""What every use case is given: store, bytes, rules, clock and the in-process live state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from comfygate.assets.blobs import BlobStore
from comfygate.assets.screening import Eyes
from comfygate.domain.graph import NodeClass
from comfygate.domain.health import ServerState
from comfygate.domain.order import Place
from comfygate.domain.pace import Pace
from comfygate.gate.abilities import Abilities
from comfygate.gate.catalogue import Shelf, no_workflows
from comfygate.gate.gathered import Gathered, Joined
from comfygate.gate.happenings import Happenings
from comfygate.gate.idle import Idle
from comfygate.gate.live import Live
from comfygate.gate.ops_feed import Feed
from comfygate.gate.rota import Rota
from comfygate.gate.rules import Rules
from comfygate.store.admission import Depths
from comfygate.store.engine import Store
from comfygate.store.rows import AccountRow, JobRow, NewJob

News = Callable[[Place | None, bool], None]
"""Told of a ring: the place of the job that came (None: anything may have changed), and whether another
replica says it."""


class Bells:
    """Wakes loops that wait. Ringing is never needed for them to go on: every loop also polls."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Event, frozenset[str]] = {}
        self._news: dict[str, dict[News, None]] = {}
        self.rota = Rota()
        """Servers hear the bells of their lanes by turns."""
        self.on_ring: Callable[[str], None] | None = None
        """Hears every topic that rings here and was not heard from another replica."""

    def hang(self, topics: frozenset[str]) -> asyncio.Event:
        """A new event that rings for any of `topics`; take it down with `remove`."""
        bell = asyncio.Event()
        self._waiting[bell] = topics
        return bell

    def remove(self, bell: asyncio.Event) -> None:
        self._waiting.pop(bell, None)

    def attend(self, topics: Collection[str], news: News) -> None:
        """Have every ring for these topics call `news`, until it is told to `ignore` them."""
        for topic in topics:
            self._news.setdefault(topic, {})[news] = None

    def ignore(self, topics: Collection[str], news: News) -> None:
        for topic in topics:
            self._news.get(topic, {}).pop(news, None)

    def ring(
        self,
        topic: str,
        *,
        place: Place | None = None,
        order_stands: bool = False,
        from_outside: bool = False,
    ) -> None:
        """Wake whoever waits for `topic`, here and, unless it comes from there, in the other replicas.

        `place`: a job came there, and nothing else happened. `order_stands`: the first job that may begin is
        the same as before.
        """
        if self.on_ring is not None and not from_outside:
            self.on_ring(topic)
        if not order_stands:
            for news in list(self._news.get(topic, ())):
                news(place, from_outside)
        for bell, topics in self._waiting.items():
            if topic in topics:
                bell.set()
        self.rota.ring(topic)


async def heard(bell: asyncio.Event, seconds: float) -> bool:
    """Wait for the bell, at most `seconds`; whether it rang.

    Not by `asyncio.wait_for`: in Python 3.11 that swallows a cancellation which comes together with the ring
    (CPython #86296), and a loop told to stop would go on for ever.
    """
    try:
        async with asyncio.timeout(seconds):
            await bell.wait()
    except TimeoutError:
        return False
    return True


OUTBOX = "outbox"
"""Bell topic: something waits to be told. Lanes ring under `lane:NAME`."""
SERVERS = "servers"
"""Bell topic: the list of servers changed."""
HEALTH = "health"
"""Bell topic: the owner of a server found out how it is, and wrote that down."""

TELEGRAM = "telegram"
"""Bell topic: an update of Telegram was written down."""

ARRIVING_MAX = 128
"""Most submissions that come in by one transaction."""
ARRIVING_BYTES_MAX = 4 * 1024 * 1024
"""Most characters of graphs that they have together."""

COUNTING = "counting"
"""Bell topic: something is on the list of what is to be added to the aggregates."""

CANCEL = "cancel:"
"""Bell topic, with a job's id: whoever drives it is to cancel it."""


def lane_bell(lane: str) -> str:
    """The bell topic of a lane."""
    return f"lane:{lane}"


def lease_name(server: str) -> str:
    """The lease that the one replica has which gives work to this server."""
    return f"server:{server}"


class Lease:
    """How long this process may surely act on what it owns, by its own monotonic clock: counted from
    before the renewal was sent, so it ends here no later than in the database."""

    def __init__(self) -> None:
        self._until = float("-inf")
        self._renewed = asyncio.Event()

    def renewed(self, until: float) -> None:
        """The leases are ours until then, by the event loop's clock."""
        self._until = until
        self._renewed.set()

    @property
    def in_force(self) -> bool:
        return asyncio.get_running_loop().time() < self._until

    async def held(self) -> None:
        """Wait until the leases are in force."""
        while not self.in_force:
            self._renewed.clear()
            await self._renewed.wait()


@dataclass(slots=True)
class ServerStatus:
    """What this process knows of one server right now."""

    state: ServerState = ServerState.DOWN
    version: str = ""
    last_error: str = ""
    running: int = 0
    """Slots that a prompt of ours is in; one that waits behind them is not counted."""
    lanes: tuple[str, ...] = ()
    slots: int = 1
    ahead: int = 0
    warm: str = ""
    """The models that its last job named, as far as this process gave it that job."""
    foreign: int | None = None
    """Prompts of others there at the last probe; None where this process does not probe it."""

    @property
    def free(self) -> bool:
        """Whether a job that comes now could begin here."""
        return self.up and self.running < self.slots

    @property
    def up(self) -> bool:
        """Whether it takes jobs."""
        return self.state in {ServerState.UP, ServerState.SUSPECT}


@dataclass(slots=True)
class Fleet:
    """What this process has learnt of the servers: their state and the node classes they have."""

    status: dict[str, ServerStatus] = field(default_factory=dict)
    idle: Idle = field(default_factory=Idle)
    classes: dict[str, Mapping[str, NodeClass]] = field(default_factory=dict)
    ahead: dict[str, int] = field(default_factory=dict)
    """Tickets of the jobs whose inputs are brought to a server ahead of its claim."""
    model_names: dict[str, list[str]] = field(default_factory=dict)
    """The files behind digests of models, as far as somebody looked: for people."""
    sole: frozenset[str] = frozenset()
    """Lanes that one configured server has alone, whichever process owns it."""

    abilities: Abilities = field(default_factory=Abilities)

    def abilities_in(self, lane: str) -> tuple[list[Mapping[str, NodeClass]], bool]:
        """The different sets of node classes of the lane's servers, of those that could be asked, and whether
        there are others."""
        # Copies: this is also asked from the writer's thread, while servers come and go.
        names = [name for name, status in list(self.status.items()) if lane in status.lanes]
        known = [self.classes.get(name) for name in names]
        return list({id(one): one for one in known if one is not None}.values()), None in known

    def classes_in(self, lane: str) -> Mapping[str, NodeClass]:
        """Every node class that some server of the lane has; empty while none has been asked."""
        known, _ = self.abilities_in(lane)
        if len(known) == 1:
            return known[0]
        merged: dict[str, NodeClass] = {}
        for classes in known:
            merged.update(classes)
        return merged


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of one running gate. `now_ms` is wall time, ms since 1970; `new_id` makes UUIDs.

    `cancels` holds the cancel signals of the attempts that this process drives, by job. `secrets_of_jobs`
    holds what a caller sent along for the server and what must never be written down (`extra_data`), by job.
    """

    store: Store
    blobs: BlobStore
    rules: Rules
    now_ms: Callable[[], int]
    new_id: Callable[[], str]
    owner: str
    live: Live
    eyes: Eyes | None
    """Looks at pictures. None only where there are none: in the simulation of whole fleets by tests."""
    shelf: Shelf = field(default_factory=no_workflows)
    listen_url: str | None = field(default=None, repr=False)
    """Where replicas call to each other; None where there can be no other."""
    bells: Bells = field(default_factory=Bells)
    lease: Lease = field(default_factory=Lease)
    fleet: Fleet = field(default_factory=Fleet)
    pace: Pace = field(default_factory=Pace)
    happened: Happenings = field(default_factory=Happenings)
    feed: Feed = field(default_factory=Feed)
    cancels: dict[str, asyncio.Event] = field(default_factory=dict)
    secrets_of_jobs: dict[str, Mapping[str, str]] = field(default_factory=dict)
    depths: Depths = field(default_factory=Depths)
    keys: Gathered[str, AccountRow] = field(default_factory=Gathered)
    """Digests of API keys that are looked up now."""
    places: Gathered[JobRow, int] = field(default_factory=Gathered)
    """Jobs whose places in line are looked up now."""
    arriving: Joined[NewJob, JobRow] = field(default_factory=lambda: Joined(ARRIVING_MAX, ARRIVING_BYTES_MAX))
    """Submissions that are written now, or with the next write."""

    @property
    def lease_ms(self) -> int:
        return int(self.rules.lease_seconds * 1000)
