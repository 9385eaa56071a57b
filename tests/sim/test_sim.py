"""The bounded part of the simulation. Every run is a process of its own, under one hash seed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHORT = (("", "0-9"), ("", "10-19"), ("", "20-29"), ("", "30-39"), ("told-twice", "0-4"))
"""Storms and seeds, of each storm those that catch its mutants in tests/fences. `make sim` runs hundreds."""


def sim(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the simulation's command."""
    return subprocess.run(
        [sys.executable, "-m", "tests.sim", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


@pytest.mark.parametrize(("storm", "seeds"), SHORT)
def test_every_invariant_holds_in_every_seed(storm: str, seeds: str) -> None:
    first, last = map(int, seeds.split("-"))
    ran = sim("--seeds", seeds, "--storm", storm, "--workers", "1", "--failures", "1")
    assert ran.returncode == 0, ran.stdout[-30_000:] + ran.stderr
    assert f"{last - first + 1} seeds in" in ran.stdout


def test_a_seed_replays_the_same_trace() -> None:
    first, second = (sim("--seed", "7") for _ in range(2))
    assert first.stdout.splitlines() == second.stdout.splitlines()
    assert first.returncode == 0, first.stdout[-5_000:] + first.stderr
    assert len(first.stdout.splitlines()) > 500
