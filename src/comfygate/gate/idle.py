"""Which servers of this process could begin a job now, by lane and by the models that are warm there.

Kept up to date by each server as it changes: a claim that looked through all of them would cost a thousand
looks where there are a thousand.
"""

from __future__ import annotations

from collections.abc import Collection


class Idle:
    """Free servers of this process, by name."""

    def __init__(self) -> None:
        self._by_lane: dict[str, dict[str, set[str]]] = {}
        self._known: dict[str, tuple[tuple[str, ...], str]] = {}

    def note(self, server: str, lanes: tuple[str, ...], warm: str) -> None:
        """The server could begin a job of these lanes now, and has these models warm ('': none known)."""
        if self._known.get(server) == (lanes, warm):
            return
        self.forget(server)
        self._known[server] = lanes, warm
        for lane in lanes:
            self._by_lane.setdefault(lane, {}).setdefault(warm, set()).add(server)

    def forget(self, server: str) -> None:
        """It could not, or is no longer ours."""
        lanes, warm = self._known.pop(server, ((), ""))
        for lane in lanes:
            names = self._by_lane[lane][warm]
            names.discard(server)
            if not names:
                del self._by_lane[lane][warm]

    def any_beside(self, server: str, lanes: Collection[str]) -> bool:
        """Whether another server that has one of these lanes is free."""
        return any(
            names - {server} if len(names) == 1 else names
            for lane in lanes
            for names in self._by_lane.get(lane, {}).values()
        )

    def warm_beside(self, server: str, lanes: Collection[str]) -> frozenset[str]:
        """The models that free servers beside this one have warm in these lanes."""
        return frozenset(
            warm
            for lane in lanes
            for warm, names in self._by_lane.get(lane, {}).items()
            if warm and (len(names) > 1 or server not in names)
        )
