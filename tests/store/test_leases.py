"""An attempt belongs to who renews its lease; when that ran out, or its owner is dead, another adopts it."""

import pytest
from sqlalchemy import event

from comfygate.domain.errors import Conflict
from comfygate.domain.job import JobState, Lost, Succeeded
from comfygate.store import attempts, jobs, leases
from comfygate.store.rows import ClaimedAttempt
from comfygate.store.settle import Settled
from tests.store.world import NOW, Waiter, World, takes

RUN_OUT = -1_000
FRESH = 60_000


def take_over(
    world: World,
    server: str = "gpu",
    owner: str = "heir",
    *,
    at_once: bool = False,
    driven: list[str] | None = None,
) -> list[ClaimedAttempt]:
    return world.run(
        attempts.take_over,
        server,
        owner=owner,
        lease_ms=FRESH,
        now_ms=NOW,
        at_once=at_once,
        driven=driven,
    )


def owner_of(world: World, attempt: ClaimedAttempt) -> str:
    owner: str = world.sql("SELECT owner FROM attempts WHERE job_id = :id", id=attempt.fence.job_id)[0][0]
    return owner


def test_a_lease_in_force_is_left_alone(world: World) -> None:
    world.submit(world.account())
    attempt = world.claimed(lease_ms=FRESH)
    before = world.dump()
    assert take_over(world) == []
    assert world.dump() == before
    assert owner_of(world, attempt) == "me"


def test_a_lease_that_ran_out_is_adopted_once_with_all_it_needs(world: World) -> None:
    account_id = world.account()
    asset, _ = world.upload(account_id)
    world.submit(account_id, inputs=takes(asset.id), graph='{"1": {}}')
    attempt = world.claimed(lease_ms=RUN_OUT)
    (adopted,) = take_over(world)
    assert adopted.adopted
    assert (adopted.fence, adopted.prompt_id) == (attempt.fence, attempt.prompt_id)
    assert (adopted.graph, adopted.inputs) == (attempt.graph, attempt.inputs)
    assert (adopted.server, adopted.slot, adopted.state) == ("gpu", 0, JobState.CLAIMED)
    assert owner_of(world, attempt) == "heir"
    assert take_over(world, owner="third") == [], "the heir's lease is new"


def test_adoption_sees_what_was_asked_meanwhile(world: World) -> None:
    account_id = world.account()
    job = world.submit(account_id)
    world.claimed(lease_ms=RUN_OUT)
    world.run(jobs.cancel, job.id, account_id, NOW)
    (adopted,) = take_over(world)
    assert adopted.state is JobState.CANCELING
    assert world.run(attempts.canceling_of, "heir") == [job.id]
    assert world.run(attempts.canceling_of, "me") == []


def test_of_the_known_dead_everything_is_adopted_at_once(world: World) -> None:
    account_id = world.account()
    for _ in range(3):
        world.submit(account_id)
    first, second = world.claimed(owner="dead", number=0), world.claimed(owner="older", number=1)
    ours = world.claimed(owner="heir", number=2)
    adopted = take_over(world, at_once=True)
    assert {attempt.fence for attempt in adopted} == {first.fence, second.fence}
    assert owner_of(world, ours) == "heir"


def test_adoption_is_one_servers_and_of_open_attempts(world: World) -> None:
    account_id = world.account()
    world.submit(account_id)
    world.submit(account_id)
    elsewhere = world.claimed(server="other", lease_ms=RUN_OUT)
    ended = world.claimed(lease_ms=RUN_OUT)
    world.succeed(ended.fence)
    assert take_over(world) == []
    assert owner_of(world, elsewhere) == "me"


def test_renewing_keeps_all_of_ones_own_and_nothing_else(world: World) -> None:
    account_id = world.account()
    for _ in range(3):
        world.submit(account_id)
    world.claimed(number=0, lease_ms=RUN_OUT)
    world.claimed(number=1, lease_ms=RUN_OUT, server="other")
    theirs = world.claimed(number=2, lease_ms=RUN_OUT, owner="they")
    assert world.run(attempts.renew, "me", ["gpu", "other"], FRESH, NOW) == 2
    assert [attempt.fence for attempt in take_over(world)] == [theirs.fence]
    assert take_over(world, "other") == []


def test_ended_attempts_are_not_renewed(world: World) -> None:
    world.submit(world.account())
    world.succeed(world.claimed().fence)
    assert world.run(attempts.renew, "me", ["gpu", "other"], FRESH, NOW) == 0


