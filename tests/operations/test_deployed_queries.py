"""Every metric is documented, and every query of dashboard and alerts is about metrics that a service has.

Where Debian's `prometheus` is installed (`.ci/run` sees to that), a real one scrapes a real service and
answers every query; names are compared in any case.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from comfygate.app.meters import Meters
from comfygate.domain.health import ServerState
from comfygate.simulator import Simulator
from tests.api.house import image_graph, socket_of
from tests.operations.place import OWN_PORT, Place, service

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
PROMETHEUS = shutil.which("prometheus")
PROMTOOL = shutil.which("promtool")
OF_PROMETHEUS = {"up"}
WORDS = frozenset({
    "by", "without", "on", "ignoring", "and", "or", "unless", "sum", "min", "max", "rate", "increase",
    "histogram_quantile", "vector",
})  # fmt: skip


def alert_queries() -> dict[str, str]:
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text(encoding="utf-8"))
    return {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}


def panel_queries() -> dict[str, str]:
    board = json.loads((DEPLOY / "grafana/comfygate.json").read_text(encoding="utf-8"))
    return {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "1m")
        for panel in board["panels"]
        for target in panel.get("targets", ())
    }


def scaling_queries() -> dict[str, str]:
    scaled = yaml.safe_load((DEPLOY / "kubernetes/keda/scaledobject.yaml").read_text(encoding="utf-8"))
    triggers = scaled["spec"]["triggers"]
    return {f"scaling {number}": trigger["metadata"]["query"] for number, trigger in enumerate(triggers)}


QUERIES = alert_queries() | panel_queries() | scaling_queries()


def metrics_in(query: str) -> set[str]:
    """Names of metrics in a query: what is left without strings, ranges, labels, words and functions."""
    bare = re.sub(r"\"[^\"]*\"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|without)\s*\([^)]*\)", " ", query)
    return {name for name in re.findall(r"(?<![\w.])[a-z_][a-z0-9_:]*", bare) if name not in WORDS}


def test_names_are_found_in_a_query() -> None:
    query = 'sum by (le, lane) (rate(a_bucket{x="y_z", s=~"b"}[5m])) / max(c_total) > 0.1 and up == 1'
    assert metrics_in(query) == {"a_bucket", "c_total", "up"}


@dataclass(frozen=True, slots=True)
class Family:
    """What a scrape says of one metric."""

    kind: str
    series: frozenset[str]


def families(text: str) -> dict[str, Family]:
    """Every metric of a scrape under the name that the page has."""
    found = {}
    for family in text_string_to_metric_families(text):
        if family.type == "histogram":
            ends = ("_bucket", "_count", "_sum")
            series = frozenset(f"{family.name}{end}" for end in ends)
            found[family.name] = Family("histogram", series)
        elif family.type == "counter":
            name = f"{family.name}_total"
            found[name] = Family("counter", frozenset({name}))
        else:
            found[family.name] = Family(family.type, frozenset({family.name}))
    return found


def label_names(meters: Meters) -> dict[str, set[str]]:
    """The labels of our own metrics, by name."""
    found = {}
    for collector in meters.registry._collector_to_names:
        names = getattr(collector, "_labelnames", None)
        if names is not None:
            family = next(iter(collector.collect()))
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found[name] = set(names)
    return found


@asynccontextmanager
async def worked(folder: Path, url: str) -> AsyncIterator[Place]:
    """A service on which a job succeeded and one failed."""
    async with (
        Simulator(base_dir=folder / "comfyui") as sim,
        service(folder / "gate", url, metrics=OWN_PORT) as place,
        place.account() as ann,
    ):
        await place.join(sim)
        sim.hold()
        jobs = [(await ann.submit(image_graph(f"b{n}")))["id"] for n in range(2)]
        sim.release()
        for job in jobs:
            await ann.ended(job)
        sim.error_on("ImageInvert", message="out of patience")
        await ann.run(image_graph("c", color=7))
        yield place


async def test_names_kinds_labels_and_queries(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*) ?\| (.+) \|$", PAGE, re.MULTILINE)
    documented = {name: kind for name, kind, _labels, _says in rows}
    async with worked(tmp_path, sqlite_url) as place:
        text = (await place.http.get(f"{place.house.operations_url}/metrics")).text
        assert place.house.watched.metrics is not None
        labels = label_names(place.house.watched.metrics.meters)
        live = families(text)
        assert {name: family.kind for name, family in live.items()} == documented
        given = {name: set(filter(None, said.strip().split(", "))) for name, _, said, _ in rows}
        assert {name: given[name] for name in labels if name != "comfygate_build"} == {
            name: wanted for name, wanted in labels.items() if name != "comfygate_build"
        }
        series = set[str]().union(*(family.series for family in live.values())) | OF_PROMETHEUS
        unknown = {name: metrics_in(query) - series for name, query in QUERIES.items()}
        assert {name: names for name, names in unknown.items() if names} == {}
        used = set[str]().union(*map(metrics_in, QUERIES.values()))
        ours = {name for name, family in live.items() if name.startswith("comfygate_")}
        unused = {name for name in ours if not (live[name].series & used)}
        assert unused == {"comfygate_build_info"}
        assert f'state="{ServerState.UP}"' in text
        if PROMETHEUS is not None:
            await every_query_is_answered(tmp_path, place, monkeypatch)


async def every_query_is_answered(folder: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real Prometheus, which scrapes the service five times a second, takes every query."""
    assert PROMETHEUS is not None
    target = place.house.operations_url.removeprefix("http://")
    config = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
        "scrape_configs": [{"job_name": "comfygate", "static_configs": [{"targets": [target]}]}],
    }
    await asyncio.to_thread((folder / "prometheus.yml").write_text, yaml.safe_dump(config), "utf-8")
    with socket_of() as sock:
        port = sock.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        PROMETHEUS, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=info",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(40):
            while b"Server is ready" not in (line := await process.stderr.readline()):
                assert line, "Prometheus ended"
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
            await scraped_times(place, 4, monkeypatch)
            answered = {name: await result_of(http, query) for name, query in QUERIES.items()}
    finally:
        process.terminate()
        await process.wait()
    # An alert that is quiet answers with nothing; its left side alone says that it can be heard.
    silent = {name for name in panel_queries() | scaling_queries() if not answered[name]}
    assert silent == set(), "no sample for these"


async def scraped_times(place: Place, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait until it was scraped so often from now on: what came of the scrape before the last is stored."""
    metrics, enough, seen = place.house.watched.metrics, asyncio.Event(), 0
    assert metrics is not None
    scrape = metrics.scrape

    async def counted(accept: str) -> tuple[bytes, str]:
        nonlocal seen
        seen += 1
        if seen >= times:
            enough.set()
        return await scrape(accept)

    monkeypatch.setattr(metrics, "scrape", counted)
    async with asyncio.timeout(40):
        await enough.wait()


async def result_of(http: httpx.AsyncClient, query: str) -> list[Any]:
    """What Prometheus answers; it must understand the query."""
    body = (await http.get("/api/v1/query", params={"query": query})).json()
    assert body["status"] == "success", (query, body)
    result: list[Any] = body["data"]["result"]
    return result


@pytest.mark.skipif(PROMTOOL is None, reason="Debian's prometheus is not installed")
def test_promtool_takes_the_rules() -> None:
    assert PROMTOOL is not None
    folder = DEPLOY / "prometheus"
    for words in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")):
        ended = subprocess.run(
            [PROMTOOL, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
    config = subprocess.run(
        [PROMTOOL, "check", "config", "prometheus.yml"],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert config.returncode == 0, config.stderr
