"""A world on each engine: a database and what tests do with it."""

from collections.abc import AsyncIterator

import pytest

from comfygate.store.engine import Store, open_store
from tests.store.world import World


@pytest.fixture
def world(database_url: str) -> World:
    return World(database_url)


@pytest.fixture
def pg_world(postgresql_url: str) -> World:
    """For what only an engine with several writers can show."""
    return World(postgresql_url)


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
