"""What everybody in a line is told while others come, go and pass; see tests/promises for the promises."""

import itertools
from collections.abc import Callable

from comfygate.gate import operate
from comfygate.simulator import Simulator
from tests.api.house import Gateway, image_graph
from tests.api.watching import Watcher, ended, watching


async def order_run(gateway: Gateway, sim: Simulator, jobs: list[str]) -> list[str]:
    """The jobs in the order the server started them."""
    started = {}
    for job in jobs:
        (attempt,) = (await operate.jobs_show(gateway.ctx, job))["attempts"]
        started[attempt["prompt_id"]] = job
    return [started[prompt_id] for prompt_id in sim.executed]


async def test_black_gold_goes_first_in_the_video_lane_too(lite: Gateway, sim: Simulator) -> None:
    keys = {tier: await lite.add_account(tier, tier=tier) for tier in ("vip", "black_gold")}
    sim.hold()
    async with lite.client(keys["vip"]) as vip, lite.client(keys["black_gold"]) as gold:
        running = await vip.submit(image_graph(), params={"lane": "video"})
        await vip.until(running["id"], "running")
        early = await vip.submit(image_graph(), params={"lane": "video"})
        late = await gold.submit(image_graph(), params={"lane": "video"})
        sim.release()
        await vip.ended(early["id"])
        jobs = [job["id"] for job in (running, late, early)]
        assert await order_run(lite, sim, jobs) == jobs


async def test_positions_only_go_down_unless_a_better_priority_came_in(lite: Gateway, sim: Simulator) -> None:
    ann_key, gold_key = await lite.add_account(), await lite.add_account("gold", tier="black_gold")
    sim.hold()
    async with lite.client(ann_key) as ann, lite.client(gold_key) as gold:
        running = await ann.submit(image_graph())
        await ann.until(running["id"], "running")
        waiting = [(await ann.submit(image_graph()))["id"] for _ in range(4)]
        async with watching(ann, *waiting) as watchers:
            for place, watcher in enumerate(watchers, start=1):
                await watcher.until(told(place))
            # Later arrivals of the same priority move nobody.
            (await ann.submit(image_graph()))["id"]
            better = await gold.submit(image_graph())
            for place, watcher in enumerate(watchers, start=1):
                await watcher.until(told(place, place + 1))
            canceled = waiting[1]
            await ann.http.post(f"/api/v2/jobs/{canceled}/cancel")
            for place, watcher in ((3, watchers[2]), (4, watchers[3])):
                await watcher.until(told(place, place + 1, place))
            sim.release()
            await ended(*watchers)
            assert (await gold.ended(better["id"]))["status"] == "succeeded"
        assert watchers[1].statuses == ["queued", "canceled"]
        for watcher in (watchers[0], *watchers[2:]):
            assert watcher.statuses == ["queued", "running", "succeeded"]
            assert rises(watcher) == 1
            assert watcher.places[-1] == 0


def told(*wanted: int) -> Callable[[Watcher], bool]:
    """Whether a watcher was told these places, in this order, and no other."""
    return lambda seen: seen.places == list(wanted)


def rises(watcher: Watcher) -> int:
    """How often the place in line grew."""
    return sum(after > before for before, after in itertools.pairwise(watcher.places))
