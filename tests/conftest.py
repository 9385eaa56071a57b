"""What every test may use: a clean environment, and a fresh database on each engine."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from comfygate.assets.screening import shared_worker
from tests.postgres import Postgres, running_postgres

# A failure prints the blob that replays it; a slow machine is not a failure.
hypothesis_settings.register_profile("comfygate", deadline=None, print_blob=True)
hypothesis_settings.load_profile("comfygate")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have COMFYGATE_* set; no test may see it."""
    for name in list(os.environ):
        if name.upper().startswith("COMFYGATE_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def _one_picture_worker() -> Iterator[None]:
    """The worker that the first picture starts stays for the gateways of the next tests: each of them would
    else load the model anew."""
    with shared_worker():
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The PostgreSQL server of this test process, started when the first test asks for it."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite database that does not exist yet, in a folder that does."""
    return f"sqlite:///{(tmp_path / 'comfygate.db').as_posix()}"


@pytest.fixture
def postgresql_url(postgres: Postgres) -> Iterator[str]:
    """An empty PostgreSQL database, dropped after the test."""
    with postgres.database() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, empty database: each test that takes this runs once on each engine."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
