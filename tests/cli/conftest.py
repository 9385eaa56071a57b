"""What the command line's tests share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from comfygate.app.main import SERVICES
from comfygate.cli.command import execute
from comfygate.cli.services import Services
from tests.cli.rig import Ended

Invoke = Callable[..., Ended]


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty base directory, the one that commands in this process use."""
    folder = tmp_path / "base"
    folder.mkdir()
    monkeypatch.setenv("COMFYGATE_BASE_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def logs_as_before() -> Iterator[None]:
    """Commands set up logging for their process; here it is put back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def invoke(base: Path, logs_as_before: None, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Run a command in this process, with what `main` runs it with."""

    def run(*arguments: str, services: Services = SERVICES) -> Ended:
        capsys.readouterr()
        code = execute(services, arguments)
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return run
