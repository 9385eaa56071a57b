"""Watching: nobody is held up, no status is lost, snapshots go with the job."""

import asyncio

import pytest

from comfygate.domain.errors import TooManyStreams
from comfygate.gate.live import (
    PREVIEW_BYTES_MAX,
    Live,
    PreviewEvent,
    ProgressEvent,
    StatusEvent,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def progress(value: float) -> ProgressEvent:
    return ProgressEvent(value=value, nodes_done=0, nodes_total=1)


async def test_a_slow_watcher_gets_the_newest_progress_and_every_status() -> None:
    clock = Clock()
    live = Live(clock)
    with live.watch("j", "image") as watch:
        live.publish("j", StatusEvent("running"))
        for step in range(5):
            clock.now += 1
            live.publish("j", progress(step / 10))
        live.publish("j", StatusEvent("succeeded"))
        seen = [event async for event in watch]
    assert seen == [StatusEvent("running"), progress(0.4), StatusEvent("succeeded")]


async def test_progress_is_told_about_twice_a_second_and_kept_at_once() -> None:
    clock = Clock()
    live = Live(clock)
    with live.watch("j", "image") as watch:
        live.publish("j", progress(0.1))
        assert await watch.next() == progress(0.1)
        live.publish("j", progress(0.2))
        assert live.progress_of("j") == progress(0.2)
        clock.now = 0.41
        live.publish("j", progress(0.3))
        assert await watch.next() == progress(0.3)


async def test_snapshots_go_with_the_job() -> None:
    live = Live(Clock())
    live.publish("j", progress(0.5))
    live.publish("j", PreviewEvent("1", "image/jpeg", b"x"))
    live.publish("j", StatusEvent("failed"))
    assert live.progress_of("j") is None
    assert live.preview_of("j") is None


async def test_an_oversized_preview_is_not_kept() -> None:
    live = Live(Clock())
    live.publish("j", PreviewEvent("1", "image/jpeg", b"x" * (PREVIEW_BYTES_MAX + 1)))
    assert live.preview_of("j") is None


async def test_watchers_hear_of_their_job_only() -> None:
    live = Live(Clock())
    with live.watch("a", "image") as watch:
        live.publish("b", StatusEvent("succeeded"))
        live.publish("a", StatusEvent("canceled"))
        assert await asyncio.wait_for(watch.next(), 1) == StatusEvent("canceled")
    assert live.watched_in("image") == []


def test_streams_are_counted_by_account() -> None:
    live = Live(Clock())
    with live.stream("ann", 1):
        with pytest.raises(TooManyStreams), live.stream("ann", 1):
            pytest.fail("a second stream was allowed")
        with live.stream("bob", 1):
            pass
    with live.stream("ann", 1):
        pass
