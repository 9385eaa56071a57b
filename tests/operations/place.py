"""A whole service in this process, as `comfygate serve` runs it, with a simulator behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from comfygate.app.serve import Hosted, hosted
from comfygate.gate import accounts, health, operate
from comfygate.simulator import Simulator
from tests.api.house import Client, settings_for

PATIENCE_SECONDS = 20.0
OWN_PORT: dict[str, Any] = {"enabled": True, "port": 0}
"""Settings of `[metrics]`: at an address of their own, on a port that the system chooses."""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass(slots=True)
class Place:
    """One service. `own` is its address for operators, `http` a client that sends no key."""

    house: Hosted
    http: httpx.AsyncClient

    async def join(self, sim: Simulator, *, name: str = "one", lanes: tuple[str, ...] = ("image",)) -> None:
        """Put a simulator behind the service and wait until it counts as up."""
        ctx = self.house.service.ctx
        await operate.servers_add(ctx, name, sim.url, list(lanes))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (name in ctx.fleet.status and ctx.fleet.status[name].up):
                await health.look(ctx)

    @asynccontextmanager
    async def account(
        self, name: str = "ann", *, tier: str = "regular", credits: int = 100
    ) -> AsyncIterator[Client]:
        """A client with an account of its own."""
        made = await accounts.add_account(self.house.service.ctx, name, tier=tier, credits=credits)
        headers = {"Authorization": f"Bearer {made.api_key}"}
        async with httpx.AsyncClient(
            base_url=self.house.url, headers=headers, timeout=PATIENCE_SECONDS
        ) as http:
            yield Client(http)

    async def scraped(self) -> Samples:
        """Every sample at the operators' address."""
        answer = await self.http.get(f"{self.house.operations_url}/metrics")
        assert answer.status_code == 200, answer.text
        return samples(answer.text)

    def forget_census(self) -> None:
        """Let the next scrape read the store anew."""
        assert self.house.watched.metrics is not None
        self.house.watched.metrics._census_at = float("-inf")


def samples(text: str) -> Samples:
    """What a scrape says, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    """One sample; fails with its siblings when it is not there."""
    key = (name, frozenset(labels.items()))
    assert key in found, [other for other in found if other[0] == name]
    return found[key]


@asynccontextmanager
async def service(folder: Path, url: str, **changes: Any) -> AsyncIterator[Place]:
    """A running service; its ports are the system's to choose."""
    # Nothing that is made here is worth a classifier's start.
    settings = settings_for(folder, url, port=0, screening={"enabled": False}, **changes)
    async with hosted(settings) as house, httpx.AsyncClient(timeout=PATIENCE_SECONDS) as http:
        yield Place(house, http)
        # What is left open is of no interest: the next test need not wait for it.
        house.hurry()
