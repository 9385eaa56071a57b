"""/metrics of a real service: what jobs came to is what is counted, and nobody's name is in it."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from comfygate.app.meters import Meters
from comfygate.app.metrics import MeteredStore, Metrics
from comfygate.app.wiring import opened
from comfygate.domain.errors import SettingsError
from comfygate.settings import load_settings
from comfygate.simulator import Simulator
from tests.api.house import image_graph, settings_for
from tests.looking import before_the_next_look
from tests.operations.place import OWN_PORT, Place, Samples, samples, service, value

KEY = "a key of more than sixteen"


async def until(place: Place, name: str, wanted: float, **labels: str) -> Samples:
    """Scrape until this sample has this value: the outbox tells beside the answer to a client."""
    async with asyncio.timeout(20):
        while True:
            place.forget_census()
            found = await place.scraped()
            if found.get((name, frozenset(labels.items()))) == wanted:
                return found
            await before_the_next_look()


async def test_what_happened_is_counted(tmp_path: Path, database_url: str, sim: Simulator) -> None:
    async with (
        service(tmp_path / "gate", database_url, metrics=OWN_PORT) as place,
        place.account(tier="black_gold") as ann,
    ):
        await place.join(sim)
        sim.hold()
        first = await ann.submit(image_graph("a"))
        await ann.until(first["id"], "running")
        later = [(await ann.submit(image_graph(f"b{n}")))["id"] for n in range(3)]
        waiting = await until(place, "comfygate_queue_depth", 3, lane="image", priority="0")
        assert value(waiting, "comfygate_queue_oldest_seconds", lane="image") > 0
        assert value(waiting, "comfygate_queue_depth", lane="video", priority="100") == 0
        assert value(waiting, "comfygate_server_slots_busy", server="one") == 1
        assert value(waiting, "comfygate_server_state", server="one", state="up") == 1
        assert value(waiting, "comfygate_server_state", server="one", state="down") == 0
        sim.release()
        for job in (first["id"], *later):
            assert (await ann.ended(job))["status"] == "succeeded"
        sim.error_on("ImageInvert", message="out of patience")
        assert (await ann.run(image_graph("c", color=7)))["status"] == "failed"
        found = await until(place, "comfygate_jobs_ended_total", 1, lane="image", status="failed")
    assert value(found, "comfygate_jobs_ended_total", lane="image", status="succeeded") == 4
    assert value(found, "comfygate_jobs_submitted_total", lane="image", tier="black_gold") == 5
    assert [value(found, "comfygate_credits_total", move=m) for m in ("held", "captured", "refunded")] == [
        5, 4, 1,
    ]  # fmt: skip
    ended: dict[str, Any] = {"lane": "image", "outcome": "succeeded", "blame": ""}
    assert value(found, "comfygate_attempts_ended_total", **ended) == 4
    failed = {"lane": "image", "outcome": "failed", "blame": "workflow"}
    assert value(found, "comfygate_attempts_ended_total", **failed) == 1
    assert value(found, "comfygate_job_wait_seconds_count", lane="image", tier="black_gold") == 5
    assert value(found, "comfygate_execution_seconds_count", lane="image") == 5
    assert value(found, "comfygate_slot_idle_gap_seconds_count", server="one") == 3
    for phase in ("stage", "send", "watch", "collect", "settle"):
        assert value(found, "comfygate_attempt_phase_seconds_count", lane="image", phase=phase) == 5
    assert value(found, "comfygate_outbox_rows") == 0
    assert value(found, "comfygate_store_up") == 1
    assert value(found, "comfygate_lease_in_force") == 1
    assert value(found, "comfygate_store_seconds_count", kind="write") > 5
    posts = {"method": "POST", "route": "/api/v2/jobs", "status": "2xx"}
    assert value(found, "comfygate_http_requests_total", **posts) == 5
    assert ("ann" in str(found.keys()), first["id"] in str(found.keys())) == (False, False)


async def test_followers_strangers_and_unknown_routes(
    tmp_path: Path, sqlite_url: str, sim: Simulator
) -> None:
    async with (
        service(tmp_path / "gate", sqlite_url, metrics=OWN_PORT) as place,
        place.account() as ann,
    ):
        await place.join(sim)
        sim.hold()
        job = await ann.submit(image_graph())
        async with ann.http.stream("GET", f"/api/v2/jobs/{job['id']}/events"):
            await until(place, "comfygate_sse_followers", 1)
        await ann.http.get("/secret-words-of-a-caller")
        assert (await ann.http.get("/metrics")).status_code == 404, "without a key the public gets none"
        await ann.http.request("PROPFIND", "/api/v2/jobs")
        found = await until(place, "comfygate_sse_followers", 0)
        sim.release()
        await ann.ended(job["id"])
        sim.hold()
        for number in range(2):
            await place.http.post(f"{sim.url}/prompt", json={"prompt": image_graph(f"x{number}")})
        await until(place, "comfygate_server_foreign_prompts", 2, server="one")
        sim.release()
        await until(place, "comfygate_server_foreign_prompts", 0, server="one")
    lost = {"method": "GET", "route": "(none)", "status": "4xx"}
    assert value(found, "comfygate_http_requests_total", **lost) == 1
    methods = {dict(labels)["method"] for name, labels in found if name == "comfygate_http_requests_total"}
    assert methods == {"GET", "POST", "other"}
    assert "secret-words" not in str(found.keys())


async def test_beside_the_api_they_want_their_key(tmp_path: Path, sqlite_url: str) -> None:
    both = {"enabled": True, "key": KEY, "port": 0}
    async with service(tmp_path / "gate", sqlite_url, metrics=both) as place:
        url = f"{place.house.url}/metrics"
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}):
            assert (await place.http.get(url, headers=headers)).status_code == 401
        answer = await place.http.get(url, headers={"Authorization": f"Bearer {KEY}"})
        assert answer.status_code == 200
        assert "comfygate_build_info" in answer.text
        assert answer.headers["content-type"].startswith("text/plain")
        wanted = {"Authorization": f"Bearer {KEY}", "Accept": "application/openmetrics-text; version=1.0.0"}
        assert (await place.http.get(url, headers=wanted)).text.endswith("# EOF\n")
        metrics = place.house.watched.metrics
        assert metrics is not None
        await place.scraped()
        at = metrics._census_at
        await asyncio.gather(*(place.scraped() for _ in range(20)))
        assert metrics._census_at == at, "scrapes read the store no more often than that"


def test_metrics_without_a_place_refuse_to_start() -> None:
    with pytest.raises(SettingsError, match=r"metrics\.port"):
        load_settings(environ={"COMFYGATE_METRICS__ENABLED": "true"})
    nowhere = {"ROLE": "dispatch", "DATABASE_URL": "postgresql://db/x", "METRICS__ENABLED": "1"}
    with pytest.raises(SettingsError, match="takes no requests"):
        load_settings(
            environ={f"COMFYGATE_{k}": v for k, v in nowhere.items()} | {"COMFYGATE_METRICS__KEY": KEY}
        )
    with pytest.raises(SettingsError, match="at least 16") as refused:
        load_settings(environ={"COMFYGATE_METRICS__KEY": "short-one"})
    assert "short-one" not in str(refused.value)


async def test_a_store_that_is_away_is_said(tmp_path: Path, sqlite_url: str) -> None:
    settings = settings_for(tmp_path / "gate", sqlite_url)
    meters = Meters(settings.lanes, settings.tiers, "1", "all")
    async with opened(settings, lambda store: MeteredStore(store, meters)) as ctx:
        metrics = Metrics(ctx, meters, owns=lambda _name: True, dispatching=False, folders={})
        before = samples((await metrics.scrape(""))[0].decode())
        await ctx.store.close()
        metrics._census_at = float("-inf")
        after = samples((await metrics.scrape(""))[0].decode())
    assert value(before, "comfygate_store_up") == 1
    assert value(after, "comfygate_store_up") == 0
    assert value(after, "comfygate_store_failures_total", kind="read") > 0
    assert not [name for name, _ in after if name == "comfygate_queue_depth"]
    assert math.isnan(value(after, "comfygate_outbox_rows"))
    assert math.isnan(value(after, "comfygate_lease_in_force"))
