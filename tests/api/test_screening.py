"""Screening from the upload to the download: block, refund, hold, release, suspend, and the rule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from comfygate.assets.screening import PictureWorkers
from comfygate.domain.errors import Conflict, NotFound
from comfygate.gate import operate, screen
from comfygate.simulator import Simulator
from tests.api.classifying import EXPLICIT, SAFE, Colours, cyan, red, with_colours
from tests.api.house import (
    PATIENCE_SECONDS,
    Client,
    Gateway,
    Graph,
    file_graph,
    image_graph,
    node,
    png,
    reference,
    running_gateway,
    settings_for,
    video_graph,
)
from tests.assets.drawn import encoded, landscape
from tests.looking import before_the_next_look

REVIEW = {"screening": {"action": "review"}}
OFF = {"screening": {"enabled": False}}
MAKES_RED = 0x00FFFF
"""Inverted by the graph."""


def plain_graph(asset: dict[str, Any]) -> Graph:
    """The picture as it is."""
    return {
        "1": node("LoadImage", image=reference(asset)),
        "2": node("SaveImage", images=["1", 0], filename_prefix="same"),
    }


@pytest.fixture
async def colours(gateway: Gateway) -> Colours:
    return with_colours(gateway)


@pytest.fixture
async def eve(gateway: Gateway, colours: Colours) -> AsyncIterator[Client]:
    """An account of a gateway, on each engine, that screens by colour."""
    async with gateway.client(await gateway.add_account("eve")) as client:
        yield client


async def credits_of(client: Client) -> tuple[int, int]:
    account = (await client.http.get("/gate/v1/account")).json()
    return account["available"], account["held"]


async def nothing_kept(gateway: Gateway) -> None:
    """What a job made for nothing is thrown away once that is settled."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while results(gateway):
            await before_the_next_look()


def results(gateway: Gateway) -> list[str]:
    """Every result on the disk."""
    return [path.name for path in gateway.settings.results_path.rglob("*") if path.is_file()]


async def operated(gateway: Gateway, name: str, **arguments: Any) -> dict[str, Any]:
    return await operate.perform(gateway.ctx, name, arguments)


async def standing(gateway: Gateway, name: str = "eve") -> tuple[int, bool]:
    """How many suspicions count against the account, and whether it is disabled."""
    (found,) = [a for a in (await operated(gateway, "accounts.list"))["accounts"] if a["name"] == name]
    return found["suspicions"], found["disabled_at_ms"] is not None


async def test_a_harmless_job_is_delivered_and_its_score_kept(eve: Client, gateway: Gateway) -> None:
    job = await eve.run(image_graph())
    assert job["status"] == "succeeded", job["error"]
    shown = await operated(gateway, "jobs.show", job=job["id"])
    (score,) = shown["screening"]
    assert (score["finding"], score["score"]) == ("safe", 0.05)
    assert await standing(gateway) == (0, False)


async def test_an_explicit_output_is_blocked_refunded_and_thrown_away(eve: Client, gateway: Gateway) -> None:
    job = await eve.run(image_graph(color=MAKES_RED))
    assert (job["status"], job["error"]["code"]) == ("failed", "screened")
    assert job["outputs"] == []
    assert await credits_of(eve) == (100, 0)
    await nothing_kept(gateway)
    shown = await operated(gateway, "jobs.show", job=job["id"])
    assert [one["blame"] for one in shown["attempts"]] == ["policy"]
    assert [one["finding"] for one in shown["screening"]] == ["explicit"]
    assert await standing(gateway) == (1, False)
    assert (await operated(gateway, "ledger.audit"))["balanced"]
    with pytest.raises(NotFound):
        await operated(gateway, "review.release", job=job["id"])


async def test_an_explicit_input_is_refused_at_no_charge_and_counts_once(
    eve: Client, gateway: Gateway
) -> None:
    asset = await eve.asset(red())
    for how in (reference(asset), "photo.png"):
        answer = await eve.http.post("/api/v2/jobs", json={"workflow": file_graph(how)})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "screened")
        assert answer.json()["error"]["details"]["node_errors"]["1"][0]["field"] == "image"
    assert await credits_of(eve) == (100, 0)
    assert (await eve.http.get("/api/v2/jobs")).json()["jobs"] == []
    assert await standing(gateway) == (1, False)


async def test_the_same_bytes_are_looked_at_once(eve: Client, colours: Colours) -> None:
    first, second = await eve.asset(png((1, 2, 3))), await eve.asset(png((1, 2, 3)), "other.png")
    for asset in (first, second, first):
        assert (await eve.run(plain_graph(asset)))["status"] == "succeeded"
    # The input once; each of the outputs, which carry the prompt that made them, is a file of its own.
    assert colours.seen == 1 + 3


