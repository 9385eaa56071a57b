"""What comes in together is what would have come in one by one; what might be refused is left alone."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import pytest
from sqlalchemy import Connection, event, select

from comfygate.domain.errors import GateError
from comfygate.domain.order import Tier
from comfygate.store import jobs, outbox
from comfygate.store.admission import Depths
from comfygate.store.rows import JobRow, NewJob
from comfygate.store.submissions import submit_all
from comfygate.store.tables import metadata
from tests.store.test_submit import REFUSALS
from tests.store.world import KEY_SECONDS, NOW, TIERS, World, blob, new_job, takes

TABLES = ("accounts", "jobs", "job_graphs", "entries", "outbox", "idempotency_keys")
GIVEN = {"jobs": "ticket", "entries": "id", "outbox": "id"}
"""Numbers that the database gives, and on PostgreSQL does not give again."""
ROOMY = Depths(known={"image": (0, 0), "video": (0, 0)})


def roomy() -> Depths:
    return Depths(known=dict(ROOMY.known))


def together(
    world: World, *news: NewJob, tiers: dict[str, Tier] = TIERS, depths: Depths | None = None
) -> dict[str, JobRow]:
    return world.run(submit_all, news, tiers, roomy() if depths is None else depths)


def tried(world: World, act: Callable[[Connection], Sequence[JobRow]]) -> tuple[list[Any], list[Any]]:
    """What it gives and what the tables hold then; of the database's numbers, only their order."""
    with world.open() as conn:
        rows = act(conn)
        held = []
        for name in TABLES:
            found = [dict(row._mapping) for row in conn.execute(select(metadata.tables[name]))]
            if (number := GIVEN.get(name)) is not None:
                found.sort(key=itemgetter(number))
                for place, row in enumerate(found):
                    row[number] = place
            held.append(sorted(found, key=repr))
        first = min(row.ticket for row in rows)
        return [replace(row, ticket=row.ticket - first) for row in rows], held


def odd_jobs(world: World) -> list[NewJob]:
    rich, plain, gold = world.account(1000), world.account(50), world.account(100, tier="black_gold")
    texts = (
        '{"1": {"a\\\\b\\"c": "NULL", "d": "{é,\\n\u2028}"}}',
        "NULL",
        "{}",
        '"',
        "\\",
        " ",
        "ü\t",
        "a,b",
    )
    made = [new_job(rich, graph=text, shape=text, workflow=text) for text in texts]
    made += [new_job(plain, price=0), new_job(gold, lane="video", price=7, deliver=("9", 'x"y'), style="s")]
    made += [new_job(plain, price=price, idempotency_key=f"k'{price}", request_hash="h") for price in (1, 2)]
    made += [new_job(rich, price=2, retry_of="job-0", raw=True, tiers=(frozenset({"regular"}),))]
    return made


def test_together_and_one_by_one_leave_the_same(world: World) -> None:
    tiers = {
        **TIERS,
        "regular": Tier(
            "regular", 100, 1_000_000, priorities={"video": 5}, discount_percent=30, jobs_running_max=4
        ),
    }
    news = odd_jobs(world)

    def one_by_one(conn: Connection) -> list[JobRow]:
        return [jobs.submit(conn, new, tiers, KEY_SECONDS, roomy()) for new in news]

    def at_once(conn: Connection) -> list[JobRow]:
        found = submit_all(conn, news, tiers, roomy())
        return [found[new.id] for new in news]

    assert tried(world, at_once) == tried(world, one_by_one)
    assert world.sql("SELECT count(*) FROM jobs")[0][0] == 0


def test_what_they_answer_is_what_is_there(world: World) -> None:
    news = odd_jobs(world)
    found = together(world, *news)
    assert list(found) == [new.id for new in news]
    assert [row.ticket for row in found.values()] == sorted({row.ticket for row in found.values()})
    for new in news:
        assert world.job(new.id) == found[new.id]
        assert world.run(jobs.get_graph, new.id) == new.graph
    told = [(row.job_id, row.kind) for row in world.run(outbox.waiting, 100)]
    assert told == [(new.id, "job.queued") for new in news]
    world.assert_books_balance()


@pytest.mark.parametrize("count", [1, 63, 64, 65, 150])
def test_any_number_comes_in_in_order(world: World, count: int) -> None:
    owners = [world.account(1000) for _ in range(3)]
    news = [new_job(owners[place % 3]) for place in range(count)]
    found = together(world, *news)
    assert world.run(jobs.front_of_lane, "image", 1000) == [new.id for new in news]
    assert [world.job(new.id).ticket for new in news] == [found[new.id].ticket for new in news]
    assert sum(world.balance(owner).held for owner in owners) == 3 * count
    world.assert_books_balance()


