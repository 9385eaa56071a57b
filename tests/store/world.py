"""A database with a few accounts in it, and short words for what tests do to it. Every call commits."""

import itertools
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Row, select, text

from comfygate.domain.credits import Balance
from comfygate.domain.job import Fence, JobState, Outcome, Succeeded
from comfygate.domain.order import Tier
from comfygate.store import accounts, assets, attempts, jobs, ledger, outbox, settle
from comfygate.store.attempts import Slot
from comfygate.store.engine import schema_engine
from comfygate.store.rows import AssetRow, BlobRow, ClaimedAttempt, JobInput, JobRow, NewJob, NewOutput
from comfygate.store.settle import Settled
from comfygate.store.tables import metadata

P = ParamSpec("P")
R = TypeVar("R")

NOW: Final = 1_800_000_000_000
DAY_MS: Final = 86_400_000
KEY_SECONDS: Final = 86_400
WAIT_SECONDS_MAX: Final = 20.0
TIERS: Final = {
    "regular": Tier("regular", 100, 1_000_000),
    "vip": Tier("vip", 100, 1_000_000),
    "black_gold": Tier("black_gold", 0, 1_000_000),
    "small": Tier("small", 100, 3),
}
_numbers = itertools.count(1)


def fresh(what: str) -> str:
    """Give a name that no other call gave."""
    return f"{what}-{next(_numbers)}"


def new_job(account_id: str, **changed: Any) -> NewJob:
    values: dict[str, Any] = {
        "id": fresh("job"),
        "account_id": account_id,
        "lane": "image",
        "graph": '{"1": {"class_type": "SaveImage", "inputs": {}}}',
        "inputs": (),
        "price": 3,
        "depth_max": 1_000_000,
        "now_ms": NOW,
        "queue_deadline_at_ms": NOW + 3_600_000,
        "expires_at_ms": NOW + 7 * DAY_MS,
    }
    return NewJob(**(values | changed))


def blob(name: str = "a", size_bytes: int = 10) -> BlobRow:
    """Bytes as the blob store tells of them: same name, same bytes, each time under another key."""
    return BlobRow(f"blake3:{name}", fresh(f"uploads/{name}"), size_bytes)


def output(name: str = "out.png", of: BlobRow | None = None) -> NewOutput:
    return NewOutput(fresh("asset"), of or blob(fresh("out")), "9", name, "image", "image/png")


