"""Replicas on one PostgreSQL call to each other: LISTEN in a thread of its own, NOTIFY outside of any intent.

A call only wakes, or says what anybody can read in the database; one that is lost costs time, nothing else.
NOTIFY takes a lock that all commits share, so what is to be said is gathered by the caller and sent by
itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import psycopg
import structlog
from sqlalchemy import Connection, func, select
from sqlalchemy.engine import make_url

CHANNEL = "comfygate"
PAYLOAD_BYTES_MAX = 7_900
"""PostgreSQL refuses payloads of 8,000 bytes and more."""
LISTEN_SECONDS = 1.0
"""How long the thread listens before it looks whether it is to stop."""
RECONNECT_SECONDS_MAX = 5.0

log = structlog.get_logger(__name__)


def call_out(conn: Connection, payloads: Sequence[str]) -> None:
    """Say each payload to every replica that listens, this one included, once the transaction commits."""
    for payload in payloads:
        conn.execute(select(func.pg_notify(CHANNEL, payload)))


class Listener:
    """Hears what replicas say. `heard` and `connected` are called in the listener's thread.

    `connected` is called after every (re)connection: what was said while it was away was missed.
    """

    def __init__(self, url: str, *, heard: Callable[[str], None], connected: Callable[[], None]) -> None:
        self._conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._heard = heard
        self._connected = connected
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="comfygate-listen", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the thread has ended, after LISTEN_SECONDS at most (more while it connects)."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self._listen()
            except psycopg.Error as error:
                # Told once: while the database is away everything else says so too.
                if not failures:
                    log.warning("listener.lost", error=type(error).__name__)
                failures += 1
                self._stop.wait(min(0.2 * 2.0 ** min(failures, 6), RECONNECT_SECONDS_MAX))
            else:
                failures = 0

    def _listen(self) -> None:
        with psycopg.connect(self._conninfo, autocommit=True, connect_timeout=5) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            log.debug("listener.connected")
            self._connected()
            while not self._stop.is_set():
                for notice in connection.notifies(timeout=LISTEN_SECONDS):
                    self._heard(notice.payload)