async def test_too_many_suspicions_suspend_until_they_are_forgiven(
    eve: Client, gateway: Gateway, sim: Simulator
) -> None:
    for number in range(3):
        assert await standing(gateway) == (number, False)
        job = await eve.submit(image_graph(color=MAKES_RED, prefix=f"n{number}"))
        async with asyncio.timeout(20):
            while (await operated(gateway, "jobs.show", job=job["id"]))["state"] != "failed":
                await before_the_next_look()
    assert await standing(gateway) == (3, True)
    answer = await eve.http.get("/gate/v1/account")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    (row,) = [r for r in (await operated(gateway, "audit.list"))["audit"] if r["actor"] == "screening"]
    assert row["operation"] == "accounts.suspend"
    forgiven = await operated(gateway, "review.forgive", account="eve")
    assert (forgiven["forgiven"], forgiven["suspicions"], forgiven["disabled_at_ms"]) == (3, 0, None)
    assert await credits_of(eve) == (100, 0)
    kinds = [one["kind"] for one in (await operated(gateway, "review.suspicions", account="eve"))["entries"]]
    assert kinds == ["output"] * 3


@pytest.mark.parametrize("changes", [REVIEW])
async def test_a_held_result_is_the_operators_until_it_is_released(eve: Client, gateway: Gateway) -> None:
    job = await eve.run(image_graph(color=MAKES_RED))
    assert (job["status"], job["error"]["code"], job["outputs"]) == ("failed", "held_for_review", [])
    assert await credits_of(eve) == (100, 0)
    (waiting,) = (await operated(gateway, "review.list"))["reviews"]
    assert waiting["job_id"] == job["id"]
    (output,) = (await operated(gateway, "review.show", job=job["id"]))["outputs"]
    with Image.open(output["file"]) as picture:
        assert picture.convert("RGB").getpixel((1, 1)) == (255, 0, 0)
    assert await standing(gateway) == (1, False)
    released = await operated(gateway, "review.release", job=job["id"])
    assert released["state"] == "released"
    after = await eve.job(job["id"])
    assert (after["status"], after["error"]["code"]) == ("failed", "held_for_review")
    assert Image.open(BytesIO(await eve.download(after["outputs"][0]))).size == (8, 8)
    assert await credits_of(eve) == (100, 0)
    assert await standing(gateway) == (0, False)
    assert (await operated(gateway, "ledger.audit"))["balanced"]
    with pytest.raises(Conflict):
        await operated(gateway, "review.reject", job=job["id"])
    assert (await operated(gateway, "review.list"))["reviews"] == []


@pytest.mark.parametrize("changes", [REVIEW])
async def test_a_rejected_result_is_never_seen(eve: Client, gateway: Gateway) -> None:
    job = await eve.run(image_graph(color=MAKES_RED))
    shown = await operated(gateway, "review.reject", job=job["id"])
    assert (shown["state"], shown["outputs"][0]["file"]) == ("rejected", None)
    assert (await eve.job(job["id"]))["outputs"] == []
    assert await standing(gateway) == (1, False)


@pytest.mark.parametrize("changes", [REVIEW])
async def test_an_explicit_input_is_taken_for_review_and_its_result_held(
    eve: Client, gateway: Gateway
) -> None:
    job = await eve.run(plain_graph(await eve.asset(red())))
    assert job["error"]["code"] == "held_for_review"


@pytest.mark.parametrize("changes", [{}, REVIEW, OFF, {"screening": {"threshold": 1.0, "enabled": False}}])
async def test_the_rule_holds_whatever_the_settings(
    eve: Client, gateway: Gateway, changes: dict[str, Any]
) -> None:
    """A picture that was sent and is safe never comes back explicit, not from a review either."""
    job = await eve.run(file_graph(reference(await eve.asset(cyan()))))
    assert (job["status"], job["error"]["code"], job["outputs"]) == ("failed", "screened", [])
    assert await credits_of(eve) == (100, 0)
    await nothing_kept(gateway)
    assert (await operated(gateway, "review.list", state=None))["reviews"] == []
    with pytest.raises(NotFound):
        await operated(gateway, "review.release", job=job["id"])
    (one,) = (await operated(gateway, "review.suspicions", account="eve"))["entries"]
    assert one["kind"] == "rule"


@pytest.mark.parametrize("changes", [OFF])
async def test_the_rule_holds_over_a_detour(eve: Client) -> None:
    """The result of one job as the input of the next counts as a picture that was sent."""
    first = await eve.run(image_graph(color=0xFF0000))
    assert first["status"] == "succeeded"
    (made,) = first["outputs"]
    job = await eve.run(file_graph(reference(made)))
    assert job["error"]["code"] == "screened"


