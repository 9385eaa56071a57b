"""`comfygate simulate` as a process: its faults, its control routes, its journal after kill -9."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from uuid import uuid4

import aiohttp

from comfygate.simulator import KINDS
from tests.cli.conftest import Invoke
from tests.cli.rig import fresh_running
from tests.simulator.support import Client, invert_graph

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "simulator.md"


def test_every_fault_is_in_the_help_and_on_the_page(invoke: Invoke) -> None:
    helped = "".join(invoke("simulate", "--help").out.split())
    page = PAGE.read_text(encoding="utf-8")
    for name in KINDS:
        assert name in helped
        assert f"| `{name}` |" in page


def test_an_unknown_fault_is_refused_with_the_names(invoke: Invoke) -> None:
    ended = invoke("simulate", "--port", "0", "--fault", "gremlins")
    assert ended.code != 0
    for name in KINDS:
        assert name in ended.err


def test_a_journal_that_cannot_be_written_is_named(invoke: Invoke, tmp_path: Path) -> None:
    ended = invoke("simulate", "--port", "0", "--journal", str(tmp_path / "nowhere" / "j"))
    assert ended.code != 0
    assert "--journal" in ended.err


async def test_faults_and_journal_of_a_process_that_is_killed(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    arguments = ("simulate", "--port", "0", "--speed", "0", "--json", "--journal", str(journal))
    fault = ("--fault", "fail_node=SaveImage:1", "--fault-seed", "7")
    simulating = fresh_running(tmp_path, *arguments, *fault)
    async with simulating as simulator, aiohttp.ClientSession() as http:
        client = Client(http, simulator.url)
        prompt_id = str(uuid4())
        async with client.listen("me") as listener:
            await client.submit(invert_graph(), prompt_id, client_id="me")
            await listener.until("execution_error", prompt_id=prompt_id)
            await listener.until("executing", node=None)
        _, state = await client.call("GET", "/simulator/state")
        assert (state["executed"], state["accepted"]) == ([prompt_id], {prompt_id: 1})
        simulator.tell(signal.SIGKILL)
        await simulator.ended()
    lines = [json.loads(line) for line in (await asyncio.to_thread(journal.read_text)).splitlines()]
    assert [line["kind"] for line in lines] == ["process-started", "received", "started", "finished"]
