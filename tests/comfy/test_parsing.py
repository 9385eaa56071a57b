"""Every recorded answer reads as what it is, and no shape whatsoever crashes the reading."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfygate.comfy.answers import (
    parse_devices,
    parse_queue,
    parse_queue_depth,
    parse_rejection,
    parse_sent,
    parse_upload_bytes_max,
    parse_uploaded,
    parse_version,
    version_at_least,
)
from comfygate.comfy.errors import ProtocolError
from comfygate.comfy.frames import parse_binary_frame, parse_text_frame
from comfygate.comfy.history import parse_history
from comfygate.comfy.outputs import parse_node_output
from comfygate.comfy.wire import FileRef, HistoryRecord, TextOutput

RECORDED: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "simulator" / "transcripts.json").read_text(encoding="utf-8")
)
SERVER = "http://comfy"


def recorded_histories(scenario: str) -> list[HistoryRecord]:
    found = []
    for exchange in RECORDED[scenario]["http"]:
        data = exchange.get("response_json")
        if exchange["path"].startswith("/history/") and data:
            record = parse_history(data, next(iter(data)), SERVER)
            assert record is not None
            found.append(record)
    return found


def test_recorded_image() -> None:
    (record,) = recorded_histories("image_success")
    assert record.status == "success"
    assert record.outputs == {"3": (FileRef("rec_00001_.png", "acct-1", "output"),)}
    assert record.outputs_to_execute == ("3",)
    assert (record.started_unix_ms, record.finished_unix_ms) == (1795466342363, 1795466342420)
    assert record.failure is None
    assert record.unread == ()


def test_recorded_video_kinds_all_stand_under_images_and_none_is_lost() -> None:
    (record,) = recorded_histories("video_success")
    names = {ref.filename for ref in sum(record.outputs.values(), ()) if isinstance(ref, FileRef)}
    assert {"rec_00001_.mp4", "webm_00001_.webm", "anim_00001_.webp"} < names
    assert len(record.outputs["6"]) == 16
    assert all(isinstance(ref, FileRef) and ref.type == "temp" for ref in record.outputs["6"])
    assert record.unread == ()


def test_recorded_text() -> None:
    (record,) = recorded_histories("text_output")
    assert record.outputs == {"2": (TextOutput("hello"),)}


def test_recorded_error_names_node_and_reason() -> None:
    (record,) = recorded_histories("execution_error")
    assert record.status == "error"
    assert record.failure is not None
    assert (record.failure.node_id, record.failure.class_type) == ("1", "LoadImage")
    assert record.failure.exception_type == "PIL.UnidentifiedImageError"
    assert "cannot identify" in record.failure.message
    assert "execution.py" in record.failure.traceback


def test_recorded_interruption_is_no_error() -> None:
    records = recorded_histories("interrupt_running_with_pending_of_another_client")
    assert [record.status for record in records] == ["interrupted", "success"]
    assert records[0].failure is None
    assert set(records[0].executed_nodes) == {"1", "2"}


def test_recorded_partly_valid_graph_shows_the_outputs_left() -> None:
    (record,) = recorded_histories("partly_valid_graph_is_accepted")
    assert record.outputs_to_execute == ("2",)


def test_empty_history_is_no_record() -> None:
    assert parse_history({}, "x", SERVER) is None


def test_recorded_rejections_have_type_and_node_errors() -> None:
    answers = [e for e in RECORDED["validation_errors"]["http"] if e["status"] == 400]
    read = [parse_rejection(answer["response_json"]) for answer in answers]
    assert all(found is not None for found in read)
    assert {found[0]["type"] for found in read if found} >= {"invalid_prompt", "no_prompt"}


def test_recorded_facts() -> None:
    facts = {e["path"]: e.get("response_json") for e in RECORDED["server_facts"]["http"]}
    assert parse_version(facts["/system_stats"], SERVER) == "0.3.64"
    assert parse_devices(facts["/system_stats"], SERVER) == ("cpu",)
    assert parse_queue_depth(facts["/prompt"], SERVER) == 0
    assert parse_upload_bytes_max(facts["/features"]) == 104857600


def test_outputs_of_any_key() -> None:
    ref = {"filename": "a.mp4", "subfolder": "s", "type": "output"}
    items, unread = parse_node_output(
        {
            "gifs": [{**ref, "format": "video/h264-mp4", "frame_rate": 8.0}],
            "images": [ref, ref],
            "audio": [{"filename": "b.flac", "subfolder": "", "type": "output"}],
            "3d": [{"filename": "c.glb"}],
            "result": ["path/d.glb", {"camera": 1}],
            "animated": [True],
            "text": "alone",
            "tags": ["x", "x"],
            "size": [512],
            "nothing": None,
            "empty": [],
        }
    )
    assert items == (
        FileRef("a.mp4", "s", "output"),
        FileRef("b.flac", "", "output"),
        FileRef("c.glb", "", "output"),
        TextOutput("path/d.glb"),
        TextOutput("alone"),
        TextOutput("x"),
        TextOutput("x"),
    )
    assert unread == ("result", "size")


def test_output_that_cannot_be_read_is_named_with_its_node() -> None:
    data = {
        "p": {
            "outputs": {"7": {"odd": [{"filename": ""}]}, "8": "what"},
            "status": {"status_str": "success", "completed": True, "messages": []},
        }
    }
    record = parse_history(data, "p", SERVER)
    assert record is not None
    assert record.unread == ("7.odd", "8")


def test_error_without_a_reason_is_still_an_error() -> None:
    data = {"p": {"outputs": {}, "status": {"status_str": "weird", "completed": False, "messages": None}}}
    record = parse_history(data, "p", SERVER)
    assert record is not None
    assert record.status == "error"
    assert record.failure is not None
    assert record.failure.exception_type == "unknown"


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ([], "history"),
        ({"p": 3}, "history.entry"),
        ({"p": {}}, "history.status"),
        ({"p": {"status": {"status_str": 1}}}, "history.status.status_str"),
        ({"p": {"status": {"status_str": "success"}, "outputs": [1]}}, "history.outputs"),
    ],
)
def test_unknown_shape_names_the_place(data: Any, path: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_history(data, "p", SERVER)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("version", "newer"),
    [("0.3.57", True), ("v0.3.57", True), ("0.4.0", True), ("1.0", True), ("0.3.56", False), ("", False)],
)
def test_versions_compare_and_unknown_is_oldest(version: str, newer: bool) -> None:
    assert version_at_least(version, (0, 3, 57)) is newer


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["p", "status", "outputs", "messages", "prompt", "status_str", "images", "data"])
            | st.sampled_from(["filename", "type", "nodes", "node", "prompt_id", "value", "max", "number"])
            | st.sampled_from(["queue_running", "queue_pending", "exec_info", "system", "name", "subfolder"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(anything)
def test_no_json_crashes_a_reader(data: Any) -> None:
    readers: list[Callable[[], object]] = [
        lambda: parse_history(data, "p", SERVER),
        lambda: parse_history({"p": data}, "p", SERVER),
        lambda: parse_history({"p": {"status": {"status_str": "error"}, "outputs": data}}, "p", SERVER),
        lambda: parse_history({"p": {"status": {"status_str": "x", "messages": data}}}, "p", SERVER),
        lambda: parse_sent(data, SERVER),
        lambda: parse_rejection(data),
        lambda: parse_queue(data, SERVER),
        lambda: parse_queue_depth(data, SERVER),
        lambda: parse_version(data, SERVER),
        lambda: parse_devices(data, SERVER),
        lambda: parse_upload_bytes_max(data),
        lambda: parse_uploaded(data, SERVER),
        lambda: parse_node_output(data),
    ]
    for read in readers:
        try:
            read()
        except ProtocolError as error:
            assert error.path  # noqa: PT017 - either outcome is right


EVENTS = ["status", "executing", "executed", "progress", "progress_state", "execution_cached", "unheard_of"]


@given(st.sampled_from(EVENTS), anything)
def test_no_text_frame_crashes(kind: str, data: Any) -> None:
    parse_text_frame(json.dumps({"type": kind, "data": data}))
    if isinstance(data, dict):
        parse_text_frame(json.dumps({"type": kind, "data": {**data, "prompt_id": "p"}}))
    parse_text_frame(json.dumps(data))


@given(st.sampled_from([b"", b"\0\0\0\1", b"\0\0\0\4", b"\0\0\0\3"]), st.binary(max_size=64))
def test_no_binary_frame_crashes(head: bytes, rest: bytes) -> None:
    parse_binary_frame(head + rest)
