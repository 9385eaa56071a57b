"""What is shown while a job waits and runs, where there is no terminal: one line a change."""

from __future__ import annotations

import pytest

from comfygate.cli.gateway import Event
from comfygate.cli.live_view import live_view


def test_one_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    events = [
        Event("status", {"status": "queued", "queue_position": 2}),
        Event("status", {"status": "queued", "queue_position": 2}),
        Event("status", {"status": "queued", "queue_position": 1}),
        Event("status", {"status": "queued", "queue_position": 0}),
        Event("status", {"status": "running"}),
        Event("progress", {"value": 0.25, "current_node_class": "KSampler", "step": 5, "steps": 20}),
        Event("progress", {"value": 0.5, "current_node_class": "KSampler", "step": 10, "steps": 20}),
        Event("preview", {"data_base64": "x" * 100}),
        Event("progress", {"value": 0.9, "current_node_class": "Save\x1bImage"}),
        Event("status", {"status": "succeeded"}),
        Event("progress", {"value": 1.0, "current_node_class": "late"}),
    ]
    with live_view() as view:
        heard = view.job("photo [1]")
        for event in events:
            heard(event)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "photo [1]: queued, position 2",
        "photo [1]: queued, position 1",
        "photo [1]: queued, taken by a server",
        "photo [1]: running",
        "photo [1]:  25% KSampler 5/20",
        "photo [1]:  90% Save Image",
        "photo [1]: succeeded",
    ]
