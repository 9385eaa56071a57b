"""Reviews and suspicions from the command line, without a running service."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from comfygate.app import opened
from comfygate.domain.blame import Blame
from comfygate.domain.job import Failed, JobError
from comfygate.domain.screening import Finding, Suspicion
from comfygate.gate.context import Context
from comfygate.gate.submit import Submission, submit
from comfygate.settings import load_settings
from comfygate.store import attempts, settle
from comfygate.store.attempts import Slot
from comfygate.store.engine import Connection
from comfygate.store.rows import BlobRow, JobScore, NewOutput, Screening
from tests.assets.drawn import encoded, landscape
from tests.cli.conftest import Invoke

GRAPH = {"1": {"class_type": "SaveImage", "inputs": {}}}


async def _held(account: str, folder: Path) -> str:
    """A job of the account whose result is held; its id."""
    async with opened(load_settings()) as ctx:
        view = await submit(ctx, Submission(account, GRAPH))
        kept = await ctx.blobs.write("results", _drawn(folder), bytes_max=10**7)
        blob = BlobRow(kept.hash, kept.key, kept.size_bytes)
        output = NewOutput(ctx.new_id(), blob, "1", "a.png", "image", "image/png")
        await ctx.store.run(_hold, ctx, output)
        return view.job.id


async def _drawn(folder: Path):  # type: ignore[no-untyped-def]  # chunks
    yield encoded(landscape(folder), "PNG")


def _hold(conn: Connection, ctx: Context, output: NewOutput) -> None:
    attempt = attempts.claim(
        conn, Slot("gpu", 0, ("image",)), owner="me", prompt_id="p", lease_ms=60_000, now_ms=ctx.now_ms()
    )
    assert attempt is not None
    score = JobScore(0, "a.png", "image/png", output.blob.hash, 0.91, Finding.EXPLICIT)
    settle.settle(
        conn,
        attempt.fence,
        Failed(JobError("held_for_review", "Held."), "screened", Blame.POLICY),
        attempts_max=3,
        results_seconds=600,
        now_ms=ctx.now_ms(),
        screening=Screening((score,), Suspicion.OUTPUT, (output,), suspicions_max=1),
    )


@pytest.fixture
def held(invoke: Invoke, base: Path, tmp_path: Path) -> str:
    made = invoke("accounts", "add", "ann", "--credits", "5", "--json").json()
    return asyncio.run(_held(made["id"], tmp_path))


def test_a_held_result_is_listed_shown_and_released(held: str, invoke: Invoke) -> None:
    (listed,) = invoke("review", "list", "--json").json()["reviews"]
    assert (listed["job_id"], listed["state"]) == (held, "waiting")
    assert held in invoke("review", "list").out
    shown = invoke("review", "show", held, "--json").json()
    assert Path(shown["outputs"][0]["file"]).is_file()
    assert "score 0.910" in invoke("review", "show", held).out
    assert invoke("jobs", "show", held, "--json").json()["screening"][0]["finding"] == "explicit"
    assert "screened a.png: explicit (0.910)" in invoke("jobs", "show", held).out
    assert "are its account's now" in invoke("review", "release", held).out
    again = invoke("review", "reject", held, "--json")
    assert (again.code, again.error()["code"]) == (4, "conflict")
    assert invoke("review", "list", "--json").json()["reviews"] == []
    assert invoke("review", "list", "--state", "all", "--json").json()["reviews"][0]["state"] == "released"
    rows = invoke("audit", "list", "--json").json()["audit"]
    assert [row["operation"] for row in rows[:2]] == ["review.reject", "review.release"]


def test_suspicions_are_shown_and_forgiven(held: str, invoke: Invoke) -> None:
    (account,) = invoke("accounts", "list", "--json").json()["accounts"]
    assert account["suspicions"] == 1
    assert account["disabled_at_ms"] is not None
    assert "disabled since" in invoke("review", "suspicions", "ann").out
    assert "thrown away" in invoke("review", "reject", held).out
    assert "Forgiven: 1." in invoke("review", "forgive", "ann").out
    (account,) = invoke("accounts", "list", "--json").json()["accounts"]
    assert (account["suspicions"], account["disabled_at_ms"]) == (0, None)


def test_what_cannot_be_is_refused_by_name(invoke: Invoke) -> None:
    assert invoke("review", "show", "unknown").code == 5
    assert invoke("review", "forgive", "unknown").code == 5
    refused = invoke("review", "list", "--state", "lost", "--json")
    assert (refused.code, refused.error()["code"]) == (4, "invalid_request")
    assert "waiting, released, rejected, expired" in refused.error()["message"]
