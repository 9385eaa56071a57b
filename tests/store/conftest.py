"""A migrated database on each engine, copied from a template that is made once."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from comfygate.store.engine import Store, open_store
from comfygate.store.schema import migrate
from tests.postgres import Postgres
from tests.store.world import World


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "comfygate.db"
    migrate(f"sqlite:///{path.as_posix()}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> Iterator[str]:
    with postgres.database() as url:
        migrate(url)
        yield url.partition("@/")[2].partition("?")[0]


@pytest.fixture
def migrated_sqlite(sqlite_template: Path, tmp_path: Path) -> str:
    path = tmp_path / "migrated.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path.as_posix()}"


@pytest.fixture
def migrated_postgresql(postgres: Postgres, postgres_template: str) -> Iterator[str]:
    with postgres.database(template=postgres_template) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def migrated_url(request: pytest.FixtureRequest) -> str:
    """A database with the newest schema and no rows, once on each engine."""
    url: str = request.getfixturevalue(f"migrated_{request.param}")
    return url


@pytest.fixture
def world(migrated_url: str) -> World:
    return World(migrated_url)


@pytest.fixture
def pg_world(migrated_postgresql: str) -> World:
    """For what only an engine with several writers can show."""
    return World(migrated_postgresql)


@pytest.fixture
async def store(world: World) -> AsyncIterator[Store]:
    """The store as the service opens it, on the same database as `world`."""
    opened = open_store(world.url)
    yield opened
    await opened.close()


@pytest.fixture
async def pg_store(pg_world: World) -> AsyncIterator[Store]:
    opened = open_store(pg_world.url)
    yield opened
    await opened.close()
