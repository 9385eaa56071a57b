"""Durable submissions a second: checked, paid and queued in one committed transaction each."""

from __future__ import annotations

import asyncio
import time

from benchmarks.engines import Engine
from benchmarks.throughput import graph
from comfygate.app import opened
from comfygate.gate import accounts
from comfygate.gate.submit import Submission, submit

SUBMISSIONS = 600
CALLERS = (1, 16, 128)


async def measure_submit(engine: Engine) -> list[tuple[str, str, str, str]]:
    """One row a number of callers, each with an account of its own."""
    rows = []
    alone = 0.0
    for callers in CALLERS:
        with engine.settings() as settings:
            async with opened(settings) as ctx:
                made = [
                    await accounts.add_account(ctx, f"caller-{number}", credits=SUBMISSIONS)
                    for number in range(callers)
                ]

                async def call(account_id: str, times: int) -> None:
                    for _ in range(times):
                        await submit(ctx, Submission(account_id, graph("x")))

                began = time.monotonic()
                each = SUBMISSIONS // callers
                await asyncio.gather(*(call(account.account.id, each) for account in made))
                rate = each * callers / (time.monotonic() - began)
        alone = alone or rate
        rows.append(
            (
                f"submit, {callers} callers",
                engine.name,
                f"{rate:.0f} jobs/s",
                f"{rate / alone:.1f} of one caller",
            )
        )
    return rows
