"""The life of one attempt, from the claim to the settling write.

    begin (stage, send)  or  resume (look for what an earlier process began)
    follow               until the server says how it ended
    collect, settle

Whatever happens in between, the attempt either settles behind its fence or is left, open, for adoption. A
prompt is never sent while one with its id may be on the server.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from comfygate.comfy.channel import Channel
from comfygate.comfy.client import ComfyClient
from comfygate.comfy.errors import (
    ComfyError,
    OutputUnavailable,
    PromptRejected,
    ProtocolError,
    ServerUnreachable,
)
from comfygate.comfy.feed import Feed
from comfygate.comfy.watch import (
    Finished,
    NodeOutput,
    NodeProgress,
    PreviewImage,
    Started,
    Unreachable,
    Vanished,
    watch,
)
from comfygate.comfy.wire import CancelResult, HistoryRecord, Located
from comfygate.domain.errors import PayloadTooLarge
from comfygate.domain.graph import Graph, expected_outputs, parse_graph
from comfygate.domain.job import Canceled, Failed, JobError, JobState, Lost, Outcome, Succeeded
from comfygate.gate import verdict
from comfygate.gate.collect import collect
from comfygate.gate.context import OUTBOX, Context
from comfygate.gate.live import PreviewEvent, ProgressEvent
from comfygate.gate.stage import InputGone, Staged, stage
from comfygate.store import attempts as attempts_store
from comfygate.store.attempts import Settled
from comfygate.store.rows import ClaimedAttempt, NewOutput

COLLECT_TRIES_MAX = 3
"""How often the outputs of an attempt are fetched before it counts as lost."""
SECOND_LOOK_SECONDS = 1.0
"""Before an unknown prompt counts as gone: a POST of a dead process may still be on its way."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Link:
    """One server as its attempts use it."""

    name: str
    client: ComfyClient
    channel: Channel


class NoLongerOurs(Exception):
    """Another process took the attempt over, or it was settled: this one must not touch the server."""


@dataclass(slots=True)
class _Run:
    """What is known of the attempt while it is driven."""

    ctx: Context
    link: Link
    attempt: ClaimedAttempt
    cancel: asyncio.Event
    trouble: Callable[[str], None]
    log: structlog.typing.FilteringBoundLogger
    dropped: Mapping[str, Any] = field(default_factory=dict)
    kept: list[NewOutput] = field(default_factory=list)

    staged: Staged | None = None
    in_doubt: bool = False
    """Whether a prompt may be on the server although no answer said so."""
    sent_as: str | None = None
    """The client id that the prompt was sent under; None when that is not known."""

    def graph(self) -> Graph:
        return parse_graph(json.loads(self.attempt.graph), nodes_max=self.ctx.rules.limits.graph_nodes_max)


async def drive(ctx: Context, link: Link, attempt: ClaimedAttempt, *, trouble: Callable[[str], None]) -> None:
    """Bring an attempt to its outcome and settle it. Cancelling this task leaves the attempt for adoption.

    `trouble` hears, before the job is settled, that the server could not be reached to take it.
    """
    job_id = attempt.fence.job_id
    cancel = ctx.cancels.setdefault(job_id, asyncio.Event())
    if attempt.state is JobState.CANCELING:
        cancel.set()
    # Every line that this task logs, the client's too, carries job and attempt.
    structlog.contextvars.bind_contextvars(job=job_id, attempt=attempt.fence.attempt)
    run = _Run(
        ctx,
        link,
        attempt,
        cancel,
        trouble,
        log.bind(server=link.name, lane=attempt.lane),
    )
    settled = False
    try:
        outcome = await _outcome(run)
        settled = await _settle(run, outcome)
    except NoLongerOurs:
        run.log.warning("attempt.not_ours")
    finally:
        ctx.cancels.pop(job_id, None)
        if not settled:
            await _throw_away(run)


