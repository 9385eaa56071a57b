"""A job that ended without success can be run once more: as another job, paid once, and never by accident."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfygate.domain.errors import Conflict, InsufficientCredits, MissingAsset
from comfygate.simulator import Simulator
from tests.promises.rig import gateway, image_graph, picture, plain_graph, settings_for


async def test_a_retry_is_a_new_job_paid_anew_at_todays_price(
    tmp_path: Path, database_url: str, simulator: Simulator
) -> None:
    settings = settings_for(tmp_path / "gate", database_url)
    async with gateway(settings) as house:
        ann = await house.add_account("ann", credits=1)
        first = await ann.submit(plain_graph())
        with pytest.raises(Conflict):
            await house.operate("jobs.retry", job=first)
        await house.operate("jobs.cancel", job=first)
    dearer = settings_for(tmp_path / "gate", database_url, lanes={"image": {"price": 3}})
    async with gateway(dearer) as house:
        with pytest.raises(InsufficientCredits):
            await house.operate("jobs.retry", job=first)
        await house.operate("credits.grant", account="ann", amount=9, reason="a gift")
        copy = await house.operate("jobs.retry", job=first)
        assert (copy["retry_of"], copy["price"], copy["status"]) == (first, 3, "queued")
        with pytest.raises(Conflict, match=copy["id"]):
            await house.operate("jobs.retry", job=first)
        await house.add_server("one", simulator.url, "image")
        ann.url, ann.session = house.house.url, house.session
        assert (await ann.end(copy["id"]))["status"] == "succeeded"
        assert await ann.entries(first) == ["hold", "release"]
        assert await ann.entries(copy["id"]) == ["hold", "capture"]
        assert await ann.credits() == (7, 0)
        assert (await house.operate("jobs.show", job=copy["id"]))["retry_of"] == first
        assert len(simulator.executed) == 1
        await house.audit()


async def test_a_retry_needs_the_inputs_to_be_there_still(tmp_path: Path, database_url: str) -> None:
    async with gateway(settings_for(tmp_path / "gate", database_url)) as house:
        ann = await house.add_account("ann", credits=5)
        asset = await ann.upload(picture())
        job = await ann.submit(image_graph())
        await house.operate("jobs.cancel", job=job)
        async with ann.session.delete(f"{ann.url}/api/v2/assets/{asset['id']}", headers=ann.headers) as gone:
            assert gone.status == 204
        with pytest.raises(MissingAsset):
            await house.operate("jobs.retry", job=job)
        assert await ann.credits() == (5, 0)
        rows = (await house.operate("audit.list"))["audit"]
        assert rows[0]["result"].startswith("missing_asset: ")