def test_before_sending_one_asks_whether_it_is_still_ones_own(world: World) -> None:
    account_id = world.account()
    job = world.submit(account_id)
    attempt = world.claimed(lease_ms=RUN_OUT)
    assert world.run(attempts.still_ours, attempt.fence, "me") is JobState.CLAIMED
    world.run(jobs.cancel, job.id, account_id, NOW)
    assert world.run(attempts.still_ours, attempt.fence, "me") is JobState.CANCELING
    take_over(world)
    assert world.run(attempts.still_ours, attempt.fence, "me") is None
    assert world.run(attempts.still_ours, attempt.fence, "heir") is JobState.CANCELING
    world.succeed(attempt.fence)
    assert world.run(attempts.still_ours, attempt.fence, "heir") is None


def test_the_old_owners_late_answer_counts_if_it_is_first_and_once(world: World) -> None:
    """Adoption keeps the attempt's number: whoever reads the server's answer first settles it."""
    account_id = world.account(credits=10)
    world.submit(account_id)
    attempt = world.claimed(lease_ms=RUN_OUT)
    (adopted,) = take_over(world)
    assert world.settle(attempt.fence, Succeeded()) is Settled.DONE
    assert world.settle(adopted.fence, Succeeded()) is Settled.STALE
    assert world.entries(account_id) == [("grant", 10), ("hold", 3), ("capture", 3)]


@pytest.mark.postgresql
def test_replicas_that_rescue_at_once_do_not_adopt_the_same(pg_world: World) -> None:
    account_id = pg_world.account()
    for number in range(3):
        pg_world.submit(account_id)
        pg_world.claimed(number=number, lease_ms=RUN_OUT)
    with pg_world.open() as one, pg_world.open() as two:
        asked = {"lease_ms": FRESH, "now_ms": NOW, "at_once": False}
        ours = attempts.take_over(one, "gpu", owner="one", **asked)  # type: ignore[arg-type]
        theirs = attempts.take_over(two, "gpu", owner="two", **asked)  # type: ignore[arg-type]
        assert (len(ours), len(theirs)) == (3, 0)


@pytest.mark.postgresql
def test_leases_go_by_the_databases_clock_on_postgresql(pg_world: World) -> None:
    """A replica whose clock is a day off neither steals nor loses attempts."""
    pg_world.submit(pg_world.account())
    attempt = pg_world.claimed(lease_ms=FRESH)
    for clock in (0, NOW + 86_400_000 * 365):
        assert (
            pg_world.run(attempts.take_over, "gpu", owner="off", lease_ms=FRESH, now_ms=clock, at_once=False)
            == []
        )
    (row,) = pg_world.sql(
        "SELECT lease_until_at_ms - extract(epoch FROM clock_timestamp()) * 1000 AS left FROM attempts"
    )
    assert 0 < row.left <= FRESH
    assert owner_of(pg_world, attempt) == "me"


def test_an_open_attempt_of_ones_own_that_nobody_drives_is_adopted(world: World) -> None:
    """Its claim was committed, and who asked for it was cancelled or heard only of trouble."""
    account_id = world.account()
    world.submit(account_id)
    world.submit(account_id)
    unheard, driven = world.claimed(number=0, lease_ms=FRESH), world.claimed(number=1, lease_ms=RUN_OUT)
    (adopted,) = take_over(world, owner="me", driven=[driven.prompt_id])
    assert adopted.fence == unheard.fence
    assert adopted.adopted


def test_of_the_prompts_on_a_server_those_are_told_whose_attempt_has_ended(world: World) -> None:
    account_id = world.account()
    world.submit(account_id)
    world.submit(account_id)
    given_up, running = world.claimed(number=0), world.claimed(number=1)
    world.settle(given_up.fence, Lost("out of reach"))
    here = {given_up.prompt_id, running.prompt_id, "a stranger's"}
    assert world.run(attempts.given_up, "gpu", here) == {given_up.prompt_id}
    assert world.run(attempts.given_up, "other", here) == set()


def test_what_runs_on_anothers_server_is_not_renewed(world: World) -> None:
    """Found by the simulation: a replica that was frozen kept an attempt alive whose server it had lost."""
    world.submit(world.account())
    attempt = world.claimed(lease_ms=RUN_OUT)
    assert world.run(attempts.renew, "me", ["other"], FRESH, NOW) == 0
    assert [found.fence for found in take_over(world)] == [attempt.fence]


def test_with_a_server_come_its_attempts_and_only_with_it(world: World) -> None:
    world.submit(world.account())
    attempt = world.claimed(lease_ms=FRESH)

    def adopted() -> list[ClaimedAttempt]:
        return world.run(
            attempts.take_over, "gpu", owner="heir", lease_ms=FRESH, now_ms=NOW, under_lease="server:gpu"
        )

    assert adopted() == [], "the server is nobody's yet"
    assert world.run(leases.take, "server:gpu", "heir", FRESH, NOW)
    assert [found.fence for found in adopted()] == [attempt.fence]