async def _outcome(run: _Run) -> Outcome:
    run.log.info("attempt.adopted" if run.attempt.adopted else "attempt.claimed")
    try:
        async with AsyncExitStack() as stack:
            feed = stack.enter_context(run.link.channel.listen(run.attempt.prompt_id))
            early = await (_resume(run) if run.attempt.adopted else _begin(run))
            if early is not None:
                return early
            canceler = asyncio.create_task(_cancel_when_asked(run))
            stack.push_async_callback(_ended, canceler)
            return await _follow(run, feed)
    except NoLongerOurs:
        raise
    except ProtocolError as error:
        run.log.error("server.not_understood", error=str(error))
        return Failed(
            JobError("server_not_understood", "The server gave an answer that cannot be read."), str(error)
        )
    except Exception as error:
        # Our own bug must not keep a slot or a hold for ever: the job goes back, a limited number of times.
        run.log.exception("attempt.broke")
        with suppress(ComfyError):
            await run.link.client.cancel(run.attempt.prompt_id)
        return Lost(f"internal error: {error!r}")


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _begin(run: _Run) -> Outcome | None:
    """Stage and send. None once the prompt is on the server; an outcome if it never will be."""
    policy = run.ctx.rules.submit
    for tries in itertools.count(1):
        if await _must_stop(run):
            return await _resume(run) if run.in_doubt else Canceled()
        try:
            return await _send_once(run)
        except ServerUnreachable as error:
            run.log.warning("prompt.send_failed", tries=tries, error=str(error))
            if not policy.may_retry(tries):
                run.trouble(str(error))
                # It may be there all the same; only when it surely is not, the job fails and is refunded.
                found = run.in_doubt and await _resume(run) is None
                return None if found else verdict.unreachable(str(error))
        await asyncio.sleep(policy.retry_seconds)
    raise AssertionError("unreachable: itertools.count does not end")


async def _send_once(run: _Run) -> Outcome | None:
    """One try. Raises ServerUnreachable; `in_doubt` then says whether the prompt may be on the server."""
    client, prompt_id = run.link.client, run.attempt.prompt_id
    try:
        if run.in_doubt and (await client.locate(prompt_id))[0] is not Located.UNKNOWN:
            return None
        run.staged = run.staged or await stage(run.ctx, client, run.attempt)
        run.dropped = await _post(run, run.staged)
    except PromptRejected as refusal:
        return verdict.rejected(refusal)
    except InputGone as error:
        return Failed(JobError("input_gone", "An input file is no longer there."), cause=str(error))
    except ServerUnreachable:
        raise
    except ComfyError as error:
        run.log.error("server.refused", error=str(error))
        return verdict.refused_by_server(str(error))
    if run.dropped:
        run.log.warning("prompt.outputs_dropped", nodes=sorted(run.dropped))
        run.cancel.set()
    return None


async def _post(run: _Run, staged: Staged) -> Mapping[str, Any]:
    """POST /prompt. Returns what the server says it dropped of the graph."""
    doubted, run.in_doubt = run.in_doubt, True
    run.sent_as = run.link.channel.client_id
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
    return sent.node_errors


async def _must_stop(run: _Run) -> bool:
    """Whether the job was canceled meanwhile. Raises NoLongerOurs when the attempt is somebody else's."""
    state = await run.ctx.store.read(attempts_store.still_ours, run.attempt.fence, run.ctx.owner)
    if state is None:
        raise NoLongerOurs
    return state is JobState.CANCELING


async def _resume(run: _Run) -> Outcome | None:
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


async def _follow(run: _Run, feed: Feed) -> Outcome:
    """Pass on what happens until the server says how it ended, and fetch what was made."""
    job_id = run.attempt.fence.job_id
    events = watch(
        run.link.client,
        run.link.channel,
        run.attempt.prompt_id,
        run.graph().raw,
        poll_seconds=run.ctx.rules.comfy_poll_seconds,
        client_id_sent=run.sent_as,
        feed=feed,
    )
    async with aclosing(events):
        async for event in events:
            match event:
                case Started():
                    await _mark_started(run)
                case NodeProgress():
                    run.ctx.live.publish(job_id, _progress(event))
                case PreviewImage():
                    preview = PreviewEvent(event.node_id or "", event.content_type, event.data)
                    run.ctx.live.publish(job_id, preview)
                case Unreachable(since_seconds=since) if since > run.ctx.rules.lost_after_seconds:
                    return Lost(f"the server stayed out of reach for {since:.0f} s")
                case Finished(record=record):
                    return await _conclude(run, record)
                case Vanished():
                    return _or_dropped(run, Lost("the server no longer knows the prompt"))
                case NodeOutput() | Unreachable():
                    continue
    raise AssertionError("unreachable: a watch ends with Finished or Vanished")


