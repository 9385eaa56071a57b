"""A loop that waits for a bell: it hears the ring, gives up in time, and stops when it is told to."""

import asyncio

import pytest

from comfygate.gate.context import Bells, heard


async def test_a_ring_is_heard() -> None:
    bells = Bells()
    bell = bells.hang(frozenset({"outbox"}))
    waiting = asyncio.create_task(heard(bell, 60))
    bells.ring("another")
    bells.ring("outbox")
    assert await waiting


async def test_silence_is_told() -> None:
    assert not await heard(asyncio.Event(), 0)


async def test_a_cancellation_beside_a_ring_is_not_swallowed() -> None:
    bell = asyncio.Event()
    waiting = asyncio.create_task(heard(bell, 60))
    await asyncio.to_thread(bell.is_set)
    bell.set()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
