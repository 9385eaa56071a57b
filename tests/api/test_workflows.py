"""The catalogue over HTTP: look, quote, order; what was quoted is held and captured."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import av
import pytest
from comfy_sdk import Comfy
from PIL import Image

from comfygate.gate import accounts
from tests.api.house import Client, Gateway, node, png

SAMPLES = Path(__file__).parents[2] / "workflows"
PRICES = {"soft": 0, "glow": 1, "drama": 2, "crisp": 2, "negative": 1}
TIERS = {
    "regular": {},
    "cheap": {"discount_percent": 50},
    "gift": {"free_jobs_daily": 1},
    "shop": {"raw_graphs": False},
    "slow": {"requests_per_minute": 3},
    "vip": {"priority": 100},
}


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"workflows_dir": SAMPLES, "tiers": TIERS, "node_prices": {"SaveLatent": 4, "PreviewImage": 4}}


async def order(client: Client, name: str, status: int = 201, **body: Any) -> dict[str, Any]:
    answer = await client.http.post(f"/gate/v1/workflows/{name}/jobs", json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def quote(client: Client, name: str, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = await client.http.post(f"/gate/v1/workflows/{name}/quote", json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_the_list_says_all_that_may_be_chosen(ann: Client) -> None:
    listed = (await ann.http.get("/gate/v1/workflows")).json()["workflows"]
    assert [one["name"] for one in listed] == sorted(path.name for path in SAMPLES.iterdir())
    one = (await ann.http.get("/gate/v1/workflows/restyle")).json()
    assert one in listed
    assert one["title"] == {"en": "Restyle", "zh": "换个风格"}
    assert {style["name"]: style["price"]["credits"] for style in one["styles"]} == PRICES
    assert [given["name"] for given in one["inputs"]] == ["picture"]
    upscale = (await ann.http.get("/gate/v1/workflows/upscale")).json()
    assert upscale["price"] == {"credits": None, "formula": "1 if factor <= 2 else 3"}
    missing = await ann.http.get("/gate/v1/workflows/restile")
    assert missing.status_code == 404
    assert "did you mean 'restyle'" in missing.json()["error"]["message"]


@pytest.mark.parametrize("style", PRICES)
async def test_what_is_quoted_is_held_and_captured(ann: Client, style: str) -> None:
    picture = (await ann.asset(png(size=(32, 24))))["id"]
    before, _ = await ann.balance()
    told = await quote(ann, "restyle", style=style)
    assert (told["price"], told["charged"], told["enough"]) == (PRICES[style], PRICES[style], True)
    job = await order(ann, "restyle", style=style, inputs={"picture": picture})
    assert sum(await ann.balance()) == before
    ended = await ann.ended(job["id"])
    assert ended["status"] == "succeeded", ended["error"]
    assert await ann.balance() == (before - PRICES[style], 0)
    with Image.open(io.BytesIO(await ann.download(ended["outputs"][0]))) as made:
        assert made.size == (32, 24)


async def test_a_clip_from_one_multipart_call(ann: Client) -> None:
    answer = await ann.http.post(
        "/gate/v1/workflows/camera/jobs",
        data={"style": "pan-right", "parameters": json.dumps({"fps": 8})},
        files={"file": ("photo.png", png(size=(96, 64)))},
    )
    assert answer.status_code == 201, answer.text
    ended = await ann.ended(answer.json()["id"])
    assert ended["status"] == "succeeded", ended["error"]
    with av.open(io.BytesIO(await ann.download(ended["outputs"][0]))) as clip:
        assert clip.streams.video[0].average_rate == 8
        assert len(list(clip.decode(video=0))) == 16  # type: ignore[union-attr]
    assert await ann.balance() == (97, 0)


async def test_the_sdks_handle_follows_an_ordered_job(
    lite: Gateway, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFY_BASE_URL", lite.url)
    picture = (await ann.asset(png()))["id"]
    job = await order(ann, "upscale", inputs={"picture": picture}, parameters={"factor": 3})
    made = await asyncio.to_thread(_follow, lite.keys["ann"], job["id"])
    assert made.size == (48, 48)
    assert await ann.balance() == (97, 0)


def _follow(key: str, job_id: str) -> Image.Image:
    with Comfy(api_key=key) as sdk:
        handle = sdk.jobs.get(job_id)
        handle.wait(timeout=20)
        (output,) = handle.outputs
        return Image.open(io.BytesIO(output.to_bytes()))


@pytest.mark.parametrize(
    ("name", "body", "status", "says"),
    [
        ("restyle", {}, 422, "style is missing"),
        ("restyle", {"style": "glw"}, 422, "did you mean 'glow'"),
        ("restyle", {"style": 3}, 422, "style must be a string"),
        ("restyle", {"style": "glow"}, 422, "inputs.picture is missing"),
        ("restyle", {"style": "glow", "inputs": {"picture": "no"}}, 422, "upload it first"),
        ("restyle", {"style": "glow", "inputs": {"picture": 3}}, 422, "inputs.picture must be the id"),
        ("restyle", {"style": "glow", "inputs": []}, 422, "inputs must be an object"),
        ("restyle", {"style": "glow", "parameters": {"strength": 2}}, 422, "parameters.strength is 2"),
        ("restyle", {"style": "glow", "price": 0}, 422, "price is not a key"),
        ("upscale", {"parameters": {"factor": 5}}, 422, "must be one of 1.5, 2, 3, 4"),
        ("nothing", {}, 404, "no workflow is called 'nothing'"),
    ],
)
async def test_a_bad_order_is_refused_by_name_and_costs_nothing(
    ann: Client, name: str, body: dict[str, Any], status: int, says: str
) -> None:
    refused = await order(ann, name, status, **body)
    assert says in refused["error"]["message"]
    assert await ann.entries() == [("grant", 100)]


async def test_an_asset_must_be_ones_own_a_picture_and_not_too_large(ann: Client, ben: Client) -> None:
    his = (await ben.asset(png()))["id"]
    text = (await ann.asset(b"hello", "note.txt", content_type="text/plain"))["id"]
    large = (await ann.asset(png(size=(2400, 2000))))["id"]
    for asset_id, says in ((his, "no such asset"), (text, "must be a picture"), (large, "4800000 pixels")):
        refused = await order(ann, "upscale", 422, inputs={"picture": asset_id})
        assert says in refused["error"]["message"]
    assert await ann.entries() == [("grant", 100)]


async def test_a_refused_form_leaves_nothing_behind(lite: Gateway, ann: Client) -> None:
    answer = await ann.http.post(
        "/gate/v1/workflows/restyle/jobs", data={"style": "no"}, files={"file": ("a.png", png())}
    )
    assert answer.status_code == 422
    assert "style is 'no'" in answer.json()["error"]["message"]
    assert [key async for key in lite.ctx.blobs.keys("uploads")] == []


async def test_tiers_pay_less_or_nothing_or_may_not(lite: Gateway) -> None:
    async with lite.client(await lite.add_account("cheap", tier="cheap")) as client:
        picture = (await client.asset(png()))["id"]
        told = await quote(client, "restyle", style="drama")
        assert (told["price"], told["discount"], told["charged"]) == (2, 1, 1)
        await client.ended((await order(client, "restyle", style="drama", inputs={"picture": picture}))["id"])
        assert (await client.entries())[1:] == [("hold", 1), ("capture", 1)]
    async with lite.client(await lite.add_account("gift", tier="gift", credits=0)) as client:
        picture = (await client.asset(png()))["id"]
        told = await quote(client, "restyle", style="drama")
        assert (told["charged"], told["free"], told["enough"]) == (0, True, True)
        await order(client, "restyle", style="drama", inputs={"picture": picture})
        told = await quote(client, "restyle", style="drama")
        assert (told["charged"], told["free"], told["enough"]) == (2, False, False)
        await order(client, "restyle", 402, style="drama", inputs={"picture": picture})
    async with lite.client(await lite.add_account("shop", tier="shop")) as client:
        graph = {
            "1": node("EmptyImage", width=8, height=8, batch_size=1, color=0),
            "2": node("SaveImage", images=["1", 0], filename_prefix="x"),
        }
        answer = await client.http.post("/api/v2/jobs", json={"workflow": graph})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        await accounts.set_tier(lite.ctx, "shop", "regular")
        await client.submit(graph)


async def test_more_requests_than_a_minute_has_room_for(lite: Gateway) -> None:
    async with lite.client(await lite.add_account("slow", tier="slow")) as client:
        answers = [await client.http.get("/gate/v1/account") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    error = answers[-1].json()["error"]
    assert error["code"] == "rate_limited"
    assert error["details"] == {"limit": "requests_per_minute", "value": 3}
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 20


async def test_a_graph_of_ones_own_is_priced_by_lane_and_nodes(ann: Client) -> None:
    graph = {
        "1": node("EmptyImage", width=8, height=8, batch_size=1, color=0),
        "2": node("PreviewImage", images=["1", 0]),
        "3": node("SaveImage", images=["1", 0], filename_prefix="x"),
    }
    await ann.run(graph)
    assert (await ann.entries())[1:] == [("hold", 5), ("capture", 5)]


async def test_only_what_the_manifest_delivers_is_delivered(
    lite: Gateway, ann: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "flows" / "two"
    await asyncio.to_thread(_two_outputs, folder)
    lite.ctx.shelf._folder = folder.parent
    await asyncio.to_thread(lite.ctx.shelf.look)
    ended = await ann.ended((await order(ann, "two"))["id"])
    assert [output["node_id"] for output in ended["outputs"]] == ["3"]


def _two_outputs(folder: Path) -> None:
    folder.mkdir(parents=True)
    graph = {
        "1": node("EmptyImage", width=8, height=8, batch_size=1, color=0),
        "2": node("SaveImage", images=["1", 0], filename_prefix="draft"),
        "3": node("SaveImage", images=["1", 0], filename_prefix="final"),
    }
    (folder / "graph.json").write_text(json.dumps(graph), encoding="utf-8")
    manifest = 'title = "Two"\ndescription = "Two."\nlane = "image"\nprice = 1\ndeliver = ["3"]\n'
    (folder / "workflow.toml").write_text(manifest, encoding="utf-8")