class World:
    """One database, by synchronous calls."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = schema_engine(url)

    @property
    def dialect(self) -> str:
        return self.engine.dialect.name

    def run(self, fn: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        with self.engine.begin() as conn:
            return fn(conn, *args, **kwargs)

    @contextmanager
    def open(self) -> Iterator[Connection]:
        """A transaction of the test's own, rolled back unless the test commits it."""
        with self.engine.connect() as conn, conn.begin() as transaction:
            yield conn
            if transaction.is_active:
                transaction.rollback()

    def sql(self, statement: str, **values: Any) -> list[Row[Any]]:
        with self.engine.begin() as conn:
            result = conn.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Give every row of every table."""
        with self.engine.begin() as conn:
            return {
                table.name: sorted((tuple(row) for row in conn.execute(select(table))), key=repr)
                for table in metadata.sorted_tables
            }

    def account(self, credits: int = 100, tier: str = "regular") -> str:
        account_id = fresh("account")
        return self.run(
            accounts.add_account, account_id, f"name of {account_id}", tier, fresh("digest"), credits, NOW
        ).id

    def balance(self, account_id: str) -> Balance:
        return self.run(accounts.get_account, account_id).balance

    def submit(self, account_id: str, tiers: Mapping[str, Tier] = TIERS, **changed: Any) -> JobRow:
        return self.run(jobs.submit, new_job(account_id, **changed), tiers, KEY_SECONDS)

    def job(self, job_id: str) -> JobRow:
        return self.run(jobs.get_job, job_id)

    def state(self, job_id: str) -> JobState:
        return self.job(job_id).state

    def claim(
        self,
        *lanes: str,
        server: str = "gpu",
        number: int = 0,
        owner: str = "me",
        lease_ms: int = 60_000,
        left: Collection[Fence] = (),
    ) -> ClaimedAttempt | None:
        return self.run(
            attempts.claim,
            Slot(server, number, lanes or ("image",)),
            owner=owner,
            prompt_id=fresh("prompt"),
            lease_ms=lease_ms,
            now_ms=NOW,
            left=left,
        )

    def claimed(self, *lanes: str, **where: Any) -> ClaimedAttempt:
        attempt = self.claim(*lanes, **where)
        assert attempt is not None
        return attempt

    def running(self, account_id: str, server: str = "gpu", **changed: Any) -> ClaimedAttempt:
        """Submit a job into a lane of its own and bring it to `running`."""
        lane = fresh("lane")
        self.submit(account_id, lane=lane, **changed)
        attempt = self.claimed(lane, server=fresh(server))
        assert self.run(attempts.mark_started, attempt.fence, NOW + 1)
        return attempt

    def settle(
        self,
        fence: Fence,
        outcome: Outcome,
        *outputs: NewOutput,
        attempts_max: int = 3,
        now_ms: int = NOW + 5,
    ) -> Settled:
        return self.run(
            settle.settle,
            fence,
            outcome,
            outputs=outputs,
            attempts_max=attempts_max,
            results_seconds=7 * 86_400,
            now_ms=now_ms,
        )

    def succeed(self, fence: Fence, *outputs: NewOutput) -> None:
        assert self.settle(fence, Succeeded(), *outputs) is Settled.DONE

    def upload(self, account_id: str, of: BlobRow | None = None, **changed: Any) -> tuple[AssetRow, bool]:
        values: dict[str, Any] = {
            "content_type": "image/png",
            "file_path": "photo.png",
            "tags": (),
            "now_ms": NOW,
            "expires_at_ms": NOW + DAY_MS,
        }
        return self.run(assets.add_upload, fresh("asset"), account_id, of or blob(), **(values | changed))

    def entries(self, account_id: str) -> list[tuple[str, int]]:
        """Kind and amount, oldest first."""
        listed = self.run(ledger.list_entries, account_id, 1000)
        return [(str(entry.kind), entry.amount) for entry in reversed(listed)]

    def told(self, job_id: str) -> list[str]:
        """Kinds of what the outbox has of a job, in order."""
        return [row.kind for row in self.run(outbox.waiting, 10_000) if row.job_id == job_id]

    def assert_books_balance(self) -> None:
        audit = self.run(ledger.audit)
        assert audit.faults == ()
        assert audit.total == 0


def takes(asset_id: str, node_id: str = "1") -> tuple[JobInput, ...]:
    return (JobInput(node_id, ("image",), asset_id),)


class Waiter:
    """A store function in a thread and a transaction of its own, on PostgreSQL, that may have to wait."""

    def __init__(self, world: World, fn: Callable[[Connection], Any]) -> None:
        self._world = world
        self._fn = fn
        self._pid = 0
        self._known = threading.Event()
        self.result: Any = None
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        assert self._known.wait(WAIT_SECONDS_MAX)

    def _work(self) -> None:
        try:
            with self._world.engine.begin() as conn:
                self._pid = conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
                self._known.set()
                self.result = self._fn(conn)
        except Exception as error:  # noqa: BLE001  # handed to the test, which looks at it
            self.error = error
        finally:
            self._known.set()

    def until_blocked(self) -> None:
        """Return once the database says that this transaction waits for another's lock."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        with self._world.engine.connect() as conn:
            query = text("SELECT cardinality(pg_blocking_pids(:pid))")
            while conn.execute(query, {"pid": self._pid}).scalar_one() == 0:
                assert self._thread.is_alive(), f"it did not wait: {self.result!r} {self.error!r}"
                assert time.monotonic() < deadline, "it never came to wait"

    def done(self) -> Any:
        """Give the function's result, after its commit; raise what it raised."""
        self._thread.join(WAIT_SECONDS_MAX)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error
        return self.result
