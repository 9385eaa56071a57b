"""Logs: one line an event, JSON, from libraries too, and no secret in them."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import structlog

from comfygate.app import logs

KEY = "cgk_" + "a" * 43


class Lines:
    """What was logged, as JSON."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def start(self) -> None:
        """Log from here on; in the test itself, because each phase of a test has its own standard error."""
        logs.configure("info", "json")

    def __call__(self) -> list[dict[str, Any]]:
        out, err = self._capsys.readouterr()
        assert out == ""
        return [json.loads(line) for line in err.splitlines()]


@pytest.fixture
def lines(logs_as_before: None, capsys: pytest.CaptureFixture[str]) -> Lines:
    return Lines(capsys)


def test_an_event_is_one_line_of_json(lines: Lines) -> None:
    lines.start()
    structlog.get_logger("x").info("job.done", job="j1", text="two\nlines")
    structlog.get_logger("x").debug("not.shown")
    (event,) = lines()
    assert list(event)[:3] == ["timestamp", "level", "event"]
    assert event["timestamp"].endswith("Z")
    assert (event["event"], event["level"], event["job"]) == ("job.done", "info", "j1")


def test_libraries_end_in_the_same_form(lines: Lines) -> None:
    lines.start()
    logging.getLogger("some.package").warning("lost %d of %s", 3, KEY)
    logging.getLogger("alembic.runtime").info("chatter")
    logging.getLogger("uvicorn.error").info("chatter")
    (event,) = lines()
    assert (event["event"], event["logger"], event["level"]) == (
        "lost 3 of cgk_(hidden)", "some.package", "warning",
    )  # fmt: skip


def test_a_traceback_stays_on_its_line(lines: Lines) -> None:
    lines.start()
    try:
        raise ValueError(KEY)
    except ValueError:
        structlog.get_logger("x").exception("broke")
    (event,) = lines()
    assert "ValueError" in event["exception"]
    assert KEY not in event["exception"]


@pytest.mark.parametrize(
    "fields",
    [
        {"authorization": "Bearer abc"},
        {"api_key": "abc"},
        {"X-Api-Key": "abc"},
        {"token": "abc"},
        {"password": "abc"},
        {"signing_secret": "abc"},
        {"signature": "abc"},
        {"headers": {"Authorization": "abc", "deep": [{"password": "abc"}]}},
        {"url": "http://h/x?expires=1&signature=abc"},
        {"url": "postgresql://ann:abc@h/db"},
        {"error": "Authorization was: Bearer abcabcabc"},
    ],
)
def test_secrets_are_masked(fields: dict[str, Any], lines: Lines) -> None:
    lines.start()
    structlog.get_logger("x").warning("event", **fields)
    (event,) = lines()
    assert "abc" not in json.dumps(event)
    assert logs.MASK in json.dumps(event)


def test_what_is_no_secret_stays(lines: Lines) -> None:
    lines.start()
    given = {"job": "j1", "slots": 2, "up": True, "lanes": ("image", "video"), "url": "http://127.0.0.1:8188"}
    structlog.get_logger("x").info("event", **given)
    (event,) = lines()
    assert {name: event[name] for name in given} == given | {"lanes": ["image", "video"]}


def test_the_console_form_masks_too(logs_as_before: None, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", "console")
    structlog.get_logger("x").warning("event", api_key="abc", url="http://h/x?signature=abc")
    structlog.get_logger("x").info("not.shown")
    out, err = capsys.readouterr()
    assert out == ""
    assert "event" in err
    assert "abc" not in err
    assert "not.shown" not in err
