"""Requests a minute, by account: a generic cell rate algorithm (GCRA, as ITU-T I.371 defines it).

One number an account: when its next request would come if all came evenly. A minute's worth may come at once;
after that they come at the even pace. The clock is an argument.
"""

from __future__ import annotations

from typing import Final

MINUTE_SECONDS: Final = 60.0
KEPT_MAX: Final = 10_000
"""Accounts remembered; beyond it those whose minute is over are forgotten."""


class Pace:
    """What each account sent lately, in this process."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def wait_seconds(self, account_id: str, per_minute: int, now: float) -> float:
        """0 if a request may come now, which is counted; else how long to wait, and nothing is counted."""
        apart = MINUTE_SECONDS / per_minute
        due = max(self._due.get(account_id, now), now)
        early = due - now - (MINUTE_SECONDS - apart)
        # A billionth of a second is the clock's noise, not a request too early.
        if early > 1e-9:
            return early
        if len(self._due) >= KEPT_MAX and account_id not in self._due:
            self._due = {name: at for name, at in self._due.items() if at > now}
        self._due[account_id] = due + apart
        return 0.0
