"""`python -m tests.chaos`: what `make chaos` runs. Exit code 1 when a promise was broken."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys

from tests.chaos.plan import make_plan
from tests.chaos.run import chaos

SECONDS_MAX = 3600.0


def main() -> int:
    """Read the arguments, run each engine, say how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--engine", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--replicas", type=int, default=3, help="gateways on PostgreSQL")
    parser.add_argument("--seed", type=int, default=None, help="the plan's seed; a fresh one if not given")
    given = parser.parse_args()
    if min(given.jobs, given.replicas) < 1 or given.kills < 0:
        parser.error("jobs and replicas are 1 or more, kills 0 or more")
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    broken = 0
    for engine in ("sqlite", "postgresql"):
        if given.engine in {engine, "both"}:
            plan = make_plan(
                seed=seed, engine=engine, jobs=given.jobs, kills=given.kills, replicas=given.replicas
            )
            broken += len(chaos(plan, seconds_max=SECONDS_MAX, say=_say).broken)
    return 1 if broken else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # Told to stop either way, it ends what it started.
    signal.signal(signal.SIGTERM, lambda _number, _frame: signal.raise_signal(signal.SIGINT))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
