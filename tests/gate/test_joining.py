"""Two accounts become one: all of it, once, and the books stay right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comfygate.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, RateLimited
from comfygate.gate import joining, views
from comfygate.simulator import Simulator
from tests.promises.rig import gateway, picture, plain_graph, settings_for


async def test_credits_jobs_keys_and_files_go_over(
    tmp_path: Path, database_url: str, simulator: Simulator
) -> None:
    async with gateway(settings_for(tmp_path / "gate", database_url)) as house:
        await house.add_server("one", simulator.url, "image", "video")
        ctx = house.house.service.ctx
        ann = await house.add_account("ann", credits=10)
        old = await house.add_account("old", tier="black_gold", credits=7)
        job = await old.submit(plain_graph())
        done = await old.end(job)
        asset = await old.upload(picture())
        made = await ann.call("POST", "/gate/v1/account/link-codes", status=201)
        linked = await old.call("POST", "/gate/v1/account/link", json={"code": made["code"].lower()})
        assert linked["moved"] == 6
        assert (linked["account"]["id"], linked["account"]["available"]) == (ann.id, 16)
        assert linked["account"]["tier"] == "black_gold"
        # The key of the one that went opens the one that stayed.
        assert (await old.call("GET", "/gate/v1/account"))["id"] == ann.id
        assert (await ann.job(job))["status"] == "succeeded"
        assert len(await ann.content(done["outputs"][0])) > 0
        await ann.call("GET", f"/api/v2/assets/{asset['id']}")
        kinds = [one["kind"] for one in (await ann.call("GET", "/gate/v1/entries"))["entries"]]
        assert kinds == ["merge_in", "grant"]
        await house.audit()
        # What was joined is closed, and its code was good once.
        await old.call("POST", "/gate/v1/account/link", status=404, json={"code": made["code"]})
        with pytest.raises(NotFound):
            await views.get_job(ctx, job, old.id)
        found = await house.operate("accounts.list")
        (closed,) = [one for one in found["accounts"] if one["name"] == "old"]
        assert (closed["available"], closed["disabled_at_ms"] is not None) == (0, True)
        again = await house.add_account("third", credits=1)
        code = (await again.call("POST", "/gate/v1/account/link-codes", status=201))["code"]
        await ann.call("POST", "/gate/v1/account/link", json={"code": code})
        assert (await old.call("GET", "/gate/v1/account"))["id"] == again.id
        assert (await again.job(job))["status"] == "succeeded"
        await house.audit()


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    async with Simulator(base_dir=tmp_path / "comfy") as started:
        yield started


async def test_what_cannot_be_joined_changes_nothing(
    tmp_path: Path, database_url: str, simulator: Simulator
) -> None:
    async with gateway(settings_for(tmp_path / "gate", database_url)) as house:
        ctx = house.house.service.ctx
        ann = await house.add_account("ann", credits=10)
        bob = await house.add_account("bob", credits=10)
        made = await joining.link_code(ctx, ann.id)
        with pytest.raises(InvalidRequest):
            await joining.join(ctx, ann.id, made.code)
        # Refused, so not used up; then a job that has not ended.
        job = await bob.submit(plain_graph())
        with pytest.raises(Conflict, match="1 jobs that have not ended"):
            await joining.join(ctx, bob.id, made.code)
        await bob.call("POST", f"/api/v2/jobs/{job}/cancel")
        newer = await joining.link_code(ctx, ann.id)
        with pytest.raises(NotFound):
            await joining.join(ctx, bob.id, made.code)
        eve = await house.add_account("eve", credits=10)
        await joining.join(ctx, bob.id, newer.code)
        with pytest.raises(Forbidden):
            await joining.join(ctx, bob.id, (await joining.link_code(ctx, eve.id)).code)
        tries = [joining.join(ctx, eve.id, "AAAA") for _ in range(9)]
        refused = {type(one) for one in await asyncio.gather(*tries, return_exceptions=True)}
        assert refused == {NotFound, RateLimited}
        assert (await eve.credits(), await ann.credits()) == ((10, 0), (20, 0))
        await house.audit()
        assert simulator.url


async def test_who_operates_is_not_joined(tmp_path: Path, database_url: str) -> None:
    """Keys and sessions go over with an account: its code must not bring its role."""
    async with gateway(settings_for(tmp_path / "gate", database_url)) as house:
        ctx = house.house.service.ctx
        ann, bob = await house.add_account("ann"), await house.add_account("bob")
        await house.operate("accounts.role", account="ann", role="admin")
        for survivor, loser in ((ann, bob), (bob, ann)):
            code = (await joining.link_code(ctx, survivor.id)).code
            with pytest.raises(Forbidden, match="'ann' is admin"):
                await joining.join(ctx, loser.id, code)
        await house.operate("accounts.role", account="ann", role="user")
        await joining.join(ctx, bob.id, (await joining.link_code(ctx, ann.id)).code)


async def test_of_many_that_present_one_code_one_is_joined(tmp_path: Path, database_url: str) -> None:
    async with gateway(settings_for(tmp_path / "gate", database_url)) as house:
        ctx = house.house.service.ctx
        ann = await house.add_account("ann", credits=1)
        others = [await house.add_account(f"p{n}", credits=5) for n in range(12)]
        made = await joining.link_code(ctx, ann.id)
        tries = [joining.join(ctx, one.id, made.code) for one in others]
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(one, joining.Joined) for one in done) == 1
        assert sum(isinstance(one, NotFound) for one in done) == 11
        assert await ann.credits() == (6, 0)
        await house.audit()
