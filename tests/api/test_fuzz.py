"""Schemathesis reads our own OpenAPI document and sends what it allows and what it does not: nothing breaks.

Every failure prints the request that caused it. Examples come from a fixed seed; set FUZZ_SEED for another,
FUZZ_EXAMPLES for more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis

# Else it is parsed at the first use, deep in a thread: there the parser of 3.11 may give up.
import schemathesis.specs.openapi.schemas
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import booleans
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from comfygate.gate import operate
from tests.api.house import Gateway, image_graph, png

SEED = int(os.environ.get("FUZZ_SEED", "20250701"))
EXAMPLES_MAX = int(os.environ.get("FUZZ_EXAMPLES", "6"))
"""Of each operation, allowed and forbidden each; `make fuzz` sends more."""
ENDLESS = {"getJobEvents", "getAccountEvents", "opsStream"}
ELSEWHERE = {"opsServersAdd", "opsTryServer"}
"""These have the gateway send requests to whatever address they are given: tests of their own try them."""
OPERATIONS = "/gate/v1/ops"


@pytest.fixture
async def ids(gateway: Gateway) -> dict[str, str]:
    """A finished job and an upload, so that some requests find something."""
    await gateway.add_account("ada")
    await operate.perform(gateway.ctx, "accounts.role", {"account": "ada", "role": "admin"})
    async with gateway.client(await gateway.add_account(credits=10_000)) as ann:
        job = await ann.run(image_graph())
        return {"job": job["id"], "asset": (await ann.asset(png()))["id"]}


def operations(url: str) -> Iterator[Any]:
    """Every operation that our document describes, but for streams that end with a job only."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.definition.raw.get("operationId") not in ENDLESS | ELSEWHERE:
            yield operation


def attack(operation: Any, mode: GenerationMode, url: str, key: str, ids: dict[str, str]) -> set[int]:
    """Send examples of one operation and check every answer; the statuses that came."""
    statuses: set[int] = set()

    @seed(SEED)
    @hypothesis_settings(
        max_examples=EXAMPLES_MAX,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), known=booleans())
    def send(case: Any, known: bool) -> None:
        if known and "id" in (case.path_parameters or {}):
            case.path_parameters["id"] = ids["job" if "/jobs/" in operation.path else "asset"]
        answer = case.call_and_validate(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            checks=[not_a_server_error, status_code_conformance, response_schema_conformance],
            timeout=20,
        )
        statuses.add(answer.status_code)

    # An operation without parameters and body has nothing that could be wrong.
    with contextlib.suppress(Unsatisfiable):
        send()
    return statuses


async def test_nothing_that_the_document_allows_or_forbids_breaks_us(
    gateway: Gateway, ids: dict[str, str]
) -> None:
    print(f"FUZZ_SEED={SEED}")  # noqa: T201 - shown with a failure, to replay it
    found = await asyncio.to_thread(lambda: list(operations(gateway.url)))
    assert len(found) >= 15
    # Deleting comes last, so that the others have something to find.
    found.sort(key=lambda operation: operation.method == "delete")
    seen: set[int] = set()
    for operation in found:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            who = "ada" if operation.path.startswith(OPERATIONS) else "ann"
            how = (operation, mode, gateway.url, gateway.keys[who], ids)
            came = await asyncio.to_thread(attack, *how)
            print(operation.label, mode.value, sorted(came))  # noqa: T201 - see above
            seen |= came
    assert {200, 201, 204, 401, 404, 422} <= seen
