"""A replica of an older schema goes on working beside a newer one: migrations only add.

`recordings/replica_0001_*.json` is every statement that a replica of schema 0001 sent for the whole life of
six jobs (submitted, claimed, started, renewed, settled in each way, lost, expired, canceled), recorded
from that version. It is played here against today's schema, and today's code then carries on.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect

from comfygate.domain.job import JobState, Succeeded
from comfygate.store import accounts, attempts
from comfygate.store.schema import downgrade, migrate
from comfygate.store.tables import metadata
from tests.store.world import NOW, World

RECORDINGS = Path(__file__).parent / "recordings"


def play(world: World, revision: str) -> None:
    """Send the recorded statements; any that the schema refuses raises."""
    recording = RECORDINGS / f"replica_{revision}_{world.dialect}.json"
    steps: list[list[Any]] = json.loads(recording.read_text(encoding="utf-8"))
    with world.engine.begin() as conn:
        for statement, parameters, many in steps:
            given = (
                [tuple(one) if isinstance(one, list) else one for one in parameters] if many else parameters
            )
            if not many and isinstance(parameters, list):
                given = tuple(parameters)
            result = conn.exec_driver_sql(statement, given)
            if result.returns_rows:
                result.all()


@pytest.mark.parametrize("revision", ["0001"])
def test_an_old_replica_works_beside_the_new_schema_and_the_new_one_carries_on(
    world: World, revision: str
) -> None:
    world.run(accounts.add_account, "account-1", "ann", "vip", "digest", 100, NOW)
    play(world, revision)
    world.assert_books_balance()
    states = [row[0] for row in world.sql("SELECT state FROM jobs ORDER BY ticket")]
    assert states == ["succeeded", "failed", "expired", "canceled", "claimed", "queued"]
    (left,) = world.run(attempts.take_over, "gpu", owner="new", lease_ms=60_000, now_ms=NOW, at_once=True)
    world.succeed(left.fence)
    following = world.claimed()
    world.run(attempts.mark_started, following.fence, NOW)
    assert world.settle(following.fence, Succeeded()).value == "done"
    assert world.state(following.fence.job_id) is JobState.SUCCEEDED
    world.assert_books_balance()


def test_a_database_that_holds_jobs_is_brought_up_and_back(empty_url: str) -> None:
    migrate(empty_url, "0001")
    world = World(empty_url)
    world.sql(
        "INSERT INTO accounts (id, name, tier, available, created_at_ms)"
        " VALUES ('account-1', 'ann', 'vip', 100, 1)"
    )
    world.sql(
        "INSERT INTO entries (kind, account_id, from_side, to_side, amount, created_at_ms)"
        " VALUES ('grant', 'account-1', 'issued', 'available', 100, 1)"
    )
    play(world, "0001")
    migrate(empty_url)
    world.assert_books_balance()
    world.claimed(number=1)
    with world.engine.connect() as conn:
        assert set(inspect(conn).get_table_names()) >= metadata.tables.keys()
    downgrade(empty_url, "0001")
    assert len(world.sql("SELECT id FROM jobs")) == 6
