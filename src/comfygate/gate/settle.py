"""Writes an attempt's outcome, and throws away what was fetched for nothing."""

from __future__ import annotations

import asyncio

from comfygate.domain.errors import GateError
from comfygate.domain.job import Failed, Lost, Outcome, Succeeded
from comfygate.gate.context import OUTBOX
from comfygate.gate.run import Run
from comfygate.store import attempts as attempts_store
from comfygate.store.attempts import Settled

SETTLE_RETRY_SECONDS = 0.5
SETTLE_RETRY_SECONDS_MAX = 10.0
"""Waits between two tries to write an outcome grow by the first up to the second."""


async def settle(run: Run, outcome: Outcome) -> None:
    """Write the outcome, once, behind the fence, trying again for as long as the store is in trouble."""
    settled: Settled | None = None
    tries = 0
    while settled is None:
        tries += 1
        try:
            settled = await run.ctx.store.run(
                attempts_store.settle,
                run.attempt.fence,
                outcome,
                outputs=tuple(run.kept) if isinstance(outcome, Succeeded) else (),
                attempts_max=run.ctx.rules.attempts_max,
                results_seconds=run.ctx.rules.results_seconds,
                now_ms=run.ctx.now_ms(),
            )
        except GateError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the store's trouble, the outcome must be written
            run.log.error("attempt.not_settled", tries=tries, error=repr(error))
            await asyncio.sleep(min(SETTLE_RETRY_SECONDS * tries, SETTLE_RETRY_SECONDS_MAX))
    cause = outcome.cause if isinstance(outcome, Failed | Lost) else ""
    run.log.info("attempt.settled", outcome=type(outcome).__name__.lower(), result=settled.value, cause=cause)
    run.ctx.bells.ring(OUTBOX)
    # After trouble a stale answer may mean that the first try was committed: then the outputs are wanted.
    if not isinstance(outcome, Succeeded) or (settled is Settled.STALE and tries == 1):
        await throw_away(run)


async def throw_away(run: Run) -> None:
    """Delete outputs that were fetched for nothing."""
    kept, run.kept = run.kept, []
    for output in kept:
        await run.ctx.blobs.delete(output.blob.key)
