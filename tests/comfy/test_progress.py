"""Frames become one number that never falls, on servers with and without progress_state."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from comfygate.comfy.events import NodeProgress
from comfygate.comfy.feed import Feed, FeedItem
from comfygate.comfy.frames import (
    Executed,
    Executing,
    ExecutionCached,
    ExecutionEnded,
    NodeStep,
    Preview,
    ProgressState,
    ProgressStep,
    PromptFrame,
    SocketLost,
    parse_text_frame,
)
from comfygate.comfy.progress import ProgressTracker
from tests.comfy.rig import NEVER_SECONDS, picture_graph
from tests.comfy.test_parsing import RECORDED

GRAPH = picture_graph()


def told(*frames: PromptFrame) -> list[NodeProgress]:
    tracker = ProgressTracker(GRAPH)
    return [progress for frame in frames if (progress := tracker.apply(frame)) is not None]


def test_recorded_run_reaches_one() -> None:
    graph = RECORDED["image_success"]["http"][1]["request_json"]["prompt"]
    tracker = ProgressTracker(graph)
    values = []
    for entry in RECORDED["image_success"]["ws"]:
        frame = parse_text_frame(json.dumps(entry["json"]))
        if frame is not None and not hasattr(frame, "queue_remaining"):
            progress = tracker.apply(frame)
            if progress is not None:
                values.append(progress)
    assert values[-1].value == 1.0
    assert values[-1].nodes_done == 3
    assert {progress.current_node_class for progress in values} >= {"LoadImage", "ImageInvert", "SaveImage"}


def test_older_server_without_progress_state() -> None:
    seen = told(
        ExecutionCached("p", ()),
        Executing("p", "1"),
        Executing("p", "2"),
        ProgressStep("p", NodeStep("2", "running", 5, 10)),
        Executing("p", "3"),
    )
    assert [round(progress.value, 3) for progress in seen] == [0.0, 0.0, 0.333, 0.5, 0.667]
    assert (seen[3].step, seen[3].steps, seen[3].current_node_class) == (5, 10, "ImageInvert")


def test_cached_nodes_count_as_done() -> None:
    (progress,) = told(ExecutionCached("p", ("1", "2", "not-in-graph")))
    assert progress.nodes_done == 2
    assert progress.nodes_total == 3


def test_nodes_of_an_expanded_one_do_not_finish_it() -> None:
    frame = parse_text_frame(
        '{"type":"progress_state","data":{"prompt_id":"p","nodes":{"2.0.1":'
        '{"value":1,"max":1,"state":"finished","display_node_id":"2"}}}}'
    )
    assert isinstance(frame, ProgressState)
    (progress,) = told(frame)
    assert progress.nodes_done == 0
    assert progress.value == 0.0


numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=-5, max_value=50)
steps = st.builds(
    NodeStep,
    st.sampled_from(["1", "2", "3", "9"]),
    st.sampled_from(["pending", "running", "finished"]),
    numbers,
    numbers,
)
frames = st.one_of(
    st.builds(Executing, st.just("p"), st.sampled_from(["1", "2", "3", "9", None])),
    st.builds(ExecutionCached, st.just("p"), st.lists(st.sampled_from(["1", "2"])).map(tuple)),
    st.builds(ProgressStep, st.just("p"), steps),
    st.builds(ProgressState, st.just("p"), st.lists(steps, max_size=3).map(tuple)),
    st.builds(Executed, st.just("p"), st.sampled_from(["1", "3"]), st.just(())),
)


@given(st.lists(frames, max_size=30))
def test_progress_never_falls_and_stays_in_bounds(sequence: list[PromptFrame]) -> None:
    values = [progress.value for progress in told(*sequence)]
    assert values == sorted(values)
    assert all(0.0 <= value <= 1.0 for value in values)


async def heard(feed: Feed) -> list[FeedItem]:
    items: list[FeedItem] = []
    while (item := await feed.get(0)) is not None:
        items.append(item)
    return items


async def test_slow_listener_keeps_endings_and_the_newest_of_the_rest() -> None:
    feed = Feed(frames_max=4)
    feed.put(Preview("p", "1", "image/png", b"old"))
    feed.put(Preview("p", "1", "image/png", b"new"))
    for value in range(20):
        feed.put(ProgressStep("p", NodeStep("2", "running", value, 20)))
    feed.put(Executed("p", "3", ()))
    feed.put(ExecutionEnded("p", "success"))
    feed.put(Executing("p", None))
    feed.put(SocketLost())
    items = await heard(feed)
    assert items[-3:] == [ExecutionEnded("p", "success"), Executing("p", None), SocketLost()]
    assert items[0] == Executed("p", "3", ())
    assert feed.dropped > 0


async def test_endings_are_kept_even_when_nothing_else_can_go() -> None:
    feed = Feed(frames_max=2)
    for _ in range(5):
        feed.put(Executing("p", None))
    feed.put(Executed("p", "3", ()))
    assert await heard(feed) == [Executing("p", None)] * 5


async def test_waiting_reader_is_woken() -> None:
    feed = Feed()
    feed.put(SocketLost())
    assert await feed.get(NEVER_SECONDS) == SocketLost()
    assert await feed.get(0.0) is None
