"""Seeds that found a bug, each with the bug's name. They pass now; they failed before it was mended.

A seed is tied to the plan it draws: when the weather or the workload changes, so does what the seed stands
for. Then find one anew, by taking the mending out. Beside these, tests/store/test_leases.py has a direct test
of what each bug came from.
"""

import pytest

from tests.sim.test_sim import sim

FOUND = {
    638: "a claim committed while the operator changed the server was driven by nobody until a restart",
    8: "a claim whose commit was not heard of was driven by nobody until a restart",
    47: "what was given up was forgotten at a restart, and the next job was sent beside it (I5)",
}


@pytest.mark.parametrize("seed", FOUND, ids=lambda seed: FOUND[seed])
def test_the_bug_that_this_seed_found_is_gone(seed: int) -> None:
    ran = sim("--seed", str(seed))
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr
