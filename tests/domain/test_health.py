"""What a server may take follows from evidence, and from nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from comfygate.domain.blame import CONSEQUENCES, Blame
from comfygate.domain.health import (
    Answered,
    Evidence,
    Health,
    HealthLimits,
    JobBlamed,
    JobSucceeded,
    Restarted,
    ServerState,
    Silent,
    Stuck,
    after,
    slots_open,
)

LIMITS = HealthLimits(failures_max=3, quarantine_seconds=60, quarantine_seconds_max=200)
FAILED = JobBlamed(Blame.OUT_OF_MEMORY, "x")
POISONED = JobBlamed(Blame.POISONED_GPU, "a CUDA fault")


def seen(*evidence: Evidence, now_ms: int = 0, begin: Health | None = None) -> Health:
    health = begin or Health()
    for one in evidence:
        health = after(health, one, now_ms, LIMITS)
    return health


def test_it_is_up_once_it_answers() -> None:
    assert slots_open(Health(), 2, 0) == 0
    health = seen(Answered())
    assert health.state is ServerState.UP
    assert [slots_open(health, 2, running) for running in (0, 1, 2, 3)] == [2, 1, 0, 0]


def test_one_missed_probe_closes_it_and_the_next_answer_opens_it() -> None:
    health = seen(Answered(), Silent("no answer"))
    assert (health.state, health.reason) == (ServerState.SUSPECT, "no answer")
    assert slots_open(health, 2, 0) == 0
    assert seen(Answered(), begin=health).state is ServerState.UP


def test_two_missed_probes_are_down_and_then_one_job_decides() -> None:
    health = seen(Answered(), Silent("a"), Silent("b"), Answered())
    assert health.state is ServerState.SUSPECT
    assert [slots_open(health, 2, running) for running in (0, 1)] == [1, 0], "one trial job at a time"
    assert seen(JobSucceeded(), begin=health).state is ServerState.UP


def test_failures_in_a_row_are_a_quarantine_and_a_success_between_is_not() -> None:
    assert seen(Answered(), FAILED, FAILED, JobSucceeded(), FAILED, FAILED).state is ServerState.UP
    health = seen(Answered(), FAILED, FAILED, FAILED, now_ms=1000)
    assert health.state is ServerState.QUARANTINED
    assert health.quarantined_until_at_ms == 61_000
    assert slots_open(health, 2, 0) == 0


def test_a_poisoned_card_is_a_quarantine_at_once() -> None:
    assert seen(Answered(), POISONED).state is ServerState.QUARANTINED
    assert seen(Answered(), Stuck("still there")).state is ServerState.QUARANTINED


def test_after_quarantine_one_job_decides_and_a_failure_doubles_it() -> None:
    health = seen(Answered(), POISONED)
    assert seen(Answered(), now_ms=59_999, begin=health).state is ServerState.QUARANTINED
    trial = seen(Answered(), now_ms=60_000, begin=health)
    assert trial.state is ServerState.SUSPECT
    assert slots_open(trial, 3, 0) == 1
    again = seen(FAILED, now_ms=60_000, begin=trial)
    assert again.quarantined_until_at_ms == 60_000 + 120_000
    third = seen(Answered(), POISONED, now_ms=180_000, begin=again)
    assert third.quarantined_until_at_ms == 180_000 + 200_000, "no longer than the longest"
    well = seen(Answered(), JobSucceeded(), now_ms=400_000, begin=third)
    assert (well.state, well.trips) == (ServerState.UP, 0)


def test_a_new_process_ends_a_quarantine() -> None:
    health = seen(Answered(), POISONED, Restarted(), Answered(), now_ms=5)
    assert health.state is ServerState.SUSPECT


def test_failures_that_are_not_the_servers_count_for_nothing() -> None:
    for blame in Blame:
        rule = CONSEQUENCES[blame]
        if not rule.against_server:
            before = seen(Answered())
            assert seen(*[JobBlamed(blame, "x")] * 5, begin=before) == before


def test_a_success_that_comes_late_does_not_end_a_quarantine() -> None:
    assert seen(Answered(), POISONED, JobSucceeded()).state is ServerState.QUARANTINED


EVIDENCE = st.one_of(
    st.just(Answered()),
    st.just(JobSucceeded()),
    st.just(Restarted()),
    st.builds(Silent, st.just("x")),
    st.builds(Stuck, st.just("x")),
    st.builds(JobBlamed, st.sampled_from(Blame), st.just("x")),
)


@given(st.lists(st.tuples(EVIDENCE, st.integers(0, 100_000)), max_size=40), st.integers(1, 4))
def test_whatever_is_seen_the_rules_hold(history: list[tuple[Evidence, int]], slots: int) -> None:
    health, now_ms = Health(), 0
    for evidence, passed_ms in history:
        now_ms += passed_ms
        health = after(health, evidence, now_ms, LIMITS)
        assert 0 <= slots_open(health, slots, 0) <= slots
        assert health.answers or slots_open(health, slots, 0) == 0
        quarantined = health.state is ServerState.QUARANTINED
        assert quarantined is (health.quarantined_until_at_ms is not None)
        assert (health.state is ServerState.UP) is (
            slots_open(health, slots, slots - 1) > 0 or slots == 1
        ) or (slots == 1 or health.state is not ServerState.UP or not health.answers)
        if isinstance(evidence, Silent):
            assert slots_open(health, slots, 0) == 0


@given(st.lists(EVIDENCE, max_size=30))
def test_no_server_is_shut_for_good(history: list[Evidence]) -> None:
    health = Health()
    for evidence in history:
        health = after(health, evidence, 0, LIMITS)
    for now_ms in (300_000, 600_000):
        health = after(health, Answered(), now_ms, LIMITS)
    assert slots_open(health, 1, 0) == 1
    assert after(health, JobSucceeded(), 600_000, LIMITS).state is ServerState.UP
