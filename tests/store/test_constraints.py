"""The database itself refuses what must not be: each rule meets the raw SQL that breaks it."""

# ruff: noqa: S608  # raw SQL put together from this file's own words is what is tested

from itertools import product
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from comfygate.domain.credits import CREDITS_MAX, MOVES, EntryKind, Side
from comfygate.domain.job import TERMINAL, TRANSITIONS, JobState
from tests.store.world import NOW, World, fresh

JOB = {
    "account_id": "",
    "lane": "'image'",
    "priority": "0",
    "state": "'queued'",
    "price": "3",
    "hold": "'placed'",
    "created_at_ms": "0",
    "queue_deadline_at_ms": "0",
    "expires_at_ms": "0",
}
CANCELED = {"state": "'canceled'", "completed_at_ms": "1"}


def refused(world: World, statement: str, because: str) -> None:
    """Expect the database to refuse, naming the rule, and nothing to change."""
    before = world.dump()
    with pytest.raises(DBAPIError) as error:
        world.sql(statement)
    words = str(error.value.orig)
    assert because in words, words
    assert world.dump() == before


def insert_job(world: World, account_id: str, **changed: str) -> str:
    job_id = fresh("raw")
    values = JOB | {"id": f"'{job_id}'", "account_id": f"'{account_id}'"} | changed
    world.sql(f"INSERT INTO jobs ({', '.join(values)}) VALUES ({', '.join(values.values())})")
    return job_id


def job_in(world: World, account_id: str, state: JobState) -> str:
    """Make a free job in any state, as no code of ours could."""
    ended = {"completed_at_ms": str(NOW)} if state in TERMINAL else {}
    why = """'{"code": "x", "message": "y"}'"""
    return insert_job(world, account_id, state=f"'{state}'", price="0", hold="'none'", error=why, **ended)


@pytest.mark.parametrize("before", JobState)
def test_only_the_moves_of_the_table_are_possible(world: World, before: JobState) -> None:
    account_id = world.account()
    for after in JobState:
        job_id = job_in(world, account_id, before)
        completed = NOW if after in TERMINAL else "NULL"
        move = f"UPDATE jobs SET state = '{after}', completed_at_ms = {completed} WHERE id = '{job_id}'"
        if after is before or after in TRANSITIONS[before]:
            world.sql(move)
            assert world.state(job_id) is after
        else:
            refused(world, move, "no such move between states")


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"state": "'lost'"}, "jobs_state_check"),
        ({"hold": "'open'"} | CANCELED, "jobs_hold_check"),
        ({"price": "-1", "hold": "'none'"}, "jobs_price_check"),
        ({"price": "0", "hold": "'released'"} | CANCELED, "jobs_price_check"),
        ({"hold": "'none'"} | CANCELED, "jobs_price_check"),
        ({"attempt": "-1"}, "jobs_attempt_check"),
        ({"completed_at_ms": "1"}, "jobs_completed_check"),
        ({"hold": "'released'"}, "jobs_hold_open_check"),
        ({"hold": "'captured'"}, "jobs_hold_"),
        ({"state": "'succeeded'", "completed_at_ms": "1"}, "jobs_hold_"),
        ({"state": "'succeeded'", "completed_at_ms": "1", "hold": "'released'"}, "jobs_hold_captured_check"),
        ({"state": "'succeeded'", "hold": "'captured'"}, "jobs_completed_check"),
        ({"state": "'canceled'", "completed_at_ms": "1", "hold": "'captured'"}, "jobs_hold_captured_check"),
        ({"state": "'expired'", "completed_at_ms": "1"}, "jobs_hold_open_check"),
        ({"state": "'failed'", "completed_at_ms": "1", "hold": "'released'"}, "jobs_failed_says_why_check"),
    ],
    ids=str,
)
def test_a_job_that_cannot_be_is_refused(world: World, changed: dict[str, str], rule: str) -> None:
    account_id = world.account()
    with pytest.raises(DBAPIError) as error:
        insert_job(world, account_id, **changed)
    assert rule in str(error.value.orig)


def test_a_job_of_nobody_is_refused(world: World) -> None:
    with pytest.raises(DBAPIError):
        insert_job(world, "nobody")