def _or_dropped(run: _Run, outcome: Outcome) -> Outcome:
    """The verdict on outputs that the server dropped at submission stands, whatever came of the rest (I9)."""
    return verdict.dropped_outputs(run.dropped) if run.dropped else outcome


def _progress(event: NodeProgress) -> ProgressEvent:
    return ProgressEvent(
        value=event.value,
        nodes_done=event.nodes_done,
        nodes_total=event.nodes_total,
        current_node=event.current_node,
        current_node_class=event.current_node_class,
        step=event.step,
        steps=event.steps,
    )


async def _mark_started(run: _Run) -> None:
    if await run.ctx.store.run(attempts_store.mark_started, run.attempt.fence, run.ctx.now_ms()):
        run.ctx.bells.ring(OUTBOX)
        run.log.info("attempt.started")


async def _conclude(run: _Run, record: HistoryRecord) -> Outcome:
    """Judge a finished prompt and, when it succeeded, fetch its outputs."""
    if run.dropped:
        return verdict.dropped_outputs(run.dropped)
    if record.status == "interrupted" and run.cancel.is_set():
        return Canceled()
    expected = expected_outputs(run.graph(), run.ctx.rules.output_nodes)
    judged = verdict.ended(record, expected)
    if not isinstance(judged, Succeeded):
        return judged
    return await _fetch(run, record)


async def _fetch(run: _Run, record: HistoryRecord) -> Outcome:
    for tries in itertools.count(1):
        try:
            await collect(run.ctx, run.link.client, record, run.kept.append)
        except PayloadTooLarge as error:
            return Failed(JobError("output_too_large", error.message), cause=error.message)
        except (ServerUnreachable, OutputUnavailable) as error:
            await _throw_away(run)
            run.log.warning("outputs.fetch_failed", tries=tries, error=str(error))
            if tries >= COLLECT_TRIES_MAX:
                return Lost(f"its outputs could not be fetched: {error}")
            await asyncio.sleep(run.ctx.rules.submit.retry_seconds)
        else:
            return Succeeded()
    raise AssertionError("unreachable: itertools.count does not end")


async def _throw_away(run: _Run) -> None:
    """Delete outputs that were fetched for nothing."""
    kept, run.kept = run.kept, []
    for output in kept:
        await run.ctx.blobs.delete(output.blob.key)


async def _cancel_when_asked(run: _Run) -> None:
    """Once somebody wants the job canceled, stop exactly this prompt, asking again until the server heard."""
    await run.cancel.wait()
    while True:
        try:
            result = await run.link.client.cancel(run.attempt.prompt_id)
        except ComfyError as error:
            run.log.warning("prompt.cancel_failed", error=str(error))
        else:
            run.log.info("prompt.cancel_asked", result=result.value)
            if result is not CancelResult.MUST_WAIT:
                return
        await asyncio.sleep(run.ctx.rules.comfy_poll_seconds)


async def _settle(run: _Run, outcome: Outcome) -> bool:
    """Write the outcome, once, behind the fence. False if its outputs are not wanted."""
    settled = await run.ctx.store.run(
        attempts_store.settle,
        run.attempt.fence,
        outcome,
        outputs=tuple(run.kept) if isinstance(outcome, Succeeded) else (),
        attempts_max=run.ctx.rules.attempts_max,
        results_seconds=run.ctx.rules.results_seconds,
        now_ms=run.ctx.now_ms(),
    )
    cause = outcome.cause if isinstance(outcome, Failed | Lost) else ""
    run.log.info("attempt.settled", outcome=type(outcome).__name__.lower(), result=settled.value, cause=cause)
    run.ctx.bells.ring(OUTBOX)
    return settled is Settled.DONE and isinstance(outcome, Succeeded)
