"""A hostile graph is refused over HTTP with a reason, and nothing is charged for it or sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfygate.domain.errors import NodeNotAllowed
from comfygate.gate import operate
from comfygate.simulator import Simulator
from tests.api.house import Client, Gateway, image_graph, node, running_gateway, settings_for
from tests.hostile import CASES, HARMLESS, Hostile, body_of


async def refused(client: Client, case: Hostile) -> None:
    answer = await client.http.post(
        "/api/v2/jobs", content=body_of(case), headers={"Content-Type": "application/json"}
    )
    assert 400 <= answer.status_code < 500, (case.name, answer.text[:500])
    error = answer.json()["error"]
    if case.node is None:
        assert case.reason in error["message"], (case.name, error)
        return
    assert error["code"] == "invalid_workflow", (case.name, error)
    faults = error["details"]["node_errors"][case.node]
    assert any(one["field"] == case.field and case.reason in one["reason"] for one in faults), (
        case.name,
        faults,
    )


async def test_each_is_refused_with_node_field_and_reason_and_at_no_charge(
    gateway: Gateway, sim: Simulator
) -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
    async with gateway.client(await gateway.add_account("mallory")) as mallory:
        before = (await mallory.balance(), await mallory.entries())
        for case in CASES:
            await refused(mallory, case)
        assert (await mallory.balance(), await mallory.entries()) == before
        assert (await mallory.http.get("/api/v2/jobs")).json()["jobs"] == []
        assert (await operate.ledger_audit(gateway.ctx))["faults"] == []
        # What is harmless still runs, and nothing came to the server before it.
        job = await mallory.ended((await mallory.submit(HARMLESS))["id"])
        assert job["status"] == "succeeded", job["error"]


async def test_a_known_danger_is_told_with_its_reason_and_an_unknown_name_with_the_nearest(
    ann: Client,
) -> None:
    async def said(class_type: str) -> str:
        graph = {**image_graph(), "9": node(class_type)}
        answer = await ann.http.post("/api/v2/jobs", json={"workflow": graph})
        assert answer.status_code == 422
        message: str = answer.json()["error"]["message"]
        assert f"node 9 ({class_type}), field 'class_type'" in message
        assert "ask the operator to allow it under allowed_nodes" in message
        return message

    assert "it fetches addresses from the network" in await said("LoadImageFromUrl")
    assert "another company's service" in await said("KlingLipSyncTextToVideoNode")
    assert "by its name it runs code" in await said("MyPythonEverything")
    assert "the nearest allowed name is KSamplerAdvanced" in await said("KSamplerAdvancd")


@pytest.mark.parametrize("changes", [{"refused_nodes": ("ImageBl*", "NoSuchNode"), "allowed_nodes": ("*",)}])
async def test_what_the_operator_takes_away_is_refused_and_what_he_adds_goes_on(ann: Client) -> None:
    blur = {**image_graph(), "2": node("ImageBlur", image=["1", 0], blur_radius=1, sigma=1.0)}
    answer = await ann.http.post("/api/v2/jobs", json={"workflow": blur})
    assert answer.status_code == 422
    assert "the operator has taken it away" in answer.json()["error"]["message"]
    # Allowed by `*`, so it comes as far as the question whether a server has it.
    odd = {**image_graph(), "9": node("LoadImageFromUrl", url="x")}
    answer = await ann.http.post("/api/v2/jobs", json={"workflow": odd})
    assert "unknown_node_class" in answer.json()["error"]["message"]
    odd["9"] = node("LoadImageFromUrl", url="https://example.org/x.png")
    answer = await ann.http.post("/api/v2/jobs", json={"workflow": odd})
    assert "address_not_allowed" in answer.json()["error"]["message"]


MANIFEST = """
title = "Blur"
description = "Blurs."
lane = "image"
price = 1
graph = "graph.json"

[parameters.words]
title = "Words"
type = "text"
default = "x"
sets = ["4.colour_name"]
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """One workflow that uses a node which callers may not use, and a value that they may not write."""
    folder = tmp_path / "catalogue" / "blur"
    folder.mkdir(parents=True)
    graph = {
        **image_graph(),
        "2": node("ImageBlur", image=["1", 0], blur_radius=1, sigma=1.0, note_file="/srv/house.txt"),
        "4": node("ImageBlur", image=["1", 0], blur_radius=1, sigma=1.0, colour_name="x"),
    }
    (folder / "graph.json").write_text(json.dumps(graph), encoding="utf-8")
    (folder / "workflow.toml").write_text(MANIFEST, encoding="utf-8")
    return folder.parent


async def test_the_catalogue_vouches_for_its_own_nodes_and_values_but_not_for_what_users_type(
    tmp_path: Path, sqlite_url: str, sim: Simulator, catalogue: Path
) -> None:
    changes: dict[str, Any] = {"workflows_dir": catalogue, "refused_nodes": ("ImageBlur",)}
    async with running_gateway(settings_for(tmp_path / "gate", sqlite_url, **changes)) as house:
        await house.add_server(sim)
        async with house.client(await house.add_account()) as ann:
            answer = await ann.http.post("/gate/v1/workflows/blur/jobs", json={})
            assert answer.status_code == 201, answer.text
            assert (await ann.ended(answer.json()["id"]))["status"] == "succeeded"
            answer = await ann.http.post(
                "/gate/v1/workflows/blur/jobs", json={"parameters": {"words": "../../x"}}
            )
            assert answer.status_code == 422
            faults = answer.json()["error"]["details"]["node_errors"]
            assert list(faults) == ["4"]
            assert faults["4"][0]["field"] == "colour_name"
            raw = json.loads((catalogue / "blur" / "graph.json").read_text(encoding="utf-8"))
            answer = await ann.http.post("/api/v2/jobs", json={"workflow": raw})
            assert "node_not_allowed" in answer.json()["error"]["message"]


async def test_a_retry_is_checked_by_the_rules_of_today(
    tmp_path: Path, database_url: str, sim: Simulator
) -> None:
    folder = tmp_path / "gate"
    async with (
        running_gateway(settings_for(folder, database_url)) as house,
        house.client(await house.add_account()) as ann,
    ):
        job_id = (await ann.submit(image_graph()))["id"]
        await operate.perform(house.ctx, "jobs.cancel", {"job": job_id})
        assert await ann.balance() == (100, 0)
    stricter = settings_for(folder, database_url, refused_nodes=("ImageInvert",))
    async with running_gateway(stricter) as house:
        with pytest.raises(NodeNotAllowed, match=r"node 2 \(ImageInvert\)"):
            await operate.perform(house.ctx, "jobs.retry", {"job": job_id})
        listed = (await operate.perform(house.ctx, "accounts.list", {}))["accounts"]
        assert [(one["available"], one["held"]) for one in listed if one["name"] == "ann"] == [(100, 0)]
    async with running_gateway(settings_for(folder, database_url)) as house:
        again = await operate.perform(house.ctx, "jobs.retry", {"job": job_id})
        assert again["retry_of"] == job_id
