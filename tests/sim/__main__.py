"""Run seeds: `python -m tests.sim --seeds 2000`, `--seeds 100-199`, `--seed 17` to replay one, verbosely."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.sim.simulate import Report, simulate
from tests.sim.weather import STORMS, plan_of, shown

HASH_SEED = "0"
"""Sets of strings have the same order in every process only under one hash seed."""


def main() -> int:
    """Give 0 when every seed passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this seed and print everything")
    parser.add_argument("--seeds", default="200", help="how many, or FIRST-LAST")
    parser.add_argument("--storm", default="", choices=("", *STORMS), help="more of one kind of trouble")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--failures", type=int, default=5, help="stop after so many failures")
    given = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        environ = {**os.environ, "PYTHONHASHSEED": HASH_SEED}
        os.execve(sys.executable, [sys.executable, "-m", "tests.sim", *sys.argv[1:]], environ)  # noqa: S606
    if given.seed is not None:
        return replay(given.seed, given.storm)
    first, _, last = given.seeds.partition("-")
    seeds = range(int(first), int(last) + 1) if last else range(int(first))
    return many(seeds, given.storm, given.workers, given.failures)


def replay(seed: int, storm: str) -> int:
    """Run one seed, printing every line of its trace."""
    plan = plan_of(seed, storm)
    say(f"seed {seed}: {plan}")
    report = simulate(plan, echo=say)
    say(summary(report))
    return 0 if report.failure is None else 1


def one(seed: int, storm: str) -> Report:
    """Run one seed quietly."""
    try:
        return simulate(plan_of(seed, storm))
    except Exception:  # noqa: BLE001 - a bug of the simulation itself names its seed too
        return Report(seed, traceback.format_exc(), (), 0, {}, 0, 0.0, 0)


def many(seeds: range, storm: str, workers: int, failures_max: int) -> int:
    """Run seeds over several processes; print failures with their last lines, then the sums."""
    began = time.monotonic()
    failures = done = deaths = reruns = 0
    states: dict[str, int] = {}
    with ProcessPoolExecutor(workers) as pool:
        waiting, in_storm = iter(seeds), partial(one, storm=storm)
        for report in pool.map(in_storm, waiting, chunksize=4) if workers > 1 else map(in_storm, waiting):
            done, deaths, reruns = done + 1, deaths + report.deaths, reruns + report.reruns
            for state, count in report.states.items():
                states[state] = states.get(state, 0) + count
            if report.failure is not None:
                failures += 1
                told(report, storm)
            if failures >= failures_max:
                pool.shutdown(cancel_futures=True)
                break
    seconds = time.monotonic() - began
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    say(f"{done} seeds in {seconds:.0f} s: {failures} failed; {sum(states.values())} jobs: {counts}; "
        f"{deaths} process deaths and stops; {reruns} reruns")  # fmt: skip
    return 1 if failures else 0


def told(report: Report, storm: str) -> None:
    """Print a failure."""
    for line in report.trace:
        say(line)
    say(f"weather: {shown(plan_of(report.seed, storm).weather)}")
    say(summary(report))
    say(f"replay: make sim SEED={report.seed}" + (f" STORM={storm}" if storm else ""))


def summary(report: Report) -> str:
    """One line."""
    verdict = "passed" if report.failure is None else f"FAILED: {report.failure}"
    return (
        f"seed {report.seed} {verdict} ({report.states}, {report.deaths} deaths, {report.reruns} reruns, "
        f"{report.seconds:.0f} virtual s, trace {report.fingerprint:08x})"
    )


def say(line: str) -> None:
    """Print, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
