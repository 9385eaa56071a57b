"""What was last found out about each server, kept so that a restart or another replica forgets no
quarantine."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from comfygate.domain.health import Health, ServerState
from comfygate.store.ops_tables import server_changes
from comfygate.store.tables import server_health


@dataclass(frozen=True, slots=True)
class HealthRow:
    """A server's health as its owner last wrote it. `changed_at_ms` is when it was written."""

    server: str
    state: ServerState
    reason: str
    version: str
    failures: int
    trips: int
    quarantined_until_at_ms: int | None
    changed_at_ms: int

    @property
    def health(self) -> Health:
        """Where a new owner goes on: a quarantine stays, whatever else is to be found out anew."""
        if self.state is not ServerState.QUARANTINED:
            return Health(known=False, trips=self.trips)
        return Health(
            state=self.state,
            reason=self.reason,
            known=True,
            failures=self.failures,
            trips=self.trips,
            quarantined_until_at_ms=self.quarantined_until_at_ms,
        )


def health_of(conn: Connection, server: str) -> HealthRow | None:
    """What is known of one server."""
    row = conn.execute(select(server_health).where(server_health.c.server == server)).one_or_none()
    return None if row is None else _row(row)


def health_of_all(conn: Connection) -> dict[str, HealthRow]:
    """What is known of every server, by name."""
    return {row.server: _row(row) for row in conn.execute(select(server_health))}


def _row(row) -> HealthRow:  # type: ignore[no-untyped-def]  # a row of any select
    return HealthRow(
        row.server,
        ServerState(row.state),
        row.reason,
        row.version,
        row.failures,
        row.trips,
        row.quarantined_until_at_ms,
        row.changed_at_ms,
    )


def keep_health(conn: Connection, server: str, health: Health, version: str, now_ms: int) -> None:
    """Write what was found out, and where it is another state than before, that it changed."""
    known = conn.execute(select(server_health.c.state).where(server_health.c.server == server)).scalar()
    if known != health.state.value:
        conn.execute(
            insert(server_changes).values(
                server=server, at_ms=now_ms, state=health.state.value, reason=health.reason
            )
        )
    values = {
        "state": health.state.value,
        "reason": health.reason,
        "version": version,
        "failures": health.failures,
        "trips": health.trips,
        "quarantined_until_at_ms": health.quarantined_until_at_ms,
        "changed_at_ms": now_ms,
    }
    changed = conn.execute(update(server_health).where(server_health.c.server == server).values(values))
    if not changed.rowcount:
        conn.execute(insert(server_health).values(server=server, **values))


def end_quarantine(conn: Connection, server: str, now_ms: int) -> bool:
    """The operator says that the server is well: its quarantine ends now. False if it was in none."""
    ended = conn.execute(
        update(server_health)
        .where(server_health.c.server == server, server_health.c.state == ServerState.QUARANTINED.value)
        .values(quarantined_until_at_ms=now_ms, trips=0)
    )
    return ended.rowcount > 0


def forget_health(conn: Connection, server: str) -> None:
    """The server was removed."""
    conn.execute(delete(server_health).where(server_health.c.server == server))


def forget_changes(conn: Connection, before_ms: int) -> int:
    """Drop changes of states from before then. Returns how many."""
    return conn.execute(delete(server_changes).where(server_changes.c.at_ms < before_ms)).rowcount
