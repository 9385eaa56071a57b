"""Why a queued job is still waiting: facts in, sentences out. Pure, and the one place that decides it.

There are two readers. The job's user gets one reason, a stable code and a sentence that names nothing but the
lane. The operator gets every fact, server by server.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from comfygate.domain.health import ServerState


class Wait(StrEnum):
    """Codes of the reasons, the first that holds counts."""

    LANE_PAUSED = "lane_paused"
    NO_SERVER = "no_server"
    NO_SERVER_UP = "no_server_up"
    NO_SERVER_ABLE = "no_server_able"
    ACCOUNT_LIMIT = "account_limit"
    IN_LINE = "in_line"
    NEXT = "next"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server of the job's lane. `state` is a ServerState, or `unknown` when no running service owns it.

    `excluded`: an attempt of this job there says not to try there again. `pair_until_at_ms`: the job's
    workflow is kept off this server until then. `unfit`: what it has not that the job needs. Times in ms
    since 1970.
    """

    name: str
    state: str
    reason: str = ""
    slots: int = 1
    running: int = 0
    ahead: int = 0
    drained_at_ms: int | None = None
    quarantined_until_at_ms: int | None = None
    pair_until_at_ms: int | None = None
    pair_reason: str = ""
    excluded: bool = False
    unfit: str = ""

    @property
    def up(self) -> bool:
        """Whether it takes jobs at all."""
        return self.drained_at_ms is None and self.state in {ServerState.UP, ServerState.SUSPECT}

    @property
    def fits(self) -> bool:
        """Whether this very job may go there."""
        return not self.excluded and self.pair_until_at_ms is None and not self.unfit

    @property
    def stands(self) -> str:
        """In one word, without naming it: what keeps this job from it now. The first that holds counts."""
        if self.drained_at_ms is not None:
            return "drained"
        if self.state not in {ServerState.UP, ServerState.SUSPECT}:
            return str(self.state)
        if self.unfit:
            return "unfit"
        if self.excluded:
            return "failed_there"
        if self.pair_until_at_ms is not None:
            return "kept_off"
        return "busy" if self.running >= self.slots else "free"


@dataclass(frozen=True, slots=True)
class QueuedFacts:
    """A queued job and its lane. `ahead` and `better` (those ahead by priority alone) are counted up to
    `cap`. The lane has had no able server since `unable_since_at_ms`; at `unable_until_at_ms` that ends the
    job. Its account has `running` jobs on servers and may have `running_max`. Times in ms since 1970."""

    lane: str
    ahead: int
    better: int
    cap: int
    deadline_at_ms: int
    paused_at_ms: int | None = None
    unable_since_at_ms: int | None = None
    unable_until_at_ms: int | None = None
    running: int = 0
    running_max: int | None = None
    servers: tuple[ServerFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """What the job's user is told: harmless, without the name of any server."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """`reason` for the user, `sentences` for the operator."""

    reason: Reason
    sentences: tuple[str, ...]


def waiting_for(facts: QueuedFacts) -> Waiting:
    """Why the job waits."""
    lines: list[str] = []
    if facts.paused_at_ms is not None:
        lines.append(f"lane {facts.lane} is paused since {moment(facts.paused_at_ms)}")
    if not facts.servers:
        lines.append(f"no server is configured for lane {facts.lane}")
    elif facts.unable_since_at_ms is not None:
        lines.append(
            f"no server could take a job of lane {facts.lane} since {moment(facts.unable_since_at_ms)}"
        )
    if facts.unable_until_at_ms is not None:
        until = moment(facts.unable_until_at_ms)
        lines.append(f"it expires with a refund at {until} unless a server becomes able to take it before")
    lines += [_server(server) for server in facts.servers]
    if facts.running_max is not None and facts.running >= facts.running_max:
        lines.append(f"its account has {_running(facts)}")
    lines.append(_line(facts))
    lines.append(f"it expires with a refund if no server took it by {moment(facts.deadline_at_ms)}")
    return Waiting(_reason(facts), tuple(lines))


def _reason(facts: QueuedFacts) -> Reason:
    lane = f"lane {facts.lane}"
    if facts.paused_at_ms is not None:
        return Reason(Wait.LANE_PAUSED, f"{lane} is paused")
    if not facts.servers:
        return Reason(Wait.NO_SERVER, f"{lane} has no server")
    if not any(server.up for server in facts.servers):
        return Reason(Wait.NO_SERVER_UP, f"no server of {lane} is up")
    if not any(server.up and server.fits for server in facts.servers):
        able = any(server.fits for server in facts.servers) and any(s.unfit for s in facts.servers)
        more = "; one that can is not up" if able else ""
        return Reason(Wait.NO_SERVER_ABLE, f"no server of {lane} that is up can take this job now{more}")
    if facts.running_max is not None and facts.running >= facts.running_max:
        return Reason(Wait.ACCOUNT_LIMIT, f"your account has {_running(facts)}")
    if facts.ahead:
        return Reason(Wait.IN_LINE, f"waiting: {_count(facts.ahead, facts.cap, 'job')} ahead")
    return Reason(Wait.NEXT, "next in line for a free server")


def _running(facts: QueuedFacts) -> str:
    return f"{_count(facts.running, facts.running, 'job')} running, the most that its tier may have at once"


def _line(facts: QueuedFacts) -> str:
    if not facts.ahead:
        return f"it is next in lane {facts.lane}"
    ahead = _count(facts.ahead, facts.cap, "job")
    better = "none" if not facts.better else _number(facts.better, facts.cap)
    return f"{ahead} ahead of it in lane {facts.lane}, {better} of them by a better priority"


def _server(server: ServerFacts) -> str:
    parts = [_state(server)]
    if server.drained_at_ms is not None:
        parts.append(f"drained by the operator since {moment(server.drained_at_ms)}")
    if server.pair_until_at_ms is not None:
        why = f" ({server.pair_reason})" if server.pair_reason else ""
        parts.append(f"this workflow is kept off it until {moment(server.pair_until_at_ms)}{why}")
    if server.unfit:
        parts.append(f"it {server.unfit}, which this job needs")
    if server.excluded:
        parts.append("an earlier attempt of this job says not to try it there again")
    taken = min(server.running, server.slots) if server.ahead else server.running
    busy = f"{taken} of {_count(server.slots, server.slots, 'slot')} taken"
    if server.running > taken:
        busy += f", {server.running - taken} more there"
    return f"server {server.name}: {'; '.join([*parts, busy])}"


def _state(server: ServerFacts) -> str:
    until = server.quarantined_until_at_ms
    state = server.state if until is None else f"{server.state} until {moment(until)}"
    return f"{state}, {server.reason}" if server.reason else state


def _count(number: int, cap: int, what: str) -> str:
    return f"{_number(number, cap)} {what}{'' if number == 1 else 's'}"


def _number(number: int, cap: int) -> str:
    return str(number) if number <= cap else f"more than {cap}"


def moment(unix_ms: int) -> str:
    """A time (ms since 1970) for people, to the second, in UTC."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
