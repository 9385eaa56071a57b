"""Traces of jobs, sent to a real collector over HTTP; and none where none are wanted."""

from __future__ import annotations

import asyncio
import re
import sys
import uuid
from pathlib import Path

import httpx
import pytest
import structlog

from comfygate.app.spans import EXPORT_SECONDS, Spans, is_traced, trace_id_of
from comfygate.app.watching import Watch
from comfygate.domain.errors import SettingsError
from comfygate.settings import load_settings
from comfygate.simulator import Simulator
from comfygate.store import ready
from tests.api.house import Client, image_graph
from tests.looking import before_the_next_look
from tests.operations.collector import collecting
from tests.operations.place import PATIENCE_SECONDS, service

ROOT = Path(__file__).parents[2]
CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
PHASES = ("claim", "stage", "send", "watch", "collect", "settle")


async def test_a_job_is_one_trace_from_submit_to_settle(
    tmp_path: Path, sqlite_url: str, sim: Simulator
) -> None:
    async with collecting() as collector:
        traces = {"endpoint": collector.url, "headers": {"x-key": "k-of-a-collector"}}
        async with service(tmp_path / "gate", sqlite_url, traces=traces) as place, place.account() as ann:
            await place.join(sim)
            with structlog.testing.capture_logs(structlog.get_config()["processors"][:2]) as lines:
                headers = {"traceparent": f"00-{CALLER}-00f067aa0ba902b7-01"}
                good = await ann.submit(image_graph(), headers=headers)
                await ann.ended(good["id"])
            sim.error_on("ImageInvert", message="out of patience")
            bad = await ann.run(image_graph("b", color=9))
    spans = collector.trace(uuid.UUID(good["id"]).hex)
    assert set(spans) == {"submit", "wait", "attempt", *PHASES}
    submit, attempt = spans["submit"], spans["attempt"]
    assert (submit.parent_id, submit.links) == ("", (CALLER,))
    assert {spans[name].parent_id for name in PHASES} == {attempt.span_id}
    assert {attempt.parent_id, spans["wait"].parent_id} == {submit.span_id}
    assert all(span.attributes["comfygate.job"] == good["id"] for span in spans.values())
    assert attempt.attributes["comfygate.attempt"] == 1
    assert (attempt.attributes["comfygate.outcome"], attempt.failed) == ("succeeded", False)
    assert spans["watch"].events == ("started",)
    assert sum(spans[name].seconds for name in PHASES) == pytest.approx(attempt.seconds, abs=0.2)
    request = collector.trace(CALLER)["POST /api/v2/jobs"]
    assert (request.parent_id, request.links) == ("00f067aa0ba902b7", (uuid.UUID(good["id"]).hex,))
    assert request.attributes["http.response.status_code"] == 201
    assert (submit.resource["service.name"], submit.resource["comfygate.role"]) == ("comfygate", "all")
    failed = collector.trace(uuid.UUID(bad["id"]).hex)["attempt"]
    assert (failed.attributes["comfygate.blame"], failed.failed) == ("workflow", True)
    assert collector.keys == {"k-of-a-collector"}
    told = {line["event"]: line for line in lines if line.get("job") == good["id"]}
    assert told["attempt.settled"]["trace_id"] == uuid.UUID(good["id"]).hex
    assert told["attempt.settled"]["attempt"] == 1


async def test_a_job_that_was_ready_has_every_phase_in_its_trace(
    tmp_path: Path, sqlite_url: str, sim: Simulator
) -> None:
    """It is sent before it is claimed."""
    async with collecting() as collector:
        traces = {"endpoint": collector.url}
        async with service(tmp_path / "gate", sqlite_url, traces=traces) as place, place.account() as ann:
            await place.join(sim)
            sim.hold("node")
            first = await ann.submit(image_graph())
            await ann.until(first["id"], "running")
            second = await ann.submit(image_graph("b", color=9))
            store = place.house.service.ctx.store
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await store.read(ready.found_ready, "one") is None:
                    await before_the_next_look()
            sim.release()
            await ann.ended(second["id"])
    spans = collector.trace(uuid.UUID(second["id"]).hex)
    assert set(spans) == {"submit", "wait", "attempt", *PHASES}
    assert spans["send"].began_ns < spans["claim"].began_ns
    assert spans["watch"].events == ("started",)


async def test_an_attempt_left_at_the_stop_goes_on_in_the_same_trace(
    tmp_path: Path, sqlite_url: str, sim: Simulator
) -> None:
    async with collecting() as collector:
        traces = {"endpoint": collector.url}
        async with service(tmp_path / "gate", sqlite_url, traces=traces) as place, place.account() as ann:
            await place.join(sim)
            sim.hold()
            job = await ann.submit(image_graph())
            await ann.until(job["id"], "running")
        (left,) = [span for span in collector.spans if span.name == "attempt"]
        assert (left.attributes["comfygate.outcome"], left.failed) == ("left_open", True)
        sim.release()
        key = dict(ann.http.headers)
        async with (
            service(tmp_path / "gate", sqlite_url, traces=traces) as place,
            httpx.AsyncClient(base_url=place.house.url, headers=key, timeout=20) as again,
        ):
            assert (await Client(again).ended(job["id"]))["status"] == "succeeded"
    trace = [span for span in collector.spans if span.trace_id == uuid.UUID(job["id"]).hex]
    ended = [span for span in trace if span.name == "attempt" and span is not left]
    assert [span.attributes["comfygate.outcome"] for span in ended] == ["succeeded"]
    assert ended[0].attributes["comfygate.adopted"] is True
    assert len({span.span_id for span in trace}) == len(trace)
    resumed = [span for span in trace if span.name == "resume"]
    assert [span.parent_id for span in resumed] == [ended[0].span_id]


async def test_a_collector_that_is_away_holds_nobody_up() -> None:
    nobody = Spans("http://127.0.0.1:9/v1/traces", {}, "1", "all")
    nobody.add("submit", 1, 2, None, (1, 2), {})
    async with asyncio.timeout(EXPORT_SECONDS + 2):
        await nobody.close()


def test_a_part_of_all_jobs_is_the_same_in_every_process() -> None:
    ids = [str(uuid.UUID(int=(0x4000_8000 << 64) + 7919 * n, version=4)) for n in range(2000)]
    tenth = [job_id for job_id in ids if is_traced(job_id, 0.1)]
    assert 140 < len(tenth) < 260
    assert set(tenth) <= {job_id for job_id in ids if is_traced(job_id, 0.5)}
    assert [is_traced(ids[0], 0.0), is_traced(ids[0], 1.0)] == [False, True]
    assert trace_id_of("no uuid") == trace_id_of("no uuid") != trace_id_of("another")


def test_without_the_extra_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    endpoint = {"COMFYGATE_TRACES__ENDPOINT": "http://127.0.0.1:4318/v1/traces"}
    with pytest.raises(SettingsError, match=r"pip install comfygate\[traces\]$"):
        Watch(load_settings(environ=endpoint))
    Watch(load_settings(environ={}))


def test_nothing_of_it_is_loaded_with_the_code() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")}
    at_once = re.compile(r"^(?:from|import) opentelemetry", re.MULTILINE)
    assert [path.name for path, text in sources.items() if at_once.search(text)] == []
    assert [path.name for path, text in sources.items() if "import opentelemetry" in text] == []
    assert [path.name for path, text in sources.items() if "from opentelemetry" in text] == ["spans.py"]
