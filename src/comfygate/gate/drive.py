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
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Any

import structlog

from comfygate.comfy.errors import (
    ComfyError,
    OutputUnavailable,
    ProtocolError,
    ServerUnreachable,
)
from comfygate.comfy.feed import Feed
from comfygate.comfy.watch import (
    Finished,
    NodeOutput,
    NodeProgress,
    OffServer,
    PreviewImage,
    Started,
    Unreachable,
    Vanished,
    watch,
)
from comfygate.comfy.wire import CancelResult, HistoryRecord
from comfygate.domain.blame import Blame
from comfygate.domain.errors import PayloadTooLarge, ServerTrouble
from comfygate.domain.graph import expected_outputs
from comfygate.domain.job import Canceled, Failed, JobError, JobState, Lost, Outcome, Succeeded
from comfygate.gate import verdict
from comfygate.gate.begin import begin, resume
from comfygate.gate.collect import collect
from comfygate.gate.context import OUTBOX, Context, heard
from comfygate.gate.driving import Stands
from comfygate.gate.happenings import Began, Phase, Reached, Released
from comfygate.gate.live import ProgressEvent
from comfygate.gate.patience import surely_run
from comfygate.gate.run import Beforehand, Link, NoLongerOurs, Run
from comfygate.gate.screen import Previews, screened
from comfygate.gate.settle import settle, throw_away
from comfygate.gate.watchdog import put_an_end, until_it_hangs
from comfygate.store import attempts as attempts_store
from comfygate.store.rows import ClaimedAttempt

COLLECT_TRIES_MAX = 3
"""How often the outputs of an attempt are fetched before it counts as lost."""
AFTER_YOU_SECONDS = 0.05
"""So long at most a server is not asked how a prompt ended while the next one is on its way to it, which
would wait for the answer."""
log = structlog.get_logger(__name__)


async def drive(
    ctx: Context,
    link: Link,
    attempt: ClaimedAttempt,
    *,
    trouble: Callable[[str], None],
    stuck: Callable[[str], None],
    left: Callable[[], asyncio.Event | None] = lambda: None,
    stands: Callable[[Stands], None] = lambda _: None,
    inputs: Callable[[str], Awaitable[Mapping[str, str]]] | None = None,
    beforehand: Beforehand | None = None,
) -> Outcome | None:
    """Bring an attempt to its outcome and settle it. Cancelling this task leaves the attempt for adoption.

    `trouble` hears, before the job is settled, that the server could not be reached to take it; `stuck`, that
    a prompt cannot be got off it; `left`, that a prompt ended well and the server may get the next while its
    outputs are fetched; `stands`, how it stands with the server. `inputs` gives what was brought of a job's
    inputs ahead; `beforehand` comes with an attempt that was made ready. Gives the outcome; None when the
    attempt was not ours, or no longer.
    """
    job_id = attempt.fence.job_id
    # A fresh one for each attempt: an earlier one of the job may still be ending.
    cancel = ctx.cancels[job_id] = asyncio.Event()
    if attempt.state is JobState.CANCELING:
        cancel.set()
    # Every line that this task logs, the client's too, carries job and attempt.
    structlog.contextvars.bind_contextvars(job=job_id, attempt=attempt.fence.attempt)
    run = Run(
        ctx,
        link,
        attempt,
        cancel,
        trouble,
        stuck,
        left,
        log.bind(server=link.name, lane=attempt.lane),
        inputs=inputs,
        brought=beforehand.brought if beforehand else {},
        staged=beforehand.staged if beforehand else None,
        beforehand=beforehand,
        stands=stands,
    )
    try:
        outcome = await _outcome(run)
        await run.claimed()
        ctx.happened(Reached(attempt, Phase.SETTLE))
        await settle(run, outcome)
    except NoLongerOurs:
        run.log.warning("attempt.not_ours")
        await throw_away(run)
        return None
    else:
        return outcome
    finally:
        if run.claiming is not None:
            run.claiming.cancel()
        ctx.happened(Released(attempt))
        # Cancelled in the middle, what was fetched is not thrown away here: the settling write may have been
        # committed all the same. What no row refers to is swept up later.
        if ctx.cancels.get(job_id) is cancel:
            del ctx.cancels[job_id]


async def _outcome(run: Run) -> Outcome:
    run.log.info("attempt.adopted" if run.attempt.adopted else "attempt.claimed")
    run.ctx.happened(Reached(run.attempt, Phase.RESUME if run.attempt.adopted else Phase.STAGE))
    try:
        async with AsyncExitStack() as stack:
            feed = stack.enter_context(run.link.channel.listen(run.attempt.prompt_id))
            early = await (resume(run) if run.attempt.adopted else begin(run))
            if early is not None:
                return early
            canceler = asyncio.create_task(_cancel_when_asked(run))
            stack.push_async_callback(_ended, canceler)
            stack.push_async_callback(_unmarked, run)
            outcome = await _followed(run, feed, stack)
            if run.marking is not None:
                # That it ran is told before how it ended.
                await run.marking
            return outcome
    except NoLongerOurs:
        raise
    except ProtocolError as error:
        run.log.error("server.not_understood", error=str(error))
        run.give_up()
        return verdict.not_understood(str(error))
    except Exception as error:
        # Our own bug must not keep a slot or a hold for ever: the job goes back, a limited number of times.
        run.log.exception("attempt.broke")
        run.give_up()
        return Lost(f"internal error: {error!r}", Blame.OUR_BUG)


async def _ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _unmarked(run: Run) -> None:
    if run.marking is not None:
        await _ended(run.marking)