@pytest.mark.parametrize(("arrange", "refusal"), REFUSALS, ids=lambda value: value.__name__)
def test_what_would_be_refused_is_left_alone_and_nobody_else(
    world: World, arrange: Callable[[World], dict[str, Any]], refusal: type[GateError]
) -> None:
    bad = new_job(**arrange(world), idempotency_key="k", request_hash="h")
    depths, neighbour = Depths(), world.account()
    world.run(jobs.submit, new_job(neighbour), TIERS, KEY_SECONDS, depths)
    before = world.dump()
    assert together(world, bad, depths=depths) == {}
    assert world.dump() == before
    found = together(world, new_job(neighbour, id="a"), bad, new_job(neighbour, id="b"), depths=depths)
    assert list(found) == ["a", "b"]
    assert issubclass(refusal, GateError)
    world.assert_books_balance()


def test_limits_are_exact_within_one_batch(world: World) -> None:
    small, poor = world.account(tier="small"), world.account(credits=7)
    world.submit(small)
    news = [new_job(small) for _ in range(4)] + [new_job(poor) for _ in range(4)]
    assert list(together(world, *news)) == [news[0].id, news[1].id, news[4].id, news[5].id]
    assert (world.balance(poor).available, world.balance(poor).held) == (1, 6)
    full = Depths(known={"image": (0, 0)})
    newest = world.sql("SELECT max(ticket) FROM jobs")[0][0]
    news = [new_job(world.account(), depth_max=newest + 2) for _ in range(4)]
    assert list(together(world, *news, depths=full)) == [new.id for new in news[:2]]


def test_a_lane_that_nobody_counted_is_left_to_who_counts_it(world: World) -> None:
    account_id, depths = world.account(), Depths()
    assert together(world, new_job(account_id), depths=depths) == {}
    world.run(jobs.submit, new_job(account_id), TIERS, KEY_SECONDS, depths)
    assert len(together(world, new_job(account_id), depths=depths)) == 1


def test_a_key_comes_in_once(world: World) -> None:
    first, second = world.account(), world.account()
    world.submit(first, idempotency_key="old")
    news = [
        new_job(owner, idempotency_key=key)
        for owner, key in ((first, "old"), (first, "k"), (first, "k"), (second, "k"), (second, "old"))
    ]
    assert list(together(world, *news)) == [news[1].id, news[3].id, news[4].id]


def test_what_needs_a_look_of_its_own_is_left_alone(world: World) -> None:
    account_id, free = world.account(), world.account(tier="free")
    tiers = {
        **TIERS,
        "free": Tier("free", 100, 1_000_000, free_jobs_daily=1),
        "own": Tier("own", 1, 9, raw_graphs=False),
    }
    asset, _ = world.upload(account_id, blob())
    news = [
        new_job(account_id, inputs=takes(asset.id)),
        new_job(account_id, fair_share=True),
        new_job(free),
        new_job(world.account(tier="own"), raw=True),
        new_job(account_id, tiers=(frozenset({"vip"}),)),
    ]
    assert together(world, *news, tiers=tiers) == {}


@pytest.mark.postgresql
def test_a_locked_account_is_not_waited_for(pg_world: World) -> None:
    """Somebody who holds one account up holds up nobody else's submissions."""
    held, other = pg_world.account(), pg_world.account()
    news = [new_job(held), new_job(other)]
    with pg_world.open() as conn:
        jobs.submit(conn, new_job(held), TIERS, KEY_SECONDS)
        assert list(together(pg_world, *news)) == [news[1].id]
    assert list(together(pg_world, news[0])) == [news[0].id]


def test_its_statements_are_as_many_for_one_as_for_many(world: World) -> None:
    counts = []
    for count in (1, 50):
        owners = [world.account() for _ in range(count)]
        seen: list[str] = []
        with world.open() as conn:
            event.listen(conn, "before_cursor_execute", lambda *given, to=seen: to.append(given[2]))
            submit_all(
                conn, [new_job(owner, idempotency_key="k", now_ms=NOW) for owner in owners], TIERS, roomy()
            )
        counts.append(len(seen))
    # On SQLite an INSERT takes 64, 32, 16 and so on rows: 50 are three of them.
    assert counts == ([9, 19] if world.dialect == "sqlite" else [9, 9])
