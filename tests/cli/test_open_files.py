"""The service may open as many files as its hard limit says, and doctor says how far that goes."""

from __future__ import annotations

import os
import resource

import pytest

from comfygate.cli.open_files import (
    CLIENTS_MIN,
    FILES_A_SERVER,
    FILES_OF_ITS_OWN,
    check,
    limit_of,
    raise_limit,
)


def test_the_soft_limit_becomes_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    try:
        raised = raise_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        assert raised == (None if hard == resource.RLIM_INFINITY else hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("room", "grade", "words"),
    [
        (0, "fault", "too few for 1,000 servers"),
        (1, "warn", "room for 1,000 servers and 1 callers"),
        (CLIENTS_MIN, "ok", f"{CLIENTS_MIN:,} callers and streams"),
    ],
)
def test_a_limit_is_weighed_by_servers_and_callers(room: int, grade: str, words: str) -> None:
    found = check(1000, None, lambda _: 1000 * FILES_A_SERVER + FILES_OF_ITS_OWN + room)
    assert found.grade == grade
    assert words in found.says
    assert bool(found.advice) == (grade != "ok")


def test_a_system_without_a_limit_is_fine() -> None:
    assert check(1000, None, lambda _: None).grade == "ok"


def test_a_running_service_is_asked_for_its_own_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lower = min(700, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lower, hard))
    try:
        if os.path.exists(f"/proc/{os.getpid()}/limits"):  # noqa: PTH110 - no folder of ours
            assert limit_of(os.getpid()) == lower
        assert limit_of(None) == (None if hard == resource.RLIM_INFINITY else hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
