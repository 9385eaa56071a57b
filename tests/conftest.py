"""What every test may use: a clean environment, and a fresh database on each engine."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from multiprocessing.util import Finalize
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from comfygate.assets.screening import shared_workers
from comfygate.store.schema import migrate
from tests import ramdisk
from tests.bare import Bare
from tests.postgres import Postgres, running_postgres
from tests.statements import keep_compiled

# A failure prints the blob that replays it; a slow machine is not a failure.
hypothesis_settings.register_profile("comfygate", deadline=None, print_blob=True)
hypothesis_settings.load_profile("comfygate")
keep_compiled()


IN_MEMORY = pytest.StashKey[Path | None]()
FAILED = pytest.StashKey[bool]()

LONGEST_FIRST = (
    "tests/chaos/test_short.py",
    "tests/sim/",
    "tests/bot/test_positions.py",
    "tests/fences/",
    "tests/cli/test_serve.py",
    "tests/api/test_fuzz.py",
    "tests/benchmarks/",
    "tests/bot/test_kill.py",
    "tests/domain/test_eta_coverage.py",
)
"""What takes many seconds a test begins first, so that no process is left with it at the end."""


def pytest_configure(config: pytest.Config) -> None:
    """Write into memory, unless the process that started this one chose the folder."""
    config.stash[IN_MEMORY] = ramdisk.move_in()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing there but what a failed run was about, which the next run removes."""
    folder = config.stash.get(IN_MEMORY, None)
    if folder is not None and not config.stash.get(FAILED, False):
        # After multiprocessing has removed what it has there.
        Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-1000)


def pytest_sessionfinish(session: pytest.Session) -> None:
    session.config.stash[FAILED] = bool(session.testsfailed)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests; those of one place stay as they are written."""

    def place(item: pytest.Item) -> int:
        found = (number for number, start in enumerate(LONGEST_FIRST) if item.nodeid.startswith(start))
        return next(found, len(LONGEST_FIRST))

    items.sort(key=place)


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
    with shared_workers():
        yield


@pytest.fixture(scope="session")
def programs() -> Iterator[Bare]:
    """What runs the simulation, and tests on other sources than ours."""
    with contextlib.closing(Bare()) as one:
        yield one


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The PostgreSQL server of this test process, started when the first test asks for it."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database of the newest schema without rows: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("template") / "comfygate.db"
    migrate(f"sqlite:///{path.as_posix()}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> Iterator[str]:
    """The same on PostgreSQL, by its name."""
    with postgres.database() as url:
        migrate(url)
        yield url.partition("@/")[2].partition("?")[0]


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """A SQLite database with the newest schema and no rows."""
    path = tmp_path / "comfygate.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path.as_posix()}"


@pytest.fixture
def postgresql_url(postgres: Postgres, postgres_template: str) -> Iterator[str]:
    """A PostgreSQL database with the newest schema and no rows, dropped after the test."""
    with postgres.database(template=postgres_template) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database without rows: each test that takes this runs once on each engine."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """A SQLite database that does not exist yet, in a folder that does."""
    return f"sqlite:///{(tmp_path / 'empty.db').as_posix()}"


@pytest.fixture
def empty_postgresql_url(postgres: Postgres) -> Iterator[str]:
    """A PostgreSQL database without any table, dropped after the test."""
    with postgres.database() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def empty_url(request: pytest.FixtureRequest) -> str:
    """A database without any table, for tests of the schema: once on each engine."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url
