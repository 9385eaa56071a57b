"""What an operator does to a configured server: drain, resume, remove.

A server's claims hold its lease for their transaction. So whoever holds the lease's row here knows that no
claim is under way, and that every later one sees what is written now.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from comfygate.domain.errors import Conflict, NotFound
from comfygate.store import server_health
from comfygate.store.accounts import list_servers
from comfygate.store.clock import lease_clock
from comfygate.store.rows import ServerRow
from comfygate.store.tables import OPEN_ATTEMPT, attempts, leases, servers

REMOVED = "nobody: the server was removed"
"""Owner of a removed server's lease, until that runs out: no replica that still knows the server claims for
it."""
REMOVED_LEASE_MS = 60_000
"""How long that lease lasts; every replica reads the list of servers several times meanwhile."""


def get_server(conn: Connection, name: str) -> ServerRow:
    """One server. Raises NotFound."""
    found = next((server for server in list_servers(conn) if server.name == name), None)
    if found is None:
        raise NotFound(f"no server is called {name!r}; 'comfygate servers list' shows them")
    return found


def drain(conn: Connection, name: str, lease: str, now_ms: int) -> ServerRow:
    """Give the server no new job; those on it go on. Once this commits, nothing more is claimed for it.

    One that is drained keeps its time. Raises NotFound.
    """
    conn.execute(select(leases.c.name).where(leases.c.name == lease).with_for_update())
    conn.execute(
        update(servers)
        .where(servers.c.name == name, servers.c.drained_at_ms.is_(None))
        .values(drained_at_ms=now_ms)
    )
    return get_server(conn, name)


def undrain(conn: Connection, name: str, now_ms: int) -> ServerRow:
    """Give the server jobs again, and end its quarantine: the operator says it is well. Raises NotFound."""
    conn.execute(update(servers).where(servers.c.name == name).values(drained_at_ms=None))
    found = get_server(conn, name)
    server_health.end_quarantine(conn, name, now_ms)
    return found


def remove(conn: Connection, name: str, lease: str, now_ms: int) -> ServerRow:
    """Forget a server. Its attempts' history stays.

    Raises NotFound, and Conflict while an attempt on it is open: nobody would be left to bring it to its end.
    """
    found = get_server(conn, name)
    _take_from_all(conn, lease, now_ms)
    running = open_attempts(conn).get(name, 0)
    if running:
        raise Conflict(
            f"server {name} still runs {running} of our jobs; drain it first: "
            f"comfygate servers drain {name} --wait",
            details={"server": name, "running": running},
        )
    conn.execute(delete(servers).where(servers.c.name == name))
    server_health.forget_health(conn, name)
    return found


def take_back(conn: Connection, lease: str) -> None:
    """A removed server was added again: its lease is free."""
    conn.execute(delete(leases).where(leases.c.name == lease, leases.c.owner == REMOVED))


def _take_from_all(conn: Connection, lease: str, now_ms: int) -> None:
    """Make the lease nobody's, whoever has it."""
    values = {"owner": REMOVED, "until_at_ms": lease_clock(conn, now_ms) + REMOVED_LEASE_MS}
    taken = update(leases).where(leases.c.name == lease).values(values)
    if conn.execute(taken).rowcount:
        return
    try:
        with conn.begin_nested():
            conn.execute(insert(leases).values(name=lease, **values))
    except IntegrityError:
        # A replica took the free lease at this moment.
        conn.execute(taken)


def open_attempts(conn: Connection) -> dict[str, int]:
    """How many of our attempts are open on each server that has any, whichever replica drives them."""
    query = (
        select(attempts.c.server, func.count().label("running"))
        .where(attempts.c.ended_at_ms.is_(None))
        .group_by(attempts.c.server)
    )
    return {row.server: row.running for row in conn.execute(query)}


def open_prompts(conn: Connection) -> dict[str, list[str]]:
    """The prompts of our open attempts on each server that has any, whichever replica drives them."""
    found: dict[str, list[str]] = {}
    for row in conn.execute(select(attempts.c.server, attempts.c.prompt_id).where(OPEN_ATTEMPT)):
        found.setdefault(row.server, []).append(row.prompt_id)
    return found
