"""Shows jobs while they wait and run: bars at a terminal, a line a change elsewhere. On standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from comfygate.cli.gateway import ENDED, Event
from comfygate.cli.output import clean, console

STEPS: Final = 1000


class LiveView:
    """Any number of jobs, each under a label of its own."""

    def __init__(self, out: Console, bars: Progress | None) -> None:
        self._out = out
        self._bars = bars

    def job(self, label: str) -> Callable[[Event], None]:
        """What to call with every event of one more job."""
        shown = _Shown(label, self._line if self._bars is None else self._bar(label))
        return shown.hear

    def _line(self, text: str, _value: float, at_once: bool) -> None:
        if at_once:
            self._out.print(Text(text), soft_wrap=True)

    def _bar(self, label: str) -> Callable[[str, float, bool], None]:
        assert self._bars is not None  # noqa: S101 - called at a terminal only
        bars = self._bars
        task: TaskID = bars.add_task(label, total=STEPS)

        def draw(text: str, value: float, _at_once: bool) -> None:
            bars.update(task, completed=value * STEPS, description=text)

        return draw


@contextmanager
def live_view() -> Iterator[LiveView]:
    """A view for the length of the block."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield LiveView(out, None)
        return
    columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=out, transient=False) as bars:
        yield LiveView(out, bars)


class _Shown:
    """One job: its last status, place and progress, told when they change."""

    def __init__(self, label: str, tell: Callable[[str, float, bool], None]) -> None:
        self._label = clean(label)
        self._tell = tell
        self._status: tuple[Any, Any] = ("", None)
        self._node: str | None = None
        self._value = 0.0

    def hear(self, event: Event) -> None:
        if event.kind == "status":
            self._hear_status(event.data)
        elif event.kind == "progress" and self._status[0] not in ENDED:
            self._hear_progress(event.data)

    def _hear_status(self, data: dict[str, Any]) -> None:
        found = (data.get("status"), data.get("queue_position"))
        if found == self._status:
            return
        status, position = found
        if status in ENDED:
            self._value = 1.0 if status == "succeeded" else self._value
        elif status == "queued":
            self._value, self._node = 0.0, None
        self._status = found
        place = {None: "", 0: ", taken by a server"}.get(position, f", position {position}")
        self._tell(f"{self._label}: {clean(str(status))}{place}", self._value, True)

    def _hear_progress(self, data: dict[str, Any]) -> None:
        value, node = float(data.get("value") or 0.0), data.get("current_node_class")
        new_node = node != self._node
        self._value, self._node = max(0.0, min(1.0, value)), node
        if node:
            steps = f" {data['step']}/{data['steps']}" if data.get("steps") else ""
            text = f"{self._label}: {self._value:4.0%} {clean(str(node))}{steps}"
            self._tell(text, self._value, new_node)
