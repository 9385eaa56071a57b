"""The bounded part of the simulation. Every run is a process of its own, under one hash seed."""

import os
import subprocess
import sys

import pytest

from tests.bare import ROOT, Bare

SHORT = (("", "0-9"), ("", "10-19"), ("", "20-29"), ("", "30-39"), ("told-twice", "0-4"))
"""Storms and seeds, of each storm those that catch its mutants in tests/fences. `make sim` runs hundreds."""


@pytest.mark.parametrize(("storm", "seeds"), SHORT)
def test_every_invariant_holds_in_every_seed(storm: str, seeds: str, programs: Bare) -> None:
    first, last = map(int, seeds.split("-"))
    ran = programs.run("tests.sim", "--seeds", seeds, "--storm", storm, "--workers", "1", "--failures", "1")
    assert ran.returncode == 0, ran.stdout[-30_000:]
    assert f"{last - first + 1} seeds in" in ran.stdout


def test_a_seed_replays_the_same_trace(programs: Bare) -> None:
    """In a process that was forked, and in one that is `fresh`, as `make sim` starts it."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    fresh = subprocess.run(
        [sys.executable, "-m", "tests.sim", "--seed", "7"],
        cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    forked = programs.run("tests.sim", "--seed", "7")
    assert fresh.returncode == 0, fresh.stdout[-5_000:] + fresh.stderr
    assert forked.stdout.splitlines() == fresh.stdout.splitlines()
    assert len(fresh.stdout.splitlines()) > 500