async def _followed(run: Run, feed: Feed, stack: AsyncExitStack) -> Outcome:
    """Follow the prompt to its end, unless it hangs before."""
    run.sign_of_life()
    run.stands(Stands.SENT)
    run.ctx.happened(Reached(run.attempt, Phase.WATCH))
    following = asyncio.create_task(_follow(run, feed))
    stack.push_async_callback(_ended, following)
    guarding = asyncio.create_task(until_it_hangs(run))
    stack.push_async_callback(_ended, guarding)
    await asyncio.wait({following, guarding}, return_when=asyncio.FIRST_COMPLETED)
    if following.done():
        return following.result()
    return await put_an_end(run, following, guarding.result())


async def _follow(run: Run, feed: Feed) -> Outcome:
    """Pass on what happens until the server says how it ended, and fetch what was made."""
    previews = Previews(run)
    events = watch(
        run.link.client,
        run.link.channel,
        run.attempt.prompt_id,
        run.graph().raw,
        poll_seconds=run.ctx.rules.comfy_poll_seconds,
        client_id_sent=run.sent_as,
        feed=feed,
    )
    async with aclosing(previews), aclosing(events):
        async for event in events:
            match event:
                case Finished(record=record):
                    run.is_running = False
                    run.stands(Stands.ENDED)
                    if record.status == "success":
                        run.left()
                    await previews.aclose()
                    return await _conclude(run, record)
                case Vanished():
                    return _or_dropped(run, Lost("the server no longer knows the prompt"))
                case Unreachable(since_seconds=since):
                    if since > run.ctx.rules.lost_after_seconds:
                        run.give_up()
                        return Lost(f"the server stayed out of reach for {since:.0f} s")
                case OffServer():
                    _collects(run)
                    await _after(run.left())
                case _:
                    run.sign_of_life()
                    _pass_on(run, event, previews)
    raise AssertionError("unreachable: a watch ends with Finished or Vanished")


def _pass_on(run: Run, event: Started | NodeProgress | PreviewImage | NodeOutput, previews: Previews) -> None:
    match event:
        case Started():
            run.is_running = True
            run.stands(Stands.RUNS)
            # Beside what follows: a short job is over before this is written.
            run.marking = asyncio.create_task(_mark_started(run))
        case NodeProgress():
            run.ctx.live.publish(run.attempt.fence.job_id, _progress(event))
        case PreviewImage():
            previews.offer(event)
        case NodeOutput():
            return


def _or_dropped(run: Run, outcome: Outcome) -> Outcome:
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


async def _mark_started(run: Run) -> None:
    run.ctx.happened(Began(run.attempt))
    await run.claimed()
    if await surely_run(run.ctx, attempts_store.mark_started, run.attempt.fence, run.ctx.now_ms()):
        run.ctx.bells.ring(OUTBOX)
        run.log.info("attempt.started")


async def _after(following: asyncio.Event | None) -> None:
    """Let the next prompt be sent first."""
    if following is not None:
        await heard(following, AFTER_YOU_SECONDS)


def _collects(run: Run) -> None:
    """The prompt is off its server, or its record is there."""
    if not run.collects:
        run.collects = True
        run.ctx.happened(Reached(run.attempt, Phase.COLLECT))


async def _conclude(run: Run, record: HistoryRecord) -> Outcome:
    """Judge a finished prompt and, when it succeeded, fetch its outputs."""
    _collects(run)
    if run.dropped:
        return verdict.dropped_outputs(run.dropped)
    if record.status == "interrupted" and run.cancel.is_set():
        return Canceled()
    graph = run.graph()
    wanted = frozenset(run.attempt.deliver)
    expected = wanted or expected_outputs(graph, run.ctx.rules.output_nodes)
    classes = run.ctx.fleet.classes.get(run.link.name, {})
    outputs = {
        n.id for n in graph.nodes.values() if n.class_type in classes and classes[n.class_type].is_output
    }
    with_files = frozenset(item.node_id for item in run.attempt.inputs)
    judged = verdict.ended(record, expected, asked=expected | outputs, with_files=with_files)
    if not isinstance(judged, Succeeded):
        return judged
    return await _fetch(run, record)


async def _fetch(run: Run, record: HistoryRecord) -> Outcome:
    for tries in itertools.count(1):
        try:
            await collect(run.ctx, run.link.client, record, run.kept.append, only=run.attempt.deliver)
            return await screened(run)
        except PayloadTooLarge as error:
            return Failed(JobError("output_too_large", error.message), error.message, Blame.POLICY)
        except (ServerUnreachable, OutputUnavailable, ServerTrouble) as error:
            await throw_away(run)
            run.log.warning("outputs.fetch_failed", tries=tries, error=str(error))
            if tries >= COLLECT_TRIES_MAX:
                # Our own disk is no server's fault: lost, not failed.
                blame = Blame.STORAGE if isinstance(error, ServerTrouble) else Blame.SERVER_LOST
                return Lost(f"its outputs could not be fetched: {error}", blame)
            await asyncio.sleep(run.ctx.rules.submit.retry_seconds * tries)
    raise AssertionError("unreachable: itertools.count does not end")


async def _cancel_when_asked(run: Run) -> None:
    """Once somebody wants the job canceled, stop exactly this prompt, asking again until the server heard."""
    await run.cancel.wait()
    while True:
        try:
            result = await run.link.client.cancel(run.attempt.prompt_id)
        except ComfyError as error:
            run.log.warning("prompt.cancel_failed", error=str(error))
        else:
            run.log.info("prompt.cancel_asked", result=result.value)
            if result is CancelResult.NOT_THERE:
                return
        await asyncio.sleep(run.ctx.rules.comfy_poll_seconds)
