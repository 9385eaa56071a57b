"""The state machine as a table, as a diagram and as answers to outcomes is one and the same."""

import re
from itertools import product
from pathlib import Path

import pytest

from comfygate.domain.job import (
    IN_FLIGHT,
    PUBLIC_STATUS,
    TERMINAL,
    TRANSITIONS,
    Canceled,
    Failed,
    JobError,
    JobState,
    Lost,
    Outcome,
    Succeeded,
    may_move,
    state_after,
    states_before,
)

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "jobs.md"
SEVEN = {"queued", "running", "succeeded", "canceling", "canceled", "failed", "expired"}
FAILED = Failed(JobError("node_error", "Node 3 failed."))
OUTCOMES: tuple[Outcome, ...] = (Succeeded(), FAILED, Canceled(), Lost("restarted"))


def diagram() -> set[tuple[str, str]]:
    """Read the arrows of the page's one state diagram."""
    blocks = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    lines = [line.strip() for line in blocks[0].splitlines() if line.strip()]
    arrows = [line.split(" --> ") for line in lines]
    assert all(len(ends) == 2 for ends in arrows), lines
    assert len({tuple(ends) for ends in arrows}) == len(arrows), "an arrow is drawn twice"
    return {(before, after) for before, after in arrows}


def test_the_diagram_shows_exactly_the_table() -> None:
    arrows = diagram()
    moves = {(str(before), str(after)) for before, moves in TRANSITIONS.items() for after in moves}
    assert {arrow for arrow in arrows if "[*]" not in arrow} == moves
    assert {after for before, after in arrows if before == "[*]"} == {"queued"}
    assert {before for before, after in arrows if after == "[*]"} == {str(state) for state in TERMINAL}


def test_the_page_describes_every_state_once_as_users_see_it() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.+\.) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [row[0] for row in rows] == [str(state) for state in JobState]
    assert {row[0]: row[1] for row in rows} == {str(state): status for state, status in PUBLIC_STATUS.items()}


def test_users_see_the_seven_statuses_of_the_contract() -> None:
    assert set(PUBLIC_STATUS.values()) == SEVEN
    assert set(PUBLIC_STATUS) == set(JobState)
    assert PUBLIC_STATUS[JobState.CLAIMED] == "queued"


def test_the_table_is_closed() -> None:
    assert set(TRANSITIONS) == set(JobState)
    assert {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED} == TERMINAL
    assert {JobState.QUEUED} | IN_FLIGHT | TERMINAL == set(JobState)
    assert not IN_FLIGHT & TERMINAL


def test_every_state_is_reached_from_queued_and_leads_to_an_end() -> None:
    reached, new = {JobState.QUEUED}, {JobState.QUEUED}
    while new:
        new = {after for state in new for after in TRANSITIONS[state]} - reached
        reached |= new
    assert reached == set(JobState)
    ends = set(TERMINAL)
    while more := {state for state in JobState if TRANSITIONS[state] & ends} - ends:
        ends |= more
    assert ends == set(JobState)


@pytest.mark.parametrize(("before", "after"), list(product(JobState, JobState)))
def test_may_move_and_states_before_read_the_same_table(before: JobState, after: JobState) -> None:
    assert may_move(before, after) is (after in TRANSITIONS[before])
    assert (before in states_before(after)) is may_move(before, after)


@pytest.mark.parametrize(
    ("current", "outcome", "again"),
    list(product(sorted(IN_FLIGHT), OUTCOMES, (True, False))),
    ids=lambda value: type(value).__name__ if isinstance(value, Outcome) else str(value),
)
def test_every_outcome_of_a_job_in_flight_is_a_legal_move(
    current: JobState, outcome: Outcome, again: bool
) -> None:
    after = state_after(current, outcome, may_run_again=again)
    assert may_move(current, after)
    assert (after is JobState.QUEUED) is (
        isinstance(outcome, Lost | Failed) and again and current != "canceling"
    )
    assert (after is JobState.SUCCEEDED) is isinstance(outcome, Succeeded)


@pytest.mark.parametrize("current", [JobState.CLAIMED, JobState.RUNNING])
def test_outcomes_without_a_cancel(current: JobState) -> None:
    assert state_after(current, Succeeded(), may_run_again=True) is JobState.SUCCEEDED
    assert state_after(current, FAILED, may_run_again=True) is JobState.QUEUED
    assert state_after(current, FAILED, may_run_again=False) is JobState.FAILED
    assert state_after(current, Lost("x"), may_run_again=True) is JobState.QUEUED
    assert state_after(current, Lost("x"), may_run_again=False) is JobState.FAILED
    # Somebody else stopped it on the server: its user asked for nothing, so it is not "canceled".
    assert state_after(current, Canceled(), may_run_again=True) is JobState.FAILED


def test_a_cancel_asked_for_wins_over_everything_but_success() -> None:
    others: list[Outcome] = [FAILED, Canceled(), Lost("x")]
    for outcome, again in product(others, (True, False)):
        assert state_after(JobState.CANCELING, outcome, may_run_again=again) is JobState.CANCELED
    assert state_after(JobState.CANCELING, Succeeded(), may_run_again=True) is JobState.SUCCEEDED


def test_an_error_goes_to_json_whole() -> None:
    error = JobError("node_error", "Node 3 failed.", node_id="3", class_type="LoadImage")
    assert JobError(**error.to_json()) == error
    assert JobError(**FAILED.error.to_json()) == FAILED.error
