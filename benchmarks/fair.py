"""What a flood does to the others: one account with 500 queued jobs, nine that then send one each."""

from __future__ import annotations

from benchmarks.engines import Engine
from benchmarks.graphs import plain_graph
from comfygate.app import opened
from comfygate.domain.job import Succeeded
from comfygate.gate import accounts
from comfygate.gate.context import Context
from comfygate.gate.submit import Submission, submit
from comfygate.store import attempts, settle
from comfygate.store.attempts import Slot

FLOOD = 500
OTHERS = 9
RUNNING_FIRST = 5
"""Jobs of the flood that ran before the others came."""


async def measure_fair(engine: Engine) -> list[tuple[str, str, str, str]]:
    """Starts that the last of the nine waits for, with fair share off and on; the bound is one turn each."""
    waits: dict[bool, int] = {}
    for fair in (False, True):
        with engine.settings({"image": {"fair_share": fair}}) as settings:
            async with opened(settings) as ctx:
                waits[fair] = await _last_start(ctx)
    bound = OTHERS + 1
    return [
        (
            "flood of 500, last of nine others, first come first served",
            engine.name,
            f"{waits[False]} starts",
            "",
        ),
        (
            "the same with fair share",
            engine.name,
            f"{waits[True]} starts",
            f"{waits[True] / waits[False]:.3f} of first come first served; bound {bound}",
        ),
    ]


async def _last_start(ctx: Context) -> int:
    made = [(await accounts.add_account(ctx, f"a{n}", credits=10_000)).account.id for n in range(OTHERS + 1)]
    for _ in range(FLOOD):
        await submit(ctx, Submission(made[0], plain_graph(), lane="image"))
    for _ in range(RUNNING_FIRST):
        await _run_one(ctx)
    for account_id in made[1:]:
        await submit(ctx, Submission(account_id, plain_graph(), lane="image"))
    left, starts, last = set(made[1:]), 0, 0
    while left:
        starts += 1
        account_id = await _run_one(ctx)
        if account_id in left:
            left.discard(account_id)
            last = starts
    return last


async def _run_one(ctx: Context) -> str:
    attempt = await ctx.store.run(
        attempts.claim,
        Slot("bench", 0, ("image",)),
        owner=ctx.owner,
        prompt_id=ctx.new_id(),
        lease_ms=30_000,
        now_ms=ctx.now_ms(),
    )
    if attempt is None:
        raise RuntimeError("nothing to claim")
    await ctx.store.run(
        settle.settle, attempt.fence, Succeeded(), attempts_max=3, results_seconds=60, now_ms=ctx.now_ms()
    )
    return attempt.account_id
