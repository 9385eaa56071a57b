"""Cancelling stops our prompt where that is safe, waits where it is not, and never touches a stranger's."""

from __future__ import annotations

import pytest

from comfygate.comfy.errors import ServerUnreachable
from comfygate.comfy.wire import CancelResult, CancelVia, Located
from comfygate.simulator import Request
from tests.comfy.rig import Rig, new_id, picture_graph, rig

OLD = {"version": "0.3.56"}
BY_ID = {"version": "0.3.64"}
JOBS = {"version": "0.26.0", "jobs_api": True}
ALL = pytest.mark.parametrize("server", [OLD, BY_ID, JOBS], ids=["old", "by_id", "jobs_api"])
STOPPING = pytest.mark.parametrize("server", [BY_ID, JOBS], ids=["by_id", "jobs_api"])


async def send(made: Rig) -> str:
    prompt_id = new_id()
    await made.client.send(prompt_id, picture_graph(), client_id="c")
    return prompt_id


def interrupts(made: Rig) -> list[Request]:
    return [request for request in made.sim.requests if request.path == "/interrupt"]


@pytest.mark.parametrize(
    ("server", "via"),
    [(OLD, CancelVia.NONE), (BY_ID, CancelVia.INTERRUPT_BY_ID), (JOBS, CancelVia.JOBS_API)],
)
async def test_probe_finds_the_way_without_harming_anybody(server: dict[str, object], via: CancelVia) -> None:
    async with rig(connect=False, **server) as made:
        made.sim.hold()
        strangers = [await send(made), await send(made)]
        await made.sim.started(strangers[0])
        assert (await made.client.probe()).cancel_via is via
        assert interrupts(made) == []
        made.sim.release()
        await finished_well(made, *strangers)


async def finished_well(made: Rig, *prompt_ids: str) -> None:
    for prompt_id in prompt_ids:
        await made.sim.finished(prompt_id)
        record = await made.client.history(prompt_id)
        assert record is not None
        assert record.status == "success"


@ALL
async def test_pending_one_leaves_the_queue_and_strangers_stay(server: dict[str, object]) -> None:
    async with rig(connect=False, **server) as made:
        made.sim.hold()
        before, ours, after = await send(made), await send(made), await send(made)
        await made.sim.started(before)
        assert await made.client.cancel(ours) is CancelResult.REQUESTED
        assert await made.client.locate(ours) == (Located.UNKNOWN, None)
        assert interrupts(made) == []
        made.sim.release()
        await finished_well(made, before, after)
        assert ours not in made.sim.executed


@STOPPING
async def test_running_one_is_interrupted_and_strangers_run(server: dict[str, object]) -> None:
    async with rig(connect=False, **server) as made:
        made.sim.hold()
        ours, stranger = await send(made), await send(made)
        await made.sim.started(ours)
        assert await made.client.cancel(ours) is CancelResult.REQUESTED
        await made.sim.finished(ours)
        record = await made.client.history(ours)
        assert record is not None
        assert record.status == "interrupted"
        assert all(request.json == {"prompt_id": ours} for request in interrupts(made))
        made.sim.release()
        await finished_well(made, stranger)


async def test_running_one_on_an_old_server_must_wait() -> None:
    async with rig(connect=False, **OLD) as made:
        made.sim.hold()
        ours = await send(made)
        await made.sim.started(ours)
        assert await made.client.cancel(ours) is CancelResult.MUST_WAIT
        assert interrupts(made) == []
        made.sim.release()
        await finished_well(made, ours)


@ALL
async def test_finished_and_unknown_ones_are_not_there(server: dict[str, object]) -> None:
    async with rig(connect=False, **server) as made:
        ours = await send(made)
        await made.sim.finished(ours)
        made.sim.hold()
        stranger = await send(made)
        await made.sim.started(stranger)
        assert await made.client.cancel(ours) is CancelResult.NOT_THERE
        assert await made.client.cancel(new_id()) is CancelResult.NOT_THERE
        assert interrupts(made) == []
        made.sim.release()
        await finished_well(made, stranger)


async def test_server_replaced_by_an_older_one_is_noticed_before_interrupting() -> None:
    async with rig(connect=False, **BY_ID) as made:
        assert (await made.client.probe()).cancel_via is CancelVia.INTERRUPT_BY_ID
        await made.sim.stop()
        made.sim.version, made.sim.interrupt_by_id = "0.3.40", False
        await made.sim.start()
        made.sim.hold()
        ours = await send(made)
        await made.sim.started(ours)
        assert await made.client.cancel(ours) is CancelResult.MUST_WAIT
        assert interrupts(made) == []


async def test_server_that_lost_its_jobs_api_is_served_the_older_way() -> None:
    async with rig(connect=False, **JOBS) as made:
        assert (await made.client.probe()).cancel_via is CancelVia.JOBS_API
        await made.sim.stop()
        made.sim.version, made.sim.jobs_api = "0.3.64", False
        await made.sim.start()
        made.sim.hold()
        ours = await send(made)
        await made.sim.started(ours)
        assert await made.client.cancel(ours) is CancelResult.REQUESTED
        await made.sim.finished(ours)


async def test_trouble_while_cancelling_is_told() -> None:
    async with rig(connect=False, **BY_ID) as made:
        made.sim.hold()
        ours = await send(made)
        await made.sim.started(ours)
        made.sim.fail_next("/interrupt", 500)
        with pytest.raises(ServerUnreachable):
            await made.client.cancel(ours)
