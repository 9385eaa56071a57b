"""A house for the tests of one file, in which no test leaves anything held for the next."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.web.chromium import PATIENCE_MS, Studio, studio

expect.set_options(timeout=PATIENCE_MS)
NODE_SECONDS = 0.02
"""How long the simulator takes for a node, in files that do not say so themselves."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> AsyncIterator[Studio]:
    seconds: float = getattr(request.module, "NODE_SECONDS", NODE_SECONDS)
    folder = tmp_path_factory.mktemp("house")
    async with studio(folder, sqlite_template, node_seconds=seconds) as started:
        yield started


@pytest.fixture(autouse=True)
def nothing_stays_held(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that failed in between must not let all others wait for results in vain."""
    yield
    lent = getattr(request.node, "funcargs", {}).get("house")
    if isinstance(lent, Studio):
        lent.sim.release()
        lent.sim.clear_faults()
