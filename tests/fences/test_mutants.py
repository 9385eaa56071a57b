"""Each fence is held by a test: take the fence out of a copy of the source, and a test must fail.

A mutant is the source with one promise's guard removed. It is met by the test that names the promise, and,
where the guard protects jobs or money over time, by the seeded simulation as well.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bare import ROOT, Bare


@dataclass(frozen=True)
class Mutant:
    """`cuts`: file below src/comfygate, what it says, what it says instead. `tests`: must fail on it."""

    promise: str
    cuts: tuple[tuple[str, str, str], ...]
    tests: tuple[str, ...]
    seeds: str = ""
    """Seeds of the simulation among which one fails, the first today; empty: the simulation is not asked."""
    storm: str = ""
    """Which of the simulation's named storms these seeds are run in."""


MUTANTS = (
    Mutant(
        "an attempt is settled by its own number only",
        (
            (
                "store/settle.py",
                'jobs.c.attempt == bindparam("of_number")',
                'jobs.c.attempt >= bindparam("of_number")',
            ),
            (
                "store/settle.py",
                'attempts.c.number == bindparam("of_number")',
                'attempts.c.number >= bindparam("of_number")',
            ),
        ),
        ("tests/store/test_settle.py",),
        seeds="4-59",
        storm="told-twice",
    ),
    Mutant(
        "a prompt without an answer is looked for before it is sent again",
        (("gate/begin.py", "if run.in_doubt and (await client.locate", "if False and (await client.locate"),),
        ("tests/promises/test_refund.py::test_an_answer_that_never_came_is_looked_for_not_sent_again",),
        seeds="0-24",
    ),
    Mutant(
        "what expires is released",
        (
            (
                "store/jobs.py",
                "    if job.price:\n        ledger.settle_hold(conn, EntryKind.RELEASE",
                "    if False:\n        ledger.settle_hold(conn, EntryKind.RELEASE",
            ),
        ),
        ("tests/store/test_cancel_expire.py",),
        seeds="0-24",
    ),
    Mutant(
        "a server is given work by the holder of its lease only",
        (
            (
                "store/attempts.py",
                "if under_lease is not None and not leases_store.holds(conn, under_lease, owner, now_ms):",
                "if False:",
            ),
        ),
        ("tests/store/test_leases.py",),
    ),
    Mutant(
        "what a replica lost with its server it does not keep alive",
        (
            (
                "store/attempts.py",
                "attempts.c.owner == owner, attempts.c.server.in_(servers), ",
                "attempts.c.owner == owner, ",
            ),
        ),
        ("tests/store/test_leases.py",),
    ),
    Mutant(
        "what was claimed and not heard of is driven all the same",
        (("store/attempts.py", "    if driven is not None:\n", "    if False:\n"),),
        ("tests/store/test_leases.py",),
        seeds="1-9",
        storm="told-twice",
    ),
    Mutant(
        "what was given up is off the server before anything else is sent there",
        (("gate/clearing.py", "        self._link.abandoned.update(given_up)\n", ""),),
        ("tests/gate/test_trouble.py::test_a_prompt_given_up_is_remembered_over_a_restart",),
    ),
    Mutant(
        "what is ready is not sent once a better job came",
        (
            (
                "gate/ahead.py",
                "if mine is None or place is None or place.before(mine.ready.place):",
                "if False:",
            ),
        ),
        ("tests/promises/test_ready.py::test_who_has_priority_goes_before_what_is_ready",),
    ),
    Mutant(
        "a prompt that was sent and not yet claimed is found by the next process",
        (("gate/clearing.py", "return await self._found_ready()", "return None"),),
        ("tests/promises/test_ready.py::test_killed_between_the_prompt_and_its_claim",),
    ),
    Mutant(
        "what is ready is claimed while it is queued only",
        (("store/ready.py", 'jobs.c.state == "queued", ', ""),),
        ("tests/store/test_ready.py",),
    ),
)


def mutated(mutant: Mutant, folder: Path) -> Path:
    """A copy of the source without the guard."""
    shutil.copytree(ROOT / "src", folder / "src")
    for name, guard, instead in mutant.cuts:
        path = folder / "src" / "comfygate" / name
        text = path.read_text(encoding="utf-8")
        assert text.count(guard) >= 1, f"{name} no longer says {guard!r}: move the mutant with the code"
        path.unlink()
        path.write_text(text.replace(guard, instead), encoding="utf-8")
        shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)
    return folder / "src"


def run_tests(programs: Bare, source: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Tests on SQLite, on this source. Plugins that were imported for the fork are not rewritten."""
    plain = (
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
    )
    return programs.run("pytest", *plain, "-k", "not postgresql", *arguments, source=source)


@pytest.mark.parametrize("mutant", [one for one in MUTANTS if one.tests], ids=lambda one: one.promise)
def test_without_its_guard_the_promises_test_fails(mutant: Mutant, tmp_path: Path, programs: Bare) -> None:
    ran = run_tests(programs, mutated(mutant, tmp_path), "-x", *mutant.tests)
    assert ran.returncode == 1, ran.stdout[-4_000:]
    assert "1 failed" in ran.stdout


@pytest.mark.parametrize("mutant", [one for one in MUTANTS if one.seeds], ids=lambda one: one.promise)
def test_without_its_guard_the_simulation_fails(mutant: Mutant, tmp_path: Path, programs: Bare) -> None:
    weather = ("--seeds", mutant.seeds, "--storm", mutant.storm)
    how = ("--workers", "1", "--failures", "1")
    ran = programs.run("tests.sim", *weather, *how, source=mutated(mutant, tmp_path))
    assert ran.returncode == 1, ran.stdout[-4_000:]
    assert "FAILED: I" in ran.stdout, ran.stdout[-4_000:]


def test_the_copy_without_a_cut_passes(tmp_path: Path, programs: Bare) -> None:
    """Or the failures above would prove nothing."""
    source = mutated(Mutant("nothing", (), ()), tmp_path)
    ran = run_tests(programs, source, "tests/store/test_settle.py")
    assert ran.returncode == 0, ran.stdout[-4_000:]