def test_work_is_given_by_the_holder_of_the_servers_lease_only(world: World) -> None:
    world.submit(world.account())
    before = world.dump()

    def claim(owner: str) -> ClaimedAttempt | None:
        return world.run(
            attempts.claim,
            attempts.Slot("gpu", 0, ("image",)),
            owner=owner,
            prompt_id="prompt",
            lease_ms=FRESH,
            now_ms=NOW,
            under_lease="server:gpu",
        )

    with pytest.raises(Conflict, match="belongs to another replica"):
        claim("me")
    assert world.dump() == before
    assert world.run(leases.take, "server:gpu", "me", FRESH, NOW)
    with pytest.raises(Conflict):
        claim("they")
    assert claim("me") is not None


def test_a_lease_is_ones_own_until_it_runs_out_or_is_given_back(world: World) -> None:
    assert world.run(leases.take, "relay", "me", FRESH, NOW)
    assert world.run(leases.take, "relay", "me", FRESH, NOW), "renewed"
    assert not world.run(leases.take, "relay", "they", FRESH, NOW)
    assert world.run(leases.owners, NOW) == {"relay": "me"}
    world.run(leases.release_all, "they")
    assert world.run(leases.holds, "relay", "me", NOW)
    world.run(leases.release_all, "me")
    assert world.run(leases.take, "relay", "they", RUN_OUT, NOW)
    assert world.run(leases.owners, NOW) == {}
    assert world.run(leases.take, "relay", "me", FRESH, NOW), "it ran out"
    assert not world.run(leases.holds, "relay", "they", NOW)


@pytest.mark.postgresql
def test_of_two_who_take_a_free_lease_at_once_one_has_it(pg_world: World) -> None:
    with pg_world.open() as one:
        assert leases.take(one, "relay", "one", FRESH, NOW)
        two = Waiter(pg_world, lambda conn: leases.take(conn, "relay", "two", FRESH, NOW))
        two.until_blocked()
        one.commit()
    assert two.done() is False
    assert pg_world.run(leases.owners, NOW) == {"relay": "one"}


def test_many_leases_are_taken_as_one_by_one(world: World) -> None:
    """Those that are free, that have run out and that are ours already; not those in force of others."""
    for name, owner, lease_ms in (
        ("theirs", "they", FRESH),
        ("old", "they", RUN_OUT),
        ("ours", "me", RUN_OUT),
    ):
        assert world.run(leases.take, name, owner, lease_ms, NOW)
    wanted = ["ours", "theirs", "old", "new", "newer"]
    assert world.run(leases.take_all, wanted, "me", FRESH, NOW) == {"ours", "old", "new", "newer"}
    assert world.run(leases.owners, NOW) == {
        "theirs": "they",
        **dict.fromkeys(("ours", "old", "new", "newer"), "me"),
    }
    assert world.run(leases.take_all, wanted, "they", FRESH, NOW) == {"theirs"}
    assert world.run(leases.take_all, [], "me", FRESH, NOW) == frozenset()


def test_a_lease_that_is_not_asked_for_again_is_not_renewed(world: World) -> None:
    assert world.run(leases.take_all, ["one", "two"], "me", RUN_OUT, NOW) == {"one", "two"}
    assert world.run(leases.take_all, ["one"], "me", FRESH, NOW) == {"one"}
    assert world.run(leases.owners, NOW) == {"one": "me"}


def test_a_thousand_leases_cost_no_more_statements_than_ten(world: World) -> None:
    def statements(count: int) -> int:
        names = [f"server:{number}" for number in range(count)]
        made = 0

        def counted(*_: object) -> None:
            nonlocal made
            made += 1

        with world.engine.begin() as conn:
            event.listen(conn, "before_cursor_execute", counted)
            assert leases.take_all(conn, names, "me", FRESH, NOW) == set(names)
        return made

    statements(1_000)
    assert statements(1_000) == statements(10)


@pytest.mark.postgresql
def test_of_two_who_take_many_leases_at_once_each_is_had_by_one(pg_world: World) -> None:
    pg_world.run(leases.take_all, ["a", "b"], "dead", RUN_OUT, NOW)
    with pg_world.open() as one:
        assert leases.take_all(one, ["a", "new"], "one", FRESH, NOW) == {"a", "new"}
        two = Waiter(pg_world, lambda conn: leases.take_all(conn, ["new", "b", "a"], "two", FRESH, NOW))
        two.until_blocked()
        one.commit()
    assert two.done() == {"b"}
    assert pg_world.run(leases.owners, NOW) == {"a": "one", "new": "one", "b": "two"}
