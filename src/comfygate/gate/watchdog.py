"""Notices a prompt that hangs, and gets it off its server: by a targeted cancel, else by a new ComfyUI.

What counts is silence while ComfyUI works on the prompt: no event, no progress, for far longer than its
workflow usually takes. When the socket cannot speak of the prompt (adopted, or sent under an id of an earlier
connection) silence says less, so it has to last longer.
"""

from __future__ import annotations

import asyncio

from comfygate.comfy.errors import ComfyError
from comfygate.comfy.restart import RestartFailed
from comfygate.domain.blame import Blame
from comfygate.domain.job import Outcome, Succeeded
from comfygate.gate import verdict
from comfygate.gate.run import Run

BLIND_TIMES = 6.0
"""How much longer silence must last when the socket says nothing of the prompt."""
LOOK_SECONDS = 1.0
"""Between two looks at the clock at most; less where patience is short."""


async def until_it_hangs(run: Run) -> float:
    """Return once the prompt hangs: for how many seconds it has been silent."""
    loop = asyncio.get_running_loop()
    patience = run.ctx.rules.patience.silence_seconds(run.attempt.usual_ms)
    while True:
        blind = run.sent_as is None or run.link.channel.client_id != run.sent_as
        limit = patience * BLIND_TIMES if blind else patience
        silent = loop.time() - run.heard_at
        if run.is_running and silent >= limit:
            return silent
        await asyncio.sleep(min(LOOK_SECONDS, max(limit - silent, patience / 10)))


async def put_an_end(run: Run, following: asyncio.Task[Outcome], silent_seconds: float) -> Outcome:
    """Get a hanging prompt off its server; what the attempt came to.

    Succeeded, if it came to its end after all. Otherwise it is blamed as a hang, and if nothing helped, the
    prompt is left behind: the server gets no other before it is gone.
    """
    patience = run.ctx.rules.patience
    cause = f"no event and no progress for {silent_seconds:.0f} s"
    run.log.warning("attempt.hangs", silent_seconds=round(silent_seconds, 1), usual_ms=run.attempt.usual_ms)
    ended = await _ends_after_cancel(run, following, patience.verify_seconds)
    if not ended and run.link.restart is not None:
        cause += "; it could not be cancelled, so the restart hook was run"
        ended = await _ends_after_restart(run, following, patience.restart_seconds)
    if ended and isinstance(outcome := following.result(), Succeeded):
        return outcome
    if not ended:
        cause += "; it is still on the server"
        run.give_up()
        run.stuck(cause)
    return verdict.failed(Blame.HANG, cause)


async def _ends_after_cancel(run: Run, following: asyncio.Task[Outcome], seconds: float) -> bool:
    """Ask again and again; whatever the server answers, what counts is whether the prompt goes."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not following.done() and (left := deadline - asyncio.get_running_loop().time()) > 0:
        try:
            result = await run.link.client.cancel(run.attempt.prompt_id)
        except ComfyError as error:
            run.log.warning("prompt.cancel_failed", error=str(error))
        else:
            run.log.info("prompt.cancel_asked", result=result.value)
        await asyncio.wait({following}, timeout=min(left, run.ctx.rules.comfy_poll_seconds))
    return following.done()


async def _ends_after_restart(run: Run, following: asyncio.Task[Outcome], seconds: float) -> bool:
    assert run.link.restart is not None  # noqa: S101 - the caller looked
    try:
        await run.link.restart()
    except RestartFailed as error:
        run.log.error("server.not_restarted", error=str(error))
        return False
    run.log.warning("server.restarted")
    await asyncio.wait({following}, timeout=seconds)
    return following.done()
