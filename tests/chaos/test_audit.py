"""The auditor must be able to find what it looks for: each promise broken on purpose, in made-up evidence."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.audit import Given, Verdict, audit
from tests.chaos.callers import Notes
from tests.chaos.evidence import Evidence, Line, Said
from tests.chaos.processes import Death

GRAPH = '{"1":{"class_type":"SaveImage","inputs":{"filename_prefix":"%s-0"}}}'


def job(number: int, **more: Any) -> Any:
    """A job of one credit that succeeded: accepted at 1000 × number, ended 900 ms later."""
    given = {"id": f"j{number}", "ticket": number, "priority": 100, "lane": "image", "state": "succeeded",
             "price": 1, "hold": "captured", "created_at_ms": number * 1000,
             "completed_at_ms": number * 1000 + 900}  # fmt: skip
    return SimpleNamespace(**(given | more))


def attempt(number: int, try_: int = 1, **more: Any) -> Any:
    """The attempt that made it succeed, claimed 100 ms after it was accepted."""
    given = {"job_id": f"j{number}", "number": try_, "prompt_id": f"p{number}.{try_}", "server": "sim1",
             "claimed_at_ms": number * 1000 + 100, "ended_at_ms": number * 1000 + 900, "outcome": "succeeded",
             "cause": ""}  # fmt: skip
    return SimpleNamespace(**(given | more))


def entry(kind: str, number: int | None, **more: Any) -> Any:
    """A ledger's row."""
    given = {"kind": kind, "job_id": None if number is None else f"j{number}", "amount": 1, "account_id": "a",
             "reason": ""}  # fmt: skip
    return SimpleNamespace(**(given | more))


def line(at_ms: int, kind: str, prompt_id: str = "", agent: str = "gateway") -> Line:
    """A line of sim1's journal."""
    return Line("sim1", at_ms, kind, prompt_id, agent, 0)


def good() -> tuple[Evidence, Given]:
    """Two jobs that went well, and a stranger's prompt that nobody touched."""
    jobs = {one.id: one for one in (job(1), job(2))}
    lines = [line(0, "process-started")]
    for number in (1, 2):
        prompt = f"p{number}.1"
        lines += [line(number * 1000 + 200, "received", prompt), line(number * 1000 + 300, "started", prompt)]
        lines += [line(number * 1000 + 800, "finished", prompt)]
    lines += [line(5000, kind, "f", "stranger") for kind in ("received", "started", "finished")]
    found = Evidence(
        jobs=jobs,
        graphs={one: GRAPH % one for one in jobs},
        attempts=[attempt(1), attempt(2)],
        entries=[entry(kind, number) for number in (1, 2) for kind in ("hold", "capture")],
        accounts=[SimpleNamespace(id="a", name="ann", held=0)],
        outputs_of={"j1": 1, "j2": 1},
        journals={"sim1": lines},
        said=[],
    )
    notes = Notes(accepted={"k1": "j1", "k2": "j2"}, known_at_ms={"j1": 1050, "j2": 2050})
    return found, Given(notes, {"sim1": 1}, ["f"], [], [], [], 0)


def test_what_went_well_is_found_well() -> None:
    verdict = audit(*good())
    assert verdict.broken == []
    assert dict(verdict.figures)["succeeded"] == "2"


def lost(found: Evidence, given: Given) -> None:
    given.notes.accepted["k3"] = "j3"


def never_ended(found: Evidence, given: Given) -> None:
    found.jobs["j1"].state = "running"


def told_nobody(found: Evidence, given: Given) -> None:
    del given.notes.accepted["k1"]


def made_twice(found: Evidence, given: Given) -> None:
    found.graphs["j2"] = found.graphs["j1"]


def told_wrong(found: Evidence, given: Given) -> None:
    given.notes.saw("j1", "failed")


def output_missing(found: Evidence, given: Given) -> None:
    found.outputs_of.pop("j1")


def charged_twice(found: Evidence, given: Given) -> None:
    found.entries.append(entry("capture", 1))


def refunded_twice(found: Evidence, given: Given) -> None:
    found.entries += [entry("release", 1), entry("release", 1)]


def never_charged(found: Evidence, given: Given) -> None:
    found.entries.pop()


def hold_open(found: Evidence, given: Given) -> None:
    found.accounts[0].held = 1


def granted_twice(found: Evidence, given: Given) -> None:
    given.notes.top_ups["t"] = ("ann", 1)
    found.entries += [entry("grant", None, reason="t"), entry("grant", None, reason="t")]


