"""Writes an attempt's outcome, and throws away what was fetched for nothing."""

from __future__ import annotations

import asyncio

from comfygate.domain.errors import GateError, StoreTrouble
from comfygate.domain.job import Failed, Lost, Outcome, Succeeded
from comfygate.gate.context import OUTBOX, lane_bell
from comfygate.gate.happenings import Ended
from comfygate.gate.run import Run
from comfygate.store import settle as settle_store
from comfygate.store.settle import Settled

SETTLE_RETRY_SECONDS = 0.5
SETTLE_RETRY_SECONDS_MAX = 10.0
"""Waits between two tries to write an outcome grow by the first up to the second."""


async def settle(run: Run, outcome: Outcome) -> None:
    """Write the outcome, once, behind the fence, trying again for as long as the store is in trouble."""
    settled: Settled | None = None
    tries = 0
    rules = run.ctx.rules
    while settled is None:
        tries += 1
        try:
            settled = await run.ctx.store.run(
                settle_store.settle,
                run.attempt.fence,
                outcome,
                outputs=tuple(run.kept) if isinstance(outcome, Succeeded) else (),
                attempts_max=rules.attempts_max,
                results_seconds=rules.results_seconds,
                now_ms=run.ctx.now_ms(),
                pair_quarantine_ms=int(rules.patience.pair_quarantine_seconds * 1000),
                screening=run.screening if isinstance(outcome, Succeeded | Failed) else None,
            )
        except Exception as error:
            # Whatever the store's trouble, the outcome must be written; a refusal of ours would be one again.
            if isinstance(error, GateError) and not isinstance(error, StoreTrouble):
                raise
            run.log.error("attempt.not_settled", tries=tries, error=repr(error))
            await asyncio.sleep(min(SETTLE_RETRY_SECONDS * tries, SETTLE_RETRY_SECONDS_MAX))
    blame, cause = (outcome.blame.value, outcome.cause) if isinstance(outcome, Failed | Lost) else ("", "")
    run.log.info(
        "attempt.settled",
        outcome=type(outcome).__name__.lower(),
        result=settled.value,
        blame=blame,
        cause=cause,
    )
    name = type(outcome).__name__.lower()
    run.ctx.happened(Ended(run.attempt, name, blame, counted=settled is Settled.DONE))
    run.ctx.bells.ring(OUTBOX)
    # One that succeeded is not back in its lane.
    run.ctx.bells.ring(lane_bell(run.attempt.lane), order_stands=isinstance(outcome, Succeeded))
    # After trouble a stale answer may mean that the first try was committed: then the outputs are wanted.
    wanted = isinstance(outcome, Succeeded) or (run.screening is not None and bool(run.screening.held))
    if not wanted or (settled is Settled.STALE and tries == 1):
        await throw_away(run)


async def throw_away(run: Run) -> None:
    """Delete outputs that were fetched for nothing."""
    kept, run.kept = run.kept, []
    for output in kept:
        await run.ctx.blobs.delete(output.blob.key)
