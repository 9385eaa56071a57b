"""The published client, unmodified, does its whole day's work against a running gateway."""

import asyncio
from io import BytesIO
from pathlib import Path

import comfy_sdk
import pytest
from comfy_sdk import events as sdk_events
from comfy_sdk import exceptions as sdk_errors
from PIL import Image

from comfygate.simulator import Simulator
from tests.api.house import Client, Gateway, file_graph, image_graph, png


@pytest.fixture
def key(lite: Gateway, ann: Client, monkeypatch: pytest.MonkeyPatch) -> str:
    """The key of an account; the clients find the gateway by their own environment variable."""
    monkeypatch.setenv("COMFY_BASE_URL", lite.url)
    return lite.keys["ann"]


async def test_sync_client(key: str, tmp_path: Path, sim: Simulator) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(png((10, 20, 30)))
    out = await asyncio.to_thread(_sync_day, key, photo, tmp_path)
    picture = Image.open(out)
    assert picture.getpixel((3, 3)) == (245, 235, 225)
    assert len(sim.executed) == 2


def _sync_day(key: str, photo: Path, folder: Path) -> Path:
    with comfy_sdk.Comfy(api_key=key) as client:
        asset = client.assets.from_file(photo)
        graph = file_graph(asset)
        job = client.submit(client.workflows.from_json(graph))
        seen = list(job.events())
        assert isinstance(seen[-1], sdk_events.StatusChange)
        assert seen[-1].status == "succeeded"
        assert asset.created_new is True
        (ready,) = [event for event in seen if isinstance(event, sdk_events.OutputReady)]
        job.wait(timeout=20)
        (output,) = job.outputs
        assert (output.id, output.type, output.job_id) == (ready.output.id, "image", job.id)
        assert output.to_bytes(range=(0, 7)) == b"\x89PNG\r\n\x1a\n"
        assert output.get_download_url().url.endswith(f"/assets/{output.id}/content")
        out = output.to_file(folder / "out.png")
        assert job.get_workflow().format == "api"
        # The same bytes again: found by their hash, nothing is sent.
        again = client.assets.from_file(photo)
        again.commit()
        assert (again.id, again.created_new) == (asset.id, False)
        second = client.run(client.workflows.from_json(image_graph()), timeout=20)
        assert [summary.id for summary in client.list_jobs(limit=1)] == [second.id, job.id]
        assert client.jobs.get(job.id).status == "succeeded"
        again.delete()
        with pytest.raises(sdk_errors.NotFound):
            client.assets.get(asset.id or "")
        return out


async def test_async_client(key: str, sim: Simulator) -> None:
    async with comfy_sdk.AsyncComfy(api_key=key) as client:
        asset = client.assets.from_bytes(png(), filename="photo.png", content_type="image/png")
        workflow = client.workflows.from_json(file_graph(asset))
        job = await client.submit(workflow, api_key="partner-key")
        statuses = [e.status async for e in job.events() if isinstance(e, sdk_events.StatusChange)]
        assert statuses[0] == "queued"
        assert statuses[-2:] == ["running", "succeeded"]
        await job.result()
        (output,) = job.outputs
        assert Image.open(BytesIO(await output.to_bytes())).size == (16, 16)
        assert (await job.get_workflow()).graph["1"]["inputs"]["image"]["info"]["id"] == asset.id
        assert [summary.id async for summary in client.list_jobs()] == [job.id]
        (sent,) = [seen.json for seen in sim.requests if (seen.method, seen.path) == ("POST", "/prompt")]
        assert sent["extra_data"]["api_key_comfy_org"] == "partner-key"


async def test_async_client_cancels(key: str, sim: Simulator) -> None:
    sim.hold()
    async with comfy_sdk.AsyncComfy(api_key=key) as client:
        running = await client.submit(client.workflows.from_json(image_graph()))
        async for event in running.events():
            if isinstance(event, sdk_events.StatusChange) and event.status == "running":
                break
        waiting = await client.submit(client.workflows.from_json(image_graph()))
        await waiting.cancel()
        assert waiting.status == "canceled"
        await running.cancel()
        statuses = [e.status async for e in running.events() if isinstance(e, sdk_events.StatusChange)]
        assert statuses[-1] == "canceled"
        with pytest.raises(sdk_errors.JobFailed):
            await running.result()


async def test_refusals_reach_the_client_as_its_own_errors(key: str, house: Gateway, sim: Simulator) -> None:
    async with comfy_sdk.AsyncComfy(api_key="cgk_wrong") as stranger:
        with pytest.raises(sdk_errors.Unauthorized):
            await stranger.submit(stranger.workflows.from_json(image_graph()))
    async with comfy_sdk.AsyncComfy(api_key=key) as client:
        with pytest.raises(sdk_errors.InvalidWorkflow, match="NoSuchNode"):
            await client.submit(client.workflows.from_json({"1": {"class_type": "NoSuchNode", "inputs": {}}}))
        with pytest.raises(sdk_errors.MissingAsset):
            await client.submit(client.workflows.from_json(file_graph("nowhere.png")))
        workflow = client.workflows.from_json(image_graph())
        await client.submit(workflow, idempotency_key="once")
        with pytest.raises(sdk_errors.ComfyError) as refused:
            await client.submit(workflow, idempotency_key="once")
        assert refused.value.code == "idempotency_key_reuse"
        with pytest.raises(sdk_errors.ComfyError, match="metadata"):
            await client.submit(workflow, metadata={"client": "acme"})
    poor = await house.add_account("poor", credits=0)
    async with comfy_sdk.AsyncComfy(api_key=poor) as client:
        with pytest.raises(sdk_errors.InsufficientCredits):
            await client.submit(client.workflows.from_json(image_graph()))
