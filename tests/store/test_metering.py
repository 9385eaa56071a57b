"""What is read for those who watch: right, and never more than its limit."""

from comfygate.domain.job import Lost
from comfygate.store import jobs, metering, outbox
from tests.store.world import NOW, World


def test_what_waits_is_counted_up_to_the_limit(world: World) -> None:
    rich, plain = world.account(tier="black_gold"), world.account()
    made = [world.submit(account, lane="image") for account in (plain, rich, plain)]
    running = world.submit(plain, lane="video")
    assert world.claimed("video").fence.job_id == running.id
    found = world.run(metering.census, ("image", "video", "sound"), 10)
    assert dict(found.lanes["image"].waiting) == {0: 1, 100: 2}
    assert found.lanes["image"].oldest_at_ms == made[0].created_at_ms
    assert (found.lanes["video"].waiting, found.lanes["video"].oldest_at_ms) == ({}, None)
    assert found.lanes["sound"].oldest_at_ms is None
    assert (found.untold, found.untold_oldest_at_ms) == (5, made[0].created_at_ms)
    most = world.run(metering.census, ("image",), 2)
    assert sum(most.lanes["image"].waiting.values()) == most.untold == 2
    world.run(outbox.mark_delivered, [row.id for row in world.run(outbox.waiting, 10)], NOW)
    told = world.run(metering.census, ("image",), 10)
    assert (told.untold, told.untold_oldest_at_ms) == (0, None)


def test_the_facts_of_jobs(world: World) -> None:
    account = world.account(tier="black_gold")
    again, waits = world.submit(account, lane="image"), world.submit(account, lane="video")
    first = world.claimed("image")
    world.settle(first.fence, Lost("restarted"))
    world.claimed("image")
    facts = world.run(metering.facts_of, [again.id, waits.id, "nobody's"])
    assert set(facts) == {again.id, waits.id}
    assert (facts[again.id].lane, facts[again.id].tier, facts[again.id].price) == (
        "image", "black_gold", again.price,
    )  # fmt: skip
    claims = world.sql(f"SELECT claimed_at_ms FROM attempts WHERE job_id = '{again.id}' ORDER BY number")  # noqa: S608
    assert facts[again.id].claimed_at_ms == claims[0].claimed_at_ms
    assert facts[waits.id].claimed_at_ms is None
    assert world.run(jobs.get_job, waits.id).created_at_ms == facts[waits.id].submitted_at_ms
