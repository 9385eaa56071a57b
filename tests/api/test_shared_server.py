"""Two gateways and a stranger on one server, judged by the server's own journal at every moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import aiohttp

from comfygate.gate import operate
from comfygate.simulator import Simulator
from comfygate.simulator.journal import Moment
from tests.api.house import Gateway, image_graph, running_gateway, settings_for
from tests.simulator.support import Client as Stranger


def named(moment: Moment) -> list[str]:
    """The prompts that a request was meant to stop or to make forgotten."""
    request = moment.request
    if request is None or request.method != "POST" or not isinstance(request.json, dict):
        return []
    match request.path:
        case "/interrupt":
            # Without an id it would hit whoever runs.
            return [str(request.json.get("prompt_id", "EVERYBODY"))]
        case "/queue" | "/history":
            everything = ["EVERYBODY"] if request.json.get("clear") else []
            return everything + list(request.json.get("delete", ()))
        case _:
            return []


def at_once(sim: Simulator, ours: set[str]) -> Iterator[int]:
    """How many of our prompts stood on the server after each moment."""
    there: set[str] = set()
    for moment in sim.journal.moments:
        if moment.kind == "received" and moment.prompt_id in ours:
            there.add(moment.prompt_id)
        elif moment.kind == "finished":
            there.discard(moment.prompt_id)
        elif moment.request is not None and moment.request.path in {"/queue", "/interrupt"}:
            there -= set(named(moment))
        yield len(there)


async def prompts_of(gateway: Gateway) -> set[str]:
    """Every prompt id this gateway ever used."""
    jobs = (await operate.jobs_list(gateway.ctx))["jobs"]
    shown = [await operate.jobs_show(gateway.ctx, job["id"]) for job in jobs]
    return {attempt["prompt_id"] for job in shown for attempt in job["attempts"]}


async def test_two_gateways_and_a_stranger_share_a_server(
    lite: Gateway, sim: Simulator, tmp_path: Path
) -> None:
    other_home = tmp_path / "other"
    other_settings = settings_for(other_home, f"sqlite:///{(other_home / 'other.db').as_posix()}")
    async with running_gateway(other_settings) as other, aiohttp.ClientSession() as session:
        await other.add_server(sim)
        stranger = Stranger(session, sim.url)
        sim.hold()
        theirs = [await stranger.submit(image_graph("stranger", color=n)) for n in range(2)]
        await sim.started(theirs[0])
        async with (
            lite.client(await lite.add_account()) as ann,
            other.client(await other.add_account()) as ben,
        ):
            first, second, third = [await ann.submit(image_graph(color=n)) for n in (10, 11, 12)]
            fourth = await ben.submit(image_graph(color=13))
            # Behind the stranger's stand one prompt of each gateway, and no more of either.
            await sim.requested("POST", "/prompt", count=4)
            assert (await ann.job(first["id"]))["queue_position"] == 0
            _, queue = await stranger.call("GET", "/queue")
            assert [entry[1] for entry in queue["queue_running"]] == theirs[:1]
            assert len(queue["queue_pending"]) == 3
            await ann.http.post(first["urls"]["cancel"])
            assert (await ann.ended(first["id"]))["status"] == "canceled"
            await sim.requested("POST", "/prompt", count=5)
            sim.release()
            for client, job in ((ann, second), (ann, third), (ben, fourth)):
                assert (await client.ended(job["id"]))["status"] == "succeeded"
        mine, yours = await prompts_of(lite), await prompts_of(other)
        assert not mine & yours
        for prompt_id in theirs:
            await sim.finished(prompt_id)
            assert (await stranger.history(prompt_id))["status"]["status_str"] == "success"
        touched = {name for moment in sim.journal.moments for name in named(moment)}
        assert touched <= mine | yours
        assert max(at_once(sim, mine)) == 1
        assert max(at_once(sim, yours)) == 1
        assert len(sim.executed) == len(set(sim.executed))
