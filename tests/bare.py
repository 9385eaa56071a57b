"""Python modules run as programs, each forked from a process that has imported what others wrote, not us.

For programs that run by the dozen under one hash seed and, in part, on other sources than ours: the
simulation and the tests that meet a mutant. To import what both need takes two seconds of processor time.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
IMPORTED = (
    "PIL.Image", "aiohttp.web", "alembic.command", "blake3", "fastapi", "filelock", "httpx", "httptools",
    "jsonschema", "multiprocessing", "obstore", "prometheus_client", "psycopg", "pydantic_settings",
    "sqlalchemy", "structlog", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite",
    "typer", "uvicorn", "uvloop",
)  # fmt: skip


class Bare:
    """The process that forks, begun when it is needed. One program at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(
        self, module: str, *arguments: str, source: Path = ROOT / "src"
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m module` with `comfygate` from `source`; both its streams are in `stdout`."""
        with tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="replace") as said:
            asked = {"run": [module, *arguments], "source": str(source), "says": said.name}
            try:
                code = self._asked(json.dumps(asked))
            except BaseException:  # a test's time is over, say: the program must not run on beside the next
                self.close()
                raise
            return subprocess.CompletedProcess(asked["run"], code, said.read(), "")

    def _asked(self, line: str) -> int:
        process = self._process = self._process or _begun()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    def close(self) -> None:
        """End it, with the program that runs."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with process:
                process.wait()


def _begun() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bare"], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "0"}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def _become(asked: Mapping[str, Any]) -> int:
    """The child: the program, its exit status."""
    out = os.open(asked["says"], os.O_WRONLY)
    for number in (1, 2):
        os.dup2(out, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.path.insert(0, asked["source"])
    os.environ["PYTHONPATH"] = asked["source"]
    module, *arguments = asked["run"]
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:  # noqa: BLE001 - as an interpreter does
        traceback.print_exc()
        return 1
    return 0


def _serve() -> None:
    for name in IMPORTED:
        with contextlib.suppress(ImportError):  # uvloop and httptools are there for CPython alone
            importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = _become(json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