@pytest.mark.parametrize("changes", [OFF])
async def test_off_means_off_where_no_picture_was_sent(eve: Client, colours: Colours) -> None:
    colours.gone("the model is not there")
    job = await eve.run(image_graph(color=MAKES_RED))
    assert job["status"] == "succeeded"
    assert colours.seen == 0
    asset = await eve.asset(cyan())
    answer = await eve.http.post("/api/v2/jobs", json={"workflow": file_graph(reference(asset))})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "screening_unavailable")


async def test_a_clip_is_screened_too(eve: Client, colours: Colours) -> None:
    job = await eve.run(video_graph(reference(await eve.asset(png((1, 2, 3))))))
    assert job["status"] == "succeeded"
    assert colours.seen == 2


async def test_without_a_model_nothing_is_taken_and_health_says_so(
    eve: Client, colours: Colours, gateway: Gateway
) -> None:
    assert (await eve.http.get("/api/v2/health")).json()["screening"] == "ok"
    colours.gone("ModelNotFoundError: /secret/path")
    answer = await eve.http.post("/api/v2/jobs", json={"workflow": image_graph()})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "screening_unavailable")
    assert answer.headers["retry-after"] == "30"
    assert "secret" not in answer.text
    assert await credits_of(eve) == (100, 0)
    health = (await eve.http.get("/api/v2/health")).json()
    assert (health["status"], health["screening"]) == ("degraded", "unavailable")


async def test_the_real_worker_without_its_weights_refuses_jobs_and_still_takes_uploads(
    gateway: Gateway, tmp_path: Any
) -> None:
    assert gateway.ctx.eyes is not None
    broken = PictureWorkers(str(tmp_path / "gone.onnx"))
    gateway.ctx.eyes.classifier = gateway.ctx.eyes.pictures = broken
    try:
        async with gateway.client(await gateway.add_account("eve")) as eve:
            asset = await eve.asset(png())
            for graph in (image_graph(), file_graph(reference(asset))):
                answer = await eve.http.post("/api/v2/jobs", json={"workflow": graph})
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "screening_unavailable")
                assert str(tmp_path) not in answer.text
            assert (await eve.http.get("/api/v2/health")).json()["screening"] == "unavailable"
            assert await credits_of(eve) == (100, 0)
    finally:
        broken.close()


async def test_the_real_model_delivers_harmless_pictures(gateway: Gateway, tmp_path: Any) -> None:
    async with gateway.client(await gateway.add_account("ann")) as ann:
        asset = await ann.asset(encoded(landscape(tmp_path), "PNG"))
        job = await ann.run(plain_graph(asset))
        assert job["status"] == "succeeded", job["error"]
    (score,) = (await operated(gateway, "jobs.show", job=job["id"]))["screening"]
    assert (score["finding"], score["score"] < 0.2) == ("safe", True)


async def test_a_model_that_goes_while_a_job_runs_refunds_it(
    eve: Client, colours: Colours, gateway: Gateway, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen, "RETRY_SECONDS", 0.01)
    sim.hold()
    job = await eve.submit(image_graph())
    await eve.until(job["id"], "running")
    colours.gone("out of memory")
    sim.release()
    ended = await eve.ended(job["id"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", "screening_unavailable")
    assert await credits_of(eve) == (100, 0)
    await nothing_kept(gateway)


async def test_a_file_that_is_no_picture_goes_to_no_node_that_loads_one(eve: Client) -> None:
    asset = await eve.asset(b"P3 1 1 255 255 0 0", "note.txt", content_type="text/plain")
    answer = await eve.http.post("/api/v2/jobs", json={"workflow": file_graph(reference(asset))})
    assert answer.json()["error"]["code"] == "invalid_workflow"
    assert "takes a picture or clip, and note.txt is text/plain" in answer.json()["error"]["message"]


async def test_another_s_picture_is_missing_and_is_not_looked_at(
    eve: Client, gateway: Gateway, colours: Colours
) -> None:
    async with gateway.client(await gateway.add_account("mallory")) as mallory:
        asset = await mallory.asset(red())
    answer = await eve.http.post("/api/v2/jobs", json={"workflow": file_graph(reference(asset))})
    assert answer.json()["error"]["code"] == "missing_asset"
    assert colours.seen == 0


async def test_an_explicit_preview_is_not_shown(tmp_path: Any, sqlite_url: str) -> None:
    async with (
        Simulator(base_dir=tmp_path / "slow", node_seconds=0.6, node_steps=6, previews=True) as slow,
        running_gateway(settings_for(tmp_path / "gate", sqlite_url)) as gateway,
    ):
        await gateway.add_server(slow)
        colours = with_colours(gateway)
        async with gateway.client(await gateway.add_account("eve")) as eve:
            for colours.previews, shown in ((EXPLICIT, False), (SAFE, True)):
                colours.looked.clear()
                job = await eve.submit(image_graph(prefix=f"shown-{shown}"))
                seen = [name async for name, _ in eve.events(job["id"])]
                assert colours.looked.is_set()
                assert ("preview" in seen) is shown
