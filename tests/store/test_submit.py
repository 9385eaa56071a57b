"""A submission is all or nothing: job, hold, entry, graph, inputs and outbox row, or not a trace."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from comfygate.domain.credits import Balance, HoldState
from comfygate.domain.errors import (
    Forbidden,
    GateError,
    IdempotencyKeyReuse,
    InsufficientCredits,
    MissingAsset,
    NotFound,
    QueueFull,
    SettingsError,
)
from comfygate.domain.job import JobState
from comfygate.domain.order import Tier
from comfygate.store import idempotency, jobs, outbox
from comfygate.store.engine import Store
from comfygate.store.rows import JobInput, JobRow
from tests.store.world import KEY_SECONDS, NOW, TIERS, World, blob, new_job, takes


def test_a_job_is_accepted_whole(world: World) -> None:
    account_id = world.account(credits=10, tier="black_gold")
    asset, _ = world.upload(account_id)
    inputs = (JobInput("1", ("image",), asset.id), JobInput("2", ("batch", 0, "k"), asset.id))
    job = world.submit(account_id, price=4, inputs=inputs, graph='{"1": "ünï"}')
    assert (job.state, job.priority, job.attempt, job.hold) == (JobState.QUEUED, 0, 0, HoldState.PLACED)
    assert world.balance(account_id) == Balance(available=6, held=4)
    assert world.entries(account_id) == [("grant", 10), ("hold", 4)]
    assert world.run(jobs.get_graph, job.id) == '{"1": "ünï"}'
    assert world.run(jobs.inputs_of, job.id) == inputs
    (told,) = world.run(outbox.waiting, 10)
    assert (told.kind, told.job_id, told.payload) == ("job.queued", job.id, {"price": 4})


def test_a_free_job_needs_no_credits_and_leaves_no_entry(world: World) -> None:
    account_id = world.account(credits=0)
    job = world.submit(account_id, price=0)
    assert job.hold is HoldState.NONE
    assert world.entries(account_id) == []
    assert world.balance(account_id) == Balance(0, 0)


def test_tickets_only_grow(world: World) -> None:
    account_id = world.account()
    tickets = [world.submit(account_id).ticket for _ in range(3)]
    assert tickets == sorted(set(tickets))


def disabled(world: World) -> dict[str, Any]:
    account_id = world.account()
    world.sql("UPDATE accounts SET disabled_at_ms = 1 WHERE id = :id", id=account_id)
    return {"account_id": account_id}


def unknown_account(world: World) -> dict[str, Any]:
    return {"account_id": "nobody"}


def unknown_tier(world: World) -> dict[str, Any]:
    return {"account_id": world.account(tier="platinum")}


def poor(world: World) -> dict[str, Any]:
    return {"account_id": world.account(credits=2)}


def account_full(world: World) -> dict[str, Any]:
    account_id = world.account(tier="small")
    for _ in range(TIERS["small"].jobs_queued_max):
        world.submit(account_id)
    return {"account_id": account_id}


def lane_full(world: World) -> dict[str, Any]:
    world.submit(world.account())
    return {"account_id": world.account(), "depth_max": 1}


def foreign_asset(world: World) -> dict[str, Any]:
    asset, _ = world.upload(world.account())
    return {"account_id": world.account(), "inputs": takes(asset.id)}


def expired_asset(world: World) -> dict[str, Any]:
    account_id = world.account()
    asset, _ = world.upload(account_id, now_ms=NOW - 10, expires_at_ms=NOW)
    return {"account_id": account_id, "inputs": takes(asset.id)}


def no_asset(world: World) -> dict[str, Any]:
    account_id = world.account()
    asset, _ = world.upload(account_id)
    return {"account_id": account_id, "inputs": (*takes(asset.id), *takes("no-such-asset", "4"))}


REFUSALS: list[tuple[Callable[[World], dict[str, Any]], type[GateError]]] = [
    (disabled, Forbidden),
    (unknown_account, NotFound),
    (unknown_tier, SettingsError),
    (poor, InsufficientCredits),
    (account_full, QueueFull),
    (lane_full, QueueFull),
    (foreign_asset, MissingAsset),
    (expired_asset, MissingAsset),
    (no_asset, MissingAsset),
]


@pytest.mark.parametrize(("arrange", "refusal"), REFUSALS, ids=lambda value: value.__name__)
def test_a_refusal_leaves_nothing_behind(
    world: World, arrange: Callable[[World], dict[str, Any]], refusal: type[GateError]
) -> None:
    asked = arrange(world)
    before = world.dump()
    for _ in range(2):  # the second time shows that the key is free again
        with pytest.raises(refusal):
            world.submit(**asked, idempotency_key="k", request_hash="h")
    assert world.dump() == before


def test_a_key_refused_for_want_of_credits_works_after_a_top_up(world: World) -> None:
    account_id = world.account(credits=0)
    with pytest.raises(InsufficientCredits) as refused:
        world.submit(account_id, price=5, idempotency_key="k")
    assert refused.value.details == {"price": 5, "available": 0}
    world.sql("UPDATE accounts SET available = 5 WHERE id = :id", id=account_id)
    assert world.submit(account_id, price=5, idempotency_key="k").state is JobState.QUEUED


def test_a_missing_asset_is_named_with_node_and_field(world: World) -> None:
    with pytest.raises(MissingAsset) as refused:
        world.submit(world.account(), inputs=(JobInput("4", ("batch", 0), "nope"),))
    assert refused.value.details == {
        "node_errors": {"4": [{"field": "batch.0", "reason": "missing_asset: nope"}]}
    }


def test_a_key_is_good_for_one_request_of_one_account(world: World) -> None:
    first, second = world.account(), world.account()
    world.submit(first, idempotency_key="k", request_hash="h")
    with pytest.raises(IdempotencyKeyReuse, match="for the same request"):
        world.submit(first, idempotency_key="k", request_hash="h")
    with pytest.raises(IdempotencyKeyReuse, match="for another request"):
        world.submit(first, idempotency_key="k", request_hash="other")
    world.submit(second, idempotency_key="k", request_hash="h")
    world.submit(first, idempotency_key="k2", request_hash="h")


def test_a_key_is_free_again_after_its_day_to_the_millisecond(world: World) -> None:
    account_id = world.account()
    world.submit(account_id, idempotency_key="k")
    end = NOW + KEY_SECONDS * 1000
    with pytest.raises(IdempotencyKeyReuse):
        world.submit(account_id, idempotency_key="k", now_ms=end - 1)
    world.submit(account_id, idempotency_key="k", now_ms=end)


async def together(store: Store, *calls: Any) -> list[JobRow | BaseException]:
    """Submit all at once; give what each came to."""
    running = [store.run(jobs.submit, new, TIERS, KEY_SECONDS) for new in calls]
    return await asyncio.gather(*running, return_exceptions=True)


async def test_one_key_sent_many_times_at_once_makes_one_job(world: World, store: Store) -> None:
    account_id = world.account(credits=1000)
    results = await together(store, *(new_job(account_id, idempotency_key="k") for _ in range(24)))
    made = [result for result in results if isinstance(result, JobRow)]
    refused = [result for result in results if isinstance(result, IdempotencyKeyReuse)]
    assert (len(made), len(refused)) == (1, 23)
    assert world.entries(account_id) == [("grant", 1000), ("hold", 3)]
    world.assert_books_balance()


@pytest.mark.parametrize("affordable", [0, 1, 7])
async def test_callers_racing_for_the_last_credits_never_overdraw(
    world: World, store: Store, affordable: int
) -> None:
    account_id = world.account(credits=5 * affordable + 4)
    results = await together(store, *(new_job(account_id, price=5) for _ in range(32)))
    won = [result for result in results if isinstance(result, JobRow)]
    lost = [result for result in results if isinstance(result, InsufficientCredits)]
    assert (len(won), len(lost)) == (affordable, 32 - affordable)
    assert world.balance(account_id) == Balance(available=4, held=5 * affordable)
    world.assert_books_balance()


def test_the_accounts_limit_is_exact_and_counts_queued_jobs_only(world: World) -> None:
    account_id, other = world.account(tier="small"), world.account(tier="small")
    queued = [world.submit(account_id, lane=lane) for lane in ("image", "video", "image")]
    with pytest.raises(QueueFull) as refused:
        world.submit(account_id)
    assert refused.value.details == {"limit": "jobs_queued_max", "value": 3}
    world.submit(other)
    world.run(jobs.cancel, queued[1].id, account_id, NOW)
    world.submit(account_id)
    world.claimed("image")
    world.submit(account_id)
    with pytest.raises(QueueFull):
        world.submit(account_id)


def test_the_lanes_limit_is_exact_and_each_lanes_own(world: World) -> None:
    account_id = world.account()
    for _ in range(4):
        world.submit(account_id, depth_max=4)
    with pytest.raises(QueueFull) as refused:
        world.submit(account_id, depth_max=4)
    assert refused.value.details == {"limit": "depth_max", "value": 4}
    world.submit(account_id, lane="video", depth_max=4)
    world.claimed("image")
    world.submit(account_id, depth_max=4)


async def test_the_accounts_limit_holds_against_simultaneous_callers(world: World, store: Store) -> None:
    account_id = world.account(tier="small")
    results = await together(store, *(new_job(account_id, price=0) for _ in range(24)))
    made = [result for result in results if isinstance(result, JobRow)]
    assert len(made) == TIERS["small"].jobs_queued_max
    assert all(isinstance(result, JobRow | QueueFull) for result in results)


async def test_the_lanes_limit_is_overshot_by_no_more_than_one_job_a_writer(
    world: World, store: Store
) -> None:
    """Exact on SQLite. On PostgreSQL writers do not wait for each other: at most one each past the limit."""
    accounts = [world.account() for _ in range(24)]
    results = await together(store, *(new_job(account, depth_max=5) for account in accounts))
    made = [result for result in results if isinstance(result, JobRow)]
    writers_beside = 0 if world.dialect == "sqlite" else 7
    assert 5 <= len(made) <= 5 + writers_beside
    assert all(isinstance(result, JobRow | QueueFull) for result in results)


def test_zero_limits_let_nothing_in(world: World) -> None:
    account_id = world.account()
    with pytest.raises(QueueFull):
        world.submit(account_id, depth_max=0)
    with pytest.raises(QueueFull):
        world.submit(account_id, tiers={"regular": Tier("regular", 100, 0)})


def test_keys_past_their_day_are_forgotten(world: World) -> None:
    account_id = world.account()
    world.submit(account_id, idempotency_key="old", now_ms=NOW)
    world.submit(account_id, idempotency_key="new", now_ms=NOW + 5)
    world.run(idempotency.forget_keys, NOW + 4)
    assert [row.key for row in world.sql("SELECT key FROM idempotency_keys")] == ["new"]


def test_inputs_keep_their_paths_and_bytes_whatever_they_spell(world: World) -> None:
    account_id = world.account()
    asset, _ = world.upload(account_id, blob("z"), file_path="ünï 'quoted'.png")
    path: tuple[str | int, ...] = ("a'b", 0, 'c"d', "é\n")
    job = world.submit(account_id, inputs=(JobInput("node 'x'", path, asset.id),), graph=json.dumps({"é": 1}))
    assert world.run(jobs.inputs_of, job.id)[0].path == path
