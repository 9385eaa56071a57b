"""Brings a prompt to its server once, or finds out what became of one that may be there already."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

from comfygate.comfy.errors import ComfyError, PromptRejected, ServerUnreachable
from comfygate.comfy.wire import Located
from comfygate.domain.blame import Blame
from comfygate.domain.errors import BlobNotFound, ServerTrouble, UnreadablePicture
from comfygate.domain.job import Canceled, Failed, JobError, JobState, Lost, Outcome
from comfygate.gate import verdict
from comfygate.gate.happenings import Phase, Reached
from comfygate.gate.patience import surely_read
from comfygate.gate.run import NoLongerOurs, Run
from comfygate.gate.stage import InputGone, Staged, stage
from comfygate.store import attempts as attempts_store

FRESH_SECONDS = 0.1
"""So soon after its claim an attempt is surely ours while our lease is in force, and a cancel that this
process accepted was heard: the database need not be asked again before the prompt is sent."""
CLAIM_AFTER_SECONDS = 0.05
"""What was ready is claimed when its prompt was answered, and so long after it was sent at the latest."""
SECOND_LOOK_SECONDS = 1.0
"""Before an unknown prompt counts as gone: a POST of a dead process may still be on its way."""


async def begin(run: Run) -> Outcome | None:
    """Stage and send. None once the prompt is on the server; an outcome if it never will be."""
    policy = run.ctx.rules.submit
    for tries in itertools.count(1):
        try:
            return await _sent_or_refused(run)
        except ServerUnreachable as error:
            run.log.warning("prompt.send_failed", tries=tries, error=str(error))
            if not policy.may_retry(tries):
                run.trouble(str(error))
                # It may be there all the same; only when it surely is not, the job fails and is refunded.
                found = run.in_doubt and await resume(run) is None
                return None if found else verdict.unreachable(str(error))
        await asyncio.sleep(policy.retry_seconds)
    raise AssertionError("unreachable: itertools.count does not end")


async def _sent_or_refused(run: Run) -> Outcome | None:
    try:
        return await _send_once(run)
    except PromptRejected as refusal:
        if not run.brought:
            return verdict.rejected(refusal)
    # Refused, so it is surely not there; perhaps what was brought ahead is not there any more either.
    run.brought, run.staged = {}, None
    return await _sent_or_refused(run)


async def _send_once(run: Run) -> Outcome | None:
    """One try. Raises ServerUnreachable; `in_doubt` then says whether the prompt may be on the server."""
    client, prompt_id = run.link.client, run.attempt.prompt_id
    try:
        if run.in_doubt and (await client.locate(prompt_id))[0] is not Located.UNKNOWN:
            return None
        run.staged = run.staged or await _staged(run)
        # Asked as late as can be: staging takes time, and what is sent cannot be unsent.
        if await _must_stop(run):
            return await resume(run) if run.in_doubt else Canceled()
        run.ctx.happened(Reached(run.attempt, Phase.SEND))
        run.dropped = await _post(run, run.staged)
    except (PromptRejected, ServerUnreachable):
        raise
    except (InputGone, BlobNotFound, UnreadablePicture) as error:
        return _unusable(error)
    except ServerTrouble as error:
        # Raised by our own storage while staging, so nothing was sent.
        return Lost(f"an input could not be read: {error}", Blame.STORAGE)
    except ComfyError as error:
        run.log.error("server.refused", error=str(error))
        if run.in_doubt:
            run.give_up()
        run.trouble(str(error))
        return verdict.refused_by_server(str(error))
    if run.dropped:
        run.log.warning("prompt.outputs_dropped", nodes=sorted(run.dropped))
        run.cancel.set()
    return None


async def _staged(run: Run) -> Staged:
    if run.inputs is not None:
        inputs, run.inputs = run.inputs, None
        run.brought = await inputs(run.attempt.fence.job_id)
    return await stage(run.ctx, run.link.client, run.attempt, run.brought)


def _unusable(error: Exception) -> Failed:
    if isinstance(error, UnreadablePicture):
        sentence = "An input file cannot be read as the picture or clip that it should be."
        return Failed(JobError("invalid_input", sentence), cause=error.message, blame=Blame.INPUT)
    sentence = "An input file is no longer there."
    return Failed(JobError("input_gone", sentence), cause=str(error), blame=Blame.INPUT)


async def _post(run: Run, staged: Staged) -> Mapping[str, Any]:
    """POST /prompt. Returns what the server says it dropped of the graph."""
    doubted, run.in_doubt = run.in_doubt, True
    run.sent_as = run.link.channel.client_id
    # A server that is slow to answer may run it meanwhile.
    claim_soon = asyncio.get_running_loop().call_later(CLAIM_AFTER_SECONDS, run.begin_claim)
    try:
        sent = await run.link.client.send(
            run.attempt.prompt_id,
            staged.graph,
            client_id=run.sent_as,
            extra_data=run.ctx.secrets_of_jobs.get(run.attempt.fence.job_id),
        )
    except ServerUnreachable as error:
        run.in_doubt = doubted or error.maybe_accepted
        raise
    finally:
        claim_soon.cancel()
        run.begin_claim()
        if run.beforehand is not None:
            run.beforehand.sent.set()
    run.link.numbered(sent.number)
    return sent.node_errors


async def _must_stop(run: Run) -> bool:
    """Whether the job was canceled meanwhile. Raises NoLongerOurs when the attempt is somebody else's.

    Waits while our lease is not surely in force: a process that was frozen must not send what another replica
    may have begun.
    """
    surely = run.ctx.lease.in_force
    await run.ctx.lease.held()
    if (
        surely
        and not run.attempt.adopted
        and asyncio.get_running_loop().time() - run.begun_at < FRESH_SECONDS
    ):
        return run.cancel.is_set()
    await run.claimed()
    state = await surely_read(run.ctx, attempts_store.still_ours, run.attempt.fence, run.ctx.owner)
    if state is None:
        raise NoLongerOurs
    return state is JobState.CANCELING


async def resume(run: Run) -> Outcome | None:
    """Find out what became of a prompt that may have been sent. None if it is there and must be followed."""
    deadline = asyncio.get_running_loop().time() + run.ctx.rules.lost_after_seconds
    unknown_before = False
    while True:
        try:
            located, _record = await run.link.client.locate(run.attempt.prompt_id)
        except ComfyError as error:
            unknown_before = False
            run.log.warning("attempt.server_silent", error=str(error))
            if asyncio.get_running_loop().time() >= deadline:
                run.give_up()
                return Lost(f"the server stayed out of reach: {error}")
            await asyncio.sleep(run.ctx.rules.comfy_poll_seconds)
            continue
        if located is not Located.UNKNOWN:
            run.log.info("attempt.found", where=located.value)
            return None
        if unknown_before:
            return Lost("the server does not know the prompt")
        unknown_before = True
        await asyncio.sleep(SECOND_LOOK_SECONDS)
