"""Who goes first, and what a waiting user is told of their place."""

from __future__ import annotations

import asyncio
from pathlib import Path

from comfygate.simulator import Simulator
from tests.promises.rig import PATIENCE_SECONDS, Caller, Gateway, gateway, plain_graph, settings_for


async def hold_with_a_job(house: Gateway, simulator: Simulator) -> tuple[Caller, str]:
    """Keep the only slot busy, so that what comes next must queue."""
    simulator.hold()
    first = await house.add_account("first")
    job_id = await first.submit(plain_graph())
    await first.until(job_id, "running")
    return first, job_id


async def order_of_starts(callers: dict[str, tuple[Caller, str]]) -> list[str]:
    """Names by the time at which their jobs started."""
    jobs = {name: await caller.end(job_id) for name, (caller, job_id) in callers.items()}
    assert {job["status"] for job in jobs.values()} == {"succeeded"}
    return sorted(jobs, key=lambda name: jobs[name]["started_at"])


async def test_black_gold_submitted_last_starts_first_and_a_vip_does_not(
    house: Gateway, simulator: Simulator
) -> None:
    await hold_with_a_job(house, simulator)
    callers = {}
    for name, tier in (("regular", "regular"), ("vip", "vip"), ("gold", "black_gold")):
        caller = await house.add_account(name, tier=tier)
        callers[name] = (caller, await caller.submit(plain_graph()))
    simulator.release()
    assert await order_of_starts(callers) == ["gold", "regular", "vip"]
    await house.audit()


async def test_positions_only_go_down_unless_a_better_priority_comes(
    house: Gateway, simulator: Simulator
) -> None:
    await hold_with_a_job(house, simulator)
    ann = await house.add_account("ann")
    jobs = [await ann.submit(plain_graph()) for _ in range(3)]
    assert [(await ann.job(job_id))["queue_position"] for job_id in jobs] == [1, 2, 3]
    seen: list[int] = []
    told = asyncio.Condition()

    async def follow() -> None:
        async for name, data in ann.events(jobs[2]):
            if name == "status" and data["status"] == "queued" and data["queue_position"] is not None:
                async with told:
                    seen.append(data["queue_position"])
                    told.notify_all()

    async def until(place: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), told:
            await told.wait_for(lambda: place in seen)

    follower = asyncio.create_task(follow())
    await until(3)
    gold = await house.add_account("gold", tier="black_gold")
    await gold.submit(plain_graph())
    await until(4)
    simulator.release()
    await asyncio.wait_for(follower, PATIENCE_SECONDS)
    rise = seen.index(4)
    assert seen[: rise + 1] == [3, 4], "it rises once, when black_gold comes in"
    assert seen[rise:] == sorted(seen[rise:], reverse=True), "from then on it only goes down"
    assert seen[-1] <= 1


async def test_a_canceled_neighbour_moves_everybody_up(house: Gateway, simulator: Simulator) -> None:
    await hold_with_a_job(house, simulator)
    ann = await house.add_account("ann")
    first, second = [await ann.submit(plain_graph()) for _ in range(2)]
    canceled = await ann.call("POST", f"/api/v2/jobs/{first}/cancel")
    assert canceled["status"] == "canceled"
    assert (await ann.job(second))["queue_position"] == 1
    assert await ann.entries(first) == ["hold", "release"]
    simulator.release()
    assert (await ann.end(second))["status"] == "succeeded"
    assert len(simulator.executed) == 2


async def test_a_full_lane_says_so_and_costs_nothing(tmp_path: Path, simulator: Simulator) -> None:
    settings = settings_for(tmp_path / "small", lanes={"image": {"depth_max": 1}})
    async with gateway(settings) as house:
        await house.add_server("one", simulator.url, "image")
        await hold_with_a_job(house, simulator)
        ann = await house.add_account("ann", credits=10)
        await ann.submit(plain_graph())
        async with ann.session.post(
            f"{ann.url}/api/v2/jobs", json={"workflow": plain_graph()}, headers=ann.headers
        ) as answer:
            assert answer.status == 429
            assert int(answer.headers["Retry-After"]) > 0
            assert (await answer.json())["error"]["code"] == "queue_full"
        assert await ann.credits() == (9, 1)
        simulator.release()
