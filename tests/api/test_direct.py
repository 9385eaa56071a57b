"""A submission is answered alike by its direct way and by its route, which odd ones take."""

import json
import re
from typing import Any

import httpx
import pytest

from tests.api.house import Gateway, image_graph

JOBS = "/api/v2/jobs"
BY_ROUTE = "odd=1"
"""A parameter that no operation knows, so the route ignores it; the direct way takes none but a lane."""
GRAPH = json.dumps({"workflow": image_graph()}).encode()
KEY = "the key"


def shown(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], Any]:
    """The answer, without what differs between any two."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", answer.text)
    text = re.sub(r'"\d{4}-\d\d-\d\dT[0-9:.]+Z"', '"THEN"', text)
    text = re.sub(r'"queue_position":\d+', '"queue_position":N', text)
    headers = [
        (name, re.sub(r"[0-9a-f-]{32,36}", "ID", value))
        for name, value in answer.headers.multi_items()
        if name not in {"date", "content-length"}
    ]
    return answer.status_code, headers, text


ASKED: list[tuple[str, bytes, list[tuple[str, str]]]] = [
    ("", GRAPH, [("Authorization", KEY)]),
    ("lane=video", GRAPH, [("Authorization", KEY)]),
    ("lane=nowhere", GRAPH, [("Authorization", KEY)]),
    ("lane=", GRAPH, [("Authorization", KEY)]),
    ("lane=a%20b", GRAPH, [("Authorization", KEY)]),
    (f"lane={'x' * 65}", GRAPH, [("Authorization", KEY)]),
    ("lane=image&lane=video", GRAPH, [("Authorization", KEY)]),
    ("", GRAPH, [("authorization", KEY.replace("the", "bearer"))]),
    ("", GRAPH, [("Authorization", KEY), ("X-Request-Id", "mine-1")]),
    ("", GRAPH, []),
    ("", GRAPH, [("Authorization", "Bearer")]),
    ("", GRAPH, [("Authorization", "Bearer nonsense")]),
    ("", GRAPH, [("Authorization", "Basic YTpi")]),
    ("", GRAPH, [("Authorization", KEY), ("Authorization", "Bearer nonsense")]),
    ("", GRAPH, [("Authorization", KEY), ("Idempotency-Key", "")]),
    ("", GRAPH, [("Authorization", KEY), ("Idempotency-Key", "x" * 256)]),
    ("", GRAPH, [("Authorization", KEY), ("Idempotency-Key", ""), ("Idempotency-Key", "a")]),
    ("", b"", [("Authorization", KEY)]),
    ("", b"[]", [("Authorization", KEY)]),
    ("", b'{"workflow": {}, "inputs": 1}', [("Authorization", KEY)]),
    ("", b'{"workflow": {"1": {"class_type": "Nope"}}}', [("Authorization", KEY)]),
    ("", b'{"workflow": {}}' + b" " * 20_000_000, [("Authorization", KEY)]),
]


@pytest.mark.parametrize("place", range(len(ASKED)))
async def test_both_ways_answer_alike(house: Gateway, place: int) -> None:
    query, body, headers = ASKED[place]
    key = await house.add_account()
    sent = [
        (name, value.replace("the key", f"Bearer {key}").replace("bearer key", f"bEARER  {key}"))
        for name, value in headers
    ]
    async with httpx.AsyncClient(base_url=house.url, timeout=20) as http:
        direct, routed = [
            await http.post(f"{JOBS}?{asked}", content=body, headers=sent)
            for asked in (query, f"{query}&{BY_ROUTE}" if query else BY_ROUTE)
        ]
    assert shown(direct) == shown(routed)
    assert direct.headers["x-request-id"]


async def test_a_revoked_key_is_refused_at_once_and_a_key_of_a_job_twice(house: Gateway) -> None:
    key = await house.add_account()
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "once"}
    async with httpx.AsyncClient(base_url=house.url, headers=headers, timeout=20) as http:
        assert (await http.post(JOBS, content=GRAPH)).status_code == 201
        for query in ("", f"?{BY_ROUTE}"):
            again = await http.post(f"{JOBS}{query}", content=GRAPH)
            assert again.json()["error"]["code"] == "idempotency_key_reuse"
