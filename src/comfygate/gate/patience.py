"""Store functions while an attempt is driven: trouble of the database is waited out, for the GPU works on."""

from __future__ import annotations

import asyncio
from typing import ParamSpec, TypeVar

import structlog

from comfygate.domain.errors import StoreTrouble
from comfygate.gate.context import Context
from comfygate.store.engine import StoreFunction

RETRY_SECONDS = 0.5
RETRY_SECONDS_MAX = 10.0
"""Waits between two tries grow by the first up to the second."""

P = ParamSpec("P")
R = TypeVar("R")

log = structlog.get_logger(__name__)


async def surely_run(ctx: Context, fn: StoreFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """`ctx.store.run`, tried again until the database answers. `fn` must bear being done twice: a commit
    whose answer was lost is repeated. Raises what `fn` raises."""
    tries = 0
    while True:
        try:
            return await ctx.store.run(fn, *args, **kwargs)
        except StoreTrouble as error:
            tries += 1
            await _wait(fn, error, tries)


async def surely_read(ctx: Context, fn: StoreFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """`ctx.store.read`, tried again until the database answers."""
    tries = 0
    while True:
        try:
            return await ctx.store.read(fn, *args, **kwargs)
        except StoreTrouble as error:
            tries += 1
            await _wait(fn, error, tries)


async def _wait(fn: StoreFunction[P, R], error: StoreTrouble, tries: int) -> None:
    log.error("store.tried_again", what=getattr(fn, "__name__", "?"), tries=tries, error=error.message)
    await asyncio.sleep(min(RETRY_SECONDS * tries, RETRY_SECONDS_MAX))