def ran_twice(found: Evidence, given: Given) -> None:
    found.journals["sim1"].append(line(6000, "started", "p1.1"))


def ran_unexplained(found: Evidence, given: Given) -> None:
    found.journals["sim1"].append(line(6000, "started", "p9.1"))


def foreign_touched(found: Evidence, given: Given) -> None:
    found.journals["sim1"].append(line(6000, "history-deleted", "f"))


def foreign_vanished(found: Evidence, given: Given) -> None:
    found.journals["sim1"].append(line(6000, "received", "f", "stranger"))


def overtaken(found: Evidence, given: Given) -> None:
    found.attempts[0].claimed_at_ms = 9000


def too_many_at_once(found: Evidence, given: Given) -> None:
    lines = found.journals["sim1"]
    lines.insert(2, line(1250, "received", "p2.1"))


def ended_alone(found: Evidence, given: Given) -> None:
    given.own_ends.append("gateway1 life 1 ended by itself with 1")  # type: ignore[attr-defined]


def books_wrong(found: Evidence, given: Given) -> None:
    given.ledger_faults.append("account a: available is 1, its entries say 2")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("breaks", "name"),
    [
        (lost, "lost"),
        (never_ended, "lost"),
        (told_nobody, "jobs that nobody was told of"),
        (made_twice, "made twice"),
        (told_wrong, "told otherwise than it was"),
        (output_missing, "succeeded without every output"),
        (charged_twice, "charged twice"),
        (refunded_twice, "refunded twice"),
        (never_charged, "ended with other entries than it should"),
        (hold_open, "open holds"),
        (granted_twice, "top-ups not made exactly once"),
        (ran_twice, "runs that no attempt explains"),
        (ran_unexplained, "runs that no attempt explains"),
        (foreign_touched, "foreign prompts touched"),
        (foreign_vanished, "foreign prompts that vanished"),
        (overtaken, "order violations"),
        (too_many_at_once, "slots violations"),
        (ended_alone, "processes that ended by themselves"),
        (books_wrong, "ledger audit faults"),
    ],
)
def test_what_broke_a_promise_is_found(breaks: Callable[[Evidence, Given], None], name: str) -> None:
    found, given = good()
    breaks(found, given)
    verdict = audit(found, given)
    assert any(case.startswith(f"{name}: ") for case in verdict.broken), verdict.text()
    assert int(dict(verdict.figures)[name]) >= 1


def test_a_job_put_back_may_not_be_overtaken_either() -> None:
    found, given = good()
    found.attempts[:] = [
        attempt(1, ended_at_ms=1200, outcome="lost", cause="gone"),
        attempt(1, 2, claimed_at_ms=4000, ended_at_ms=4900, server="sim2"),
        attempt(2, server="sim2"),
    ]
    assert _order(_again(found, [Said("gateway1.001", 1250, "attempt.settled", "j1", 1)]), given) == "1"
    assert _order(_again(found, []), given) == "0"


def test_a_run_that_died_with_its_server_before_it_answered_is_a_rerun_with_a_cause() -> None:
    found, given = good()
    lines = found.journals["sim1"]
    at = next(i for i, one in enumerate(lines) if one.kind == "started" and one.prompt_id == "p1.1") + 1
    lines[at:at] = [line(1310, "process-started"), line(1320, "received", "p1.1")]
    lines[at + 2 : at + 2] = [line(1330, "started", "p1.1")]
    verdict = audit(found, given)
    assert verdict.broken == []
    assert dict(verdict.figures)["reruns"] == "1"


def test_take_over_is_counted_from_the_kill() -> None:
    found, given = good()
    said = [Said("gateway1.001", 1100, "attempt.claimed", "j1", 1),
            Said("gateway2.001", 2500, "attempt.adopted", "j1", 1)]  # fmt: skip
    found.attempts[0].ended_at_ms = 2700
    deaths = [Death("gateway1", 1, 1300)]
    given = Given(given.notes, given.slots, given.foreign, deaths, [], [], 0)
    figures = dict(audit(_again(found, said), given).figures)
    assert figures["seconds to take over (median, max)"] == "1.20, 1.20"


def _again(found: Evidence, said: list[Said]) -> Evidence:
    return Evidence(
        found.jobs, found.graphs, found.attempts, found.entries, found.accounts, found.outputs_of,
        found.journals, said,
    )  # fmt: skip


def _order(found: Evidence, given: Given) -> str:
    verdict: Verdict = audit(found, given)
    return dict(verdict.figures)["order violations"]
