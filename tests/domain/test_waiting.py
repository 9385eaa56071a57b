"""Why a job waits: the first reason that holds is the user's, and the operator misses nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from comfygate.domain.waiting import QueuedFacts, ServerFacts, moment, waiting_for

T = 1_800_000_000_000
AT = "2027-01-15 08:00:00 UTC"
UP = ServerFacts("gpu-secret", "up")
FREE = QueuedFacts(lane="image", ahead=0, better=0, cap=1000, deadline_at_ms=T, servers=(UP,))


@pytest.mark.parametrize(
    ("changed", "code", "sentence"),
    [
        ({}, "next", "next in line for a free server"),
        ({"ahead": 1}, "in_line", "waiting: 1 job ahead"),
        ({"ahead": 3}, "in_line", "waiting: 3 jobs ahead"),
        ({"ahead": 1001}, "in_line", "waiting: more than 1000 jobs ahead"),
        ({"servers": ()}, "no_server", "lane image has no server"),
        ({"servers": (replace(UP, state="down"),)}, "no_server_up", "no server of lane image is up"),
        ({"servers": (replace(UP, state="quarantined"),)}, "no_server_up", "no server of lane image is up"),
        ({"servers": (replace(UP, state="unknown"),)}, "no_server_up", "no server of lane image is up"),
        ({"servers": (replace(UP, drained_at_ms=T),)}, "no_server_up", "no server of lane image is up"),
        (
            {"servers": (replace(UP, excluded=True), replace(UP, pair_until_at_ms=T))},
            "no_server_able",
            "no server of lane image that is up can take this job now",
        ),
        # One that could take it, but is down, does not make the others able.
        (
            {"servers": (replace(UP, excluded=True), replace(UP, state="down"))},
            "no_server_able",
            "no server of lane image that is up can take this job now",
        ),
        ({"servers": (replace(UP, excluded=True), replace(UP, state="suspect"))}, "next", None),
        (
            {"running": 2, "running_max": 2, "ahead": 3},
            "account_limit",
            "your account has 2 jobs running, the most that its tier may have at once",
        ),
        ({"running": 1, "running_max": 2}, "next", None),
        ({"paused_at_ms": T, "servers": (), "ahead": 9}, "lane_paused", "lane image is paused"),
    ],
)
def test_the_user_reads_one_reason(changed: dict[str, Any], code: str, sentence: str | None) -> None:
    reason = waiting_for(replace(FREE, **changed)).reason
    assert reason.code == code
    assert sentence is None or reason.sentence == sentence
    assert "gpu-secret" not in reason.sentence


@pytest.mark.parametrize(
    ("changed", "stands"),
    [
        ({}, "free"),
        ({"running": 1}, "busy"),
        ({"state": "suspect"}, "free"),
        ({"state": "down", "running": 1}, "down"),
        ({"state": "quarantined"}, "quarantined"),
        ({"state": "unknown"}, "unknown"),
        ({"drained_at_ms": T, "state": "down"}, "drained"),
        ({"excluded": True, "running": 1}, "failed_there"),
        ({"pair_until_at_ms": T}, "kept_off"),
    ],
)
def test_how_a_server_stands_in_one_word(changed: dict[str, Any], stands: str) -> None:
    assert replace(UP, **changed).stands == stands


def test_the_operator_reads_every_fact() -> None:
    server = ServerFacts(
        "gpu1", "quarantined", "3 failures in a row", slots=2, running=1, drained_at_ms=T,
        quarantined_until_at_ms=T, pair_until_at_ms=T, pair_reason="it hung", excluded=True,
    )  # fmt: skip
    facts = QueuedFacts(
        lane="video", ahead=1001, better=2, cap=1000, deadline_at_ms=T, paused_at_ms=T, unable_since_at_ms=T,
        unable_until_at_ms=T, servers=(server,),
    )  # fmt: skip
    assert waiting_for(facts).sentences == (
        f"lane video is paused since {AT}",
        f"no server could take a job of lane video since {AT}",
        f"it expires with a refund at {AT} unless a server becomes able to take it before",
        (
            f"server gpu1: quarantined until {AT}, 3 failures in a row; drained by the operator since {AT}; "
            f"this workflow is kept off it until {AT} (it hung); "
            "an earlier attempt of this job says not to try it there again; 1 of 2 slots taken"
        ),
        "more than 1000 jobs ahead of it in lane video, 2 of them by a better priority",
        f"it expires with a refund if no server took it by {AT}",
    )


def test_a_lane_without_servers_says_so_once() -> None:
    said = waiting_for(replace(FREE, servers=(), unable_since_at_ms=T)).sentences
    assert said[0] == "no server is configured for lane image"
    assert said[1] == "it is next in lane image"


def test_a_moment_is_read_to_the_second() -> None:
    assert moment(T + 999) == AT