def test_the_price_and_hold_of_a_job_that_ended_stay_bound_to_its_end(world: World) -> None:
    attempt = world.running(world.account())
    world.succeed(attempt.fence)
    job = f"WHERE id = '{attempt.fence.job_id}'"
    refused(world, f"UPDATE jobs SET hold = 'released' {job}", "jobs_hold_captured_check")
    refused(world, f"UPDATE jobs SET hold = 'none' {job}", "jobs_")
    refused(world, f"UPDATE jobs SET price = 0 {job}", "jobs_")
    refused(world, f"UPDATE jobs SET completed_at_ms = NULL {job}", "jobs_completed_check")


def test_no_balance_below_zero_or_above_the_limit(world: World) -> None:
    account_id = world.account(credits=10)
    where = f"WHERE id = '{account_id}'"
    refused(world, f"UPDATE accounts SET available = -1 {where}", "accounts_available_check")
    refused(world, f"UPDATE accounts SET held = held - 1 {where}", "accounts_held_check")
    refused(world, f"UPDATE accounts SET available = {CREDITS_MAX + 1} {where}", "accounts_available_check")


def entry(kind: str, account_id: str, job_id: str | None, amount: int = 3, **sides: str) -> str:
    source, target = (str(side) for side in MOVES.get(EntryKind(kind), ("", "")))
    job = "NULL" if job_id is None else f"'{job_id}'"
    return (
        "INSERT INTO entries (kind, account_id, from_side, to_side, amount, job_id, created_at_ms) VALUES"
        f" ('{kind}', '{account_id}', '{sides.get('source', source)}', '{sides.get('target', target)}',"
        f" {amount}, {job}, 0)"
    )


OF_A_JOB = {EntryKind.HOLD, EntryKind.CAPTURE, EntryKind.RELEASE}


def unique(world: World, name: str, column: str) -> str:
    """Give what the engine calls a violated unique index: PostgreSQL its name, SQLite its column."""
    return name if world.dialect == "postgresql" else f"UNIQUE constraint failed: {column}"


def test_one_hold_and_one_settling_entry_a_job(world: World) -> None:
    account_id = world.account()
    attempt = world.running(account_id)
    job_id = attempt.fence.job_id
    second_hold = unique(world, "entries_one_hold_a_job", "entries.job_id")
    refused(world, entry("hold", account_id, job_id), second_hold)
    world.succeed(attempt.fence)
    second_settle = unique(world, "entries_one_settle_a_job", "entries.job_id")
    for kind in ("capture", "release"):
        refused(world, entry(kind, account_id, job_id), second_settle)


def test_an_entry_moves_between_the_sides_of_its_kind_only(world: World) -> None:
    account_id = world.account()
    for kind, source, target in product(EntryKind, Side, Side):
        if (source, target) != MOVES[kind]:
            job_id = world.submit(account_id, price=0).id if kind in OF_A_JOB else None
            refused_raw(world, entry(str(kind), account_id, job_id, source=source, target=target))


def refused_raw(world: World, statement: str) -> None:
    with pytest.raises(DBAPIError, match="entries_moves_check"):
        world.sql(statement)


@pytest.mark.parametrize(
    ("kind", "of_a_job", "amount", "rule"),
    [
        ("grant", False, 0, "entries_amount_check"),
        ("grant", False, -1, "entries_amount_check"),
        ("grant", False, CREDITS_MAX + 1, "entries_amount_check"),
        ("grant", True, 1, "entries_job_check"),
        ("hold", False, 1, "entries_job_check"),
        ("release", False, 1, "entries_job_check"),
        ("capture", False, 1, "entries_job_check"),
    ],
)
def test_an_entry_that_cannot_be_is_refused(
    world: World, kind: str, of_a_job: bool, amount: int, rule: str
) -> None:
    account_id = world.account()
    job_id = world.submit(account_id, price=0).id if of_a_job else None
    refused(world, entry(kind, account_id, job_id, amount), rule)


def test_an_entry_is_never_changed_or_deleted(world: World) -> None:
    world.account(credits=10)
    refused(world, "UPDATE entries SET amount = 11", "entries are never changed")
    refused(world, "UPDATE entries SET reason = 'better'", "entries are never changed")
    refused(world, "DELETE FROM entries", "entries are never")
    if world.dialect == "postgresql":
        refused(world, "TRUNCATE entries CASCADE", "entries are never changed")


