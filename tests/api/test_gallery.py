"""Results of several jobs in one zip, and deleting a job with what it made."""

from __future__ import annotations

import io
import zipfile

import pytest

from comfygate.api import download
from comfygate.simulator import Simulator
from tests.api.house import Client, Gateway, file_graph, image_graph, png, reference


async def test_a_zip_holds_what_jobs_made_under_names_of_their_own(ann: Client, ben: Client) -> None:
    jobs = [await ann.run(image_graph(color=n)) for n in range(3)]
    his = await ben.run(image_graph(color=9))
    ids = [job["id"] for job in jobs]
    answer = await ann.http.get("/gate/v1/outputs.zip", params={"job": [*ids, ids[0], his["id"]]})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    names = archive.namelist()
    assert len(set(names)) == len(names) == 3
    assert all("/" not in name and name.endswith(".png") for name in names)
    made = {await ann.download(job["outputs"][0]) for job in jobs}
    assert {archive.read(name) for name in names} == made


async def test_a_zip_has_bounds(ann: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await ann.run(image_graph())
    monkeypatch.setattr(download, "BYTES_MAX", 10)
    refused = await ann.http.get("/gate/v1/outputs.zip", params={"job": job["id"]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "payload_too_large")
    many = await ann.http.get("/gate/v1/outputs.zip", params={"job": [job["id"]] * 101})
    assert (many.status_code, many.json()["error"]["details"]["field"]) == (422, "job")
    assert (await ann.http.get("/gate/v1/outputs.zip")).status_code == 422


async def test_deleting_a_job(gateway: Gateway, sim: Simulator) -> None:
    async with gateway.client(await gateway.add_account()) as ann:
        made = await ann.run(image_graph())
        sim.hold()
        taker = await ann.submit(file_graph(reference(made["outputs"][0])))
        for job_id, code in ((made["id"], "asset_in_use"), (taker["id"], "job_not_ended")):
            refused = await ann.http.delete(f"/gate/v1/jobs/{job_id}")
            assert (refused.status_code, refused.json()["error"]["code"]) == (409, code)
        sim.release()
        assert (await ann.ended(taker["id"]))["status"] == "succeeded"
        entries = await ann.entries()
        assert (await ann.http.delete(f"/gate/v1/jobs/{made['id']}")).status_code == 204
        for path in (
            f"/gate/v1/jobs/{made['id']}",
            f"/api/v2/jobs/{made['id']}",
            f"/api/v2/assets/{made['outputs'][0]['id']}",
            f"/gate/v1/outputs.zip?job={made['id']}",
        ):
            assert (await ann.http.get(path)).status_code == 404
        assert (await ann.http.delete(f"/gate/v1/jobs/{made['id']}")).status_code == 404
        listed = (await ann.http.get("/gate/v1/jobs")).json()["jobs"]
        assert [job["id"] for job in listed] == [taker["id"]]
        # What was paid stays in the books.
        assert await ann.entries() == entries


async def test_a_workflow_that_cannot_be_is_refused(ann: Client) -> None:
    assert (await ann.http.get("/gate/v1/jobs?workflow=%00")).status_code == 422


async def test_a_file_that_went_in_stays_known_until_it_is_deleted(ann: Client) -> None:
    asset = await ann.asset(png())
    job = await ann.run(file_graph(reference(asset)))
    assert (await ann.http.delete(f"/api/v2/assets/{asset['id']}")).status_code == 204
    assert (await ann.http.get(f"/gate/v1/jobs/{job['id']}")).json()["inputs"] == []
