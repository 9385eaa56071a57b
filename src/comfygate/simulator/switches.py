"""Faults as switches, for the command line and the control route: on or off, always or by a seeded chance.

Written NAME[=VALUE][:CHANCE]. A chance is drawn on each occasion the fault names (a prompt, an answer, an
event); each fault draws from a generator of its own, so that one does not shift another's luck.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from comfygate.simulator.faults import SimulatedFailureError

OOM_TYPE: Final = "torch.OutOfMemoryError"
OOM_MESSAGE: Final = (
    "Allocation on device 0 would exceed allowed memory. (out of memory)\n"
    "Currently allocated     : 21.47 GiB\nRequested               : 2.00 GiB\n"
    "Device limit            : 23.54 GiB\nFree (according to CUDA): 17.81 MiB\n"
    "PyTorch limit (set by user-supplied memory fraction)\n                        : 17179869184.00 GiB"
)
OOM_TIPS: Final = (
    "This error means you ran out of memory on your GPU.\n\n"
    "TIPS: If the workflow worked before you might have accidentally set the batch_size to a large number."
)
"""What ComfyUI puts below torch's own words."""
POISON_TYPE: Final = "torch.AcceleratorError"
"""torch 2.8 and newer; an older one raises RuntimeError with the same words."""
POISON_MESSAGE: Final = (
    "CUDA error: device-side assert triggered\n"
    "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below "
    "might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
    "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)
_DEFAULTS: Final = {"answer_late": "2", "answer_status": "503", "poisoned_gpu": POISON_TYPE}
_RANGES: Final = {
    "answer_late": (0, 3600, "seconds"),
    "answer_status": (400, 599, "a status"),
    "out_of_memory": (1, 1_000_000, "a number of prompts"),
}

KINDS: Final[Mapping[str, str]] = {
    "drop_sockets": "every WebSocket is cut, at once and again at each event",
    "silence_sockets": "WebSockets stay open and tell nothing",
    "tell_twice": "the events that end a prompt come twice",
    "answer_late": "an HTTP answer comes VALUE seconds late (2)",
    "answer_never": "the request is done and never answered (VALUE: only for this path)",
    "answer_cut": "the request is done, then the connection is cut (VALUE: only for this path)",
    "answer_status": "the request is not done and answered with status VALUE (503)",
    "restart": "the server restarts while a prompt runs",
    "lie_in_node_errors": "POST /prompt answers 200 with node_errors and drops an output",
    "out_of_memory": "prompts fail until POST /free frees memory (VALUE: for so many prompts instead)",
    "poisoned_gpu": "every prompt fails until the server restarts (VALUE: the exception's type)",
    "hang": "nodes never end, nor heed an interrupt (VALUE: only this class)",
    "fail_node": "nodes raise RuntimeError (VALUE: only this class)",
    "full_disk": "save nodes and uploads fail: no space left on device",
}
"""Every fault by name, and what it does."""
_PATHS = frozenset({"answer_never", "answer_cut"})
_LATCHES = frozenset({"out_of_memory", "poisoned_gpu"})


class UnknownFaultError(Exception):
    """A fault that does not exist, or a value or chance that it cannot have; the message says which."""


@dataclass(frozen=True, slots=True)
class Switch:
    """One fault switched on. `chance` is 0 to 1; `times` occasions at most (None: no limit); `path` narrows
    the faults of HTTP answers to one path, without `/api`.
    """

    name: str
    value: str = ""
    chance: float = 1.0
    times: int | None = None
    path: str | None = None


def read_switch(text: str) -> Switch:
    """A switch from NAME[=VALUE][:CHANCE]; raises UnknownFaultError."""
    rest, colon, chance = text.rpartition(":")
    name, _, value = (rest if colon else text).partition("=")
    return checked(Switch(name, value, _number(text, chance) if colon else 1.0))


def switch_of(said: Any) -> Switch:
    """A switch from the control route's JSON; raises UnknownFaultError."""
    if not isinstance(said, dict) or not isinstance(said.get("fault"), str):
        raise UnknownFaultError(f"say {{'fault': NAME}}, NAME one of {', '.join(KINDS)}")
    unknown = sorted(set(said) - {"fault", "value", "chance", "times", "path"})
    if unknown:
        raise UnknownFaultError(f"{unknown[0]} is nothing a fault has: value, chance, times, path")
    times, path = said.get("times"), said.get("path")
    if times is not None and (not isinstance(times, int) or times < 1):
        raise UnknownFaultError(f"times is {times}: a whole number from 1")
    chance = _number(said["fault"], said.get("chance", 1.0))
    value = str(said.get("value", ""))
    return checked(Switch(said["fault"], value, chance, times, None if path is None else str(path)))


def checked(switch: Switch) -> Switch:
    """The switch with its defaults filled in; raises UnknownFaultError."""
    name, value = switch.name, switch.value
    if name not in KINDS:
        raise UnknownFaultError(f"there is no fault {name!r}; there are {', '.join(KINDS)}")
    if not 0 < switch.chance <= 1:
        raise UnknownFaultError(f"{name}: the chance is {switch.chance:g}; more than 0, at most 1")
    value = value or _DEFAULTS.get(name, "")
    if name in _RANGES:
        low, high, what = _RANGES[name]
        if value and not low <= _number(name, value) <= high:
            raise UnknownFaultError(f"{name}={value}: {what}, {low} to {high}")
    if name in _PATHS and value:
        return replace(switch, path=value)
    if name == "out_of_memory" and value:
        return replace(switch, times=int(_number(name, value)))
    return replace(switch, value=value)


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UnknownFaultError(f"{name}: {value!r} is no number") from None


@dataclass(slots=True)
class _Live:
    switch: Switch
    luck: random.Random
    times_left: int | None


@dataclass(slots=True)
class Switchboard:
    """All switches that are on, and the two troubles that stay once they came: a full memory, a dead GPU."""

    seed: int = 0
    _live: list[_Live] = field(default_factory=list)
    _memory_full: bool = False
    _poison: str = ""

    def on(self, switch: Switch) -> None:
        """Switch a fault on, beside those that are; a checked one."""
        if switch.name in _LATCHES and switch.chance >= 1 and switch.times is None:
            self._latch(switch)
            return
        luck = random.Random(f"{self.seed}:{switch.name}:{len(self._live)}")  # noqa: S311 - luck, not secrecy
        self._live.append(_Live(switch, luck, switch.times))

    def clear(self) -> None:
        """Everything off; what was poisoned is well again."""
        self._live.clear()
        self._memory_full, self._poison = False, ""

    def restarted(self) -> None:
        """A new process: its memory is free and its GPU works."""
        self._memory_full, self._poison = False, ""

    def freed(self) -> None:
        """POST /free with free_memory."""
        self._memory_full = False

    def state(self) -> dict[str, Any]:
        """What is on, as the control route tells it."""
        live = [
            {"fault": one.switch.name, "value": one.switch.value, "chance": one.switch.chance,
             "times_left": one.times_left, "path": one.switch.path}
            for one in self._live
        ]  # fmt: skip
        return {"faults": live, "memory_full": self._memory_full, "gpu_poisoned": bool(self._poison)}

    def drawn(self, name: str, *, path: str | None = None, value: str | None = None) -> Switch | None:
        """The switch that takes this occasion, used up once, or None. `path` and `value` are the occasion's;
        a switch that names its own takes no other.
        """
        for one in self._live:
            switch = one.switch
            if switch.name != name or one.times_left == 0:
                continue
            if (switch.path is not None and switch.path != path) or (
                value is not None and switch.value not in {"", value}
            ):
                continue
            if one.luck.random() >= switch.chance:
                continue
            if one.times_left is not None:
                one.times_left -= 1
            return switch
        return None

    def doom(self) -> SimulatedFailureError | None:
        """What the GPU does to a prompt that begins now: its first node that computes raises this."""
        if poisoned := self.drawn("poisoned_gpu"):
            self._latch(poisoned)
        if self._poison:
            return SimulatedFailureError(POISON_MESSAGE, self._poison)
        full = self.drawn("out_of_memory")
        if full is not None and full.times is None:
            self._latch(full)
        if self._memory_full or full is not None:
            return SimulatedFailureError(OOM_MESSAGE, OOM_TYPE, OOM_TIPS)
        return None

    def _latch(self, switch: Switch) -> None:
        if switch.name == "poisoned_gpu":
            self._poison = switch.value
        else:
            self._memory_full = True