def attempt_row(job_id: str, **changed: Any) -> str:
    values: dict[str, Any] = {
        "job_id": job_id,
        "number": 7,
        "prompt_id": fresh("prompt"),
        "server": fresh("server"),
        "slot": 0,
        "owner": "me",
        "lease_until_at_ms": 0,
        "claimed_at_ms": 0,
    } | changed
    quoted = ", ".join(f"'{value}'" if isinstance(value, str) else str(value) for value in values.values())
    return f"INSERT INTO attempts ({', '.join(values)}) VALUES ({quoted})"


def test_one_open_attempt_a_slot_and_a_job(world: World) -> None:
    account_id = world.account()
    world.submit(account_id)
    waiting = world.submit(account_id)
    attempt = world.claimed(server="gpu", number=1)
    taken = unique(world, "attempts_one_a_slot", "attempts.server, attempts.slot")
    refused(world, attempt_row(waiting.id, server="gpu", slot=1), taken)
    doubled = unique(world, "attempts_one_a_job", "attempts.job_id")
    refused(world, attempt_row(attempt.fence.job_id), doubled)
    world.sql(attempt_row(waiting.id, server="gpu", slot=2))


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"number": 0}, "attempts_number_check"),
        ({"ended_at_ms": 1}, "attempts_ended_check"),
        ({"outcome": "lost"}, "attempts_ended_check"),
        ({"outcome": "vanished", "ended_at_ms": 1}, "attempts_outcome_check"),
    ],
    ids=str,
)
def test_an_attempt_that_cannot_be_is_refused(world: World, changed: dict[str, Any], rule: str) -> None:
    job = world.submit(world.account())
    refused(world, attempt_row(job.id, **changed), rule)


def test_a_prompt_id_and_an_attempts_number_are_used_once(world: World) -> None:
    account_id = world.account()
    job = world.submit(account_id)
    other = world.submit(account_id)
    ended = {"ended_at_ms": 1, "outcome": "lost"}
    world.sql(attempt_row(job.id, prompt_id="p", number=1, **ended))
    refused(
        world,
        attempt_row(other.id, prompt_id="p"),
        unique(world, "attempts_prompt_id_key", "attempts.prompt_id"),
    )
    twice = unique(world, "attempts_pkey", "attempts.job_id, attempts.number")
    refused(world, attempt_row(job.id, number=1, **ended), twice)


def test_an_idempotency_key_makes_one_job(world: World) -> None:
    account_id = world.account()
    world.submit(account_id, idempotency_key="k")
    statement = (
        "INSERT INTO idempotency_keys (account_id, key, request_hash, made_id, created_at_ms)"
        f" VALUES ('{account_id}', 'k', '', 'x', 0)"
    )
    refused(
        world,
        statement,
        unique(world, "idempotency_keys_pkey", "idempotency_keys.account_id, idempotency_keys.key"),
    )


def test_an_output_is_recorded_whole_and_bytes_with_records_stay(world: World) -> None:
    account_id = world.account()
    asset, _ = world.upload(account_id)
    refused(world, f"UPDATE assets SET node_id = '1' WHERE id = '{asset.id}'", "assets_output_whole_check")
    refused(
        world, "DELETE FROM blobs", "assets_hash_fkey" if world.dialect == "postgresql" else "FOREIGN KEY"
    )


@pytest.mark.parametrize("slots", [0, 65])
def test_a_server_has_1_to_64_slots(world: World, slots: int) -> None:
    refused(
        world,
        f"INSERT INTO servers VALUES ('gpu', 'http://127.0.0.1', {slots}, '[]', 0, NULL, 0)",
        "servers_slots_check",
    )


@pytest.mark.parametrize("ahead", [-1, 2])
def test_a_server_has_at_most_one_prompt_ahead(world: World, ahead: int) -> None:
    refused(
        world,
        f"INSERT INTO servers VALUES ('gpu', 'http://127.0.0.1', 1, '[]', 0, NULL, {ahead})",
        "servers_ahead_check",
    )
