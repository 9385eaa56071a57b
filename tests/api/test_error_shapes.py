"""Every error has the envelope, the framework's own too; nothing internal leaks; every answer has an id."""

import re
from typing import Any

import httpx
import pytest
import structlog
from comfy_low.models import ErrorEnvelope
from structlog.testing import capture_logs

from comfygate.api.errors import STATUS
from comfygate.domain.errors import GateError, LedgerViolation, ServerTrouble, SettingsError
from comfygate.gate import views
from tests.api.house import Client, Gateway, image_graph, png, running_gateway, settings_for


def kinds(base: type[GateError] = GateError) -> set[type[GateError]]:
    """Every error class there is."""
    return {base}.union(*(kinds(child) for child in base.__subclasses__()))


def test_every_code_has_a_status() -> None:
    assert {kind.code for kind in kinds()} == STATUS.keys()


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allow"),
    [
        ("GET", "/", 404, "not_found", None),
        ("GET", "/api/v2/nothing", 404, "not_found", None),
        ("GET", "/api/v2/jobs/", 404, "not_found", None),
        ("PUT", "/api/v2/jobs", 405, "method_not_allowed", "GET, HEAD, OPTIONS, POST"),
        ("PATCH", "/api/v2/assets/x", 405, "method_not_allowed", "DELETE, GET, HEAD, OPTIONS"),
        ("GET", "/api/v2/assets/by-hash/x", 405, "method_not_allowed", "HEAD, OPTIONS"),
        ("GET", "/api/v2/jobs?limit=x", 422, "invalid_request", None),
        ("GET", "/api/v2/jobs?limit=0", 422, "invalid_request", None),
        ("GET", "/api/v2/jobs?limit=101", 422, "invalid_request", None),
        ("GET", "/api/v2/jobs?cursor=-1", 422, "invalid_request", None),
        ("GET", "/api/v2/jobs?cursor=%00", 422, "invalid_request", None),
        ("GET", "/api/v2/jobs?cursor=99999999999999999999", 422, "invalid_request", None),
        ("GET", "/api/v2/jobs?status=cancelled", 422, "invalid_request", None),
        ("GET", "/api/v2/jobs?status=claimed", 422, "invalid_request", None),
        ("GET", "/api/v2/jobs?metadata[a]=b", 422, "invalid_request", None),
    ],
)
async def test_the_envelope(
    house: Gateway, method: str, path: str, status: int, code: str, allow: str | None
) -> None:
    async with house.client(await house.add_account()) as ann:
        answer = await ann.http.request(method, path)
        assert answer.status_code == status, answer.text
        assert ErrorEnvelope.model_validate(answer.json()).error.code == code
        assert answer.headers.get("allow") == allow
        assert answer.headers["content-type"] == "application/json"


async def test_options_says_what_works(house: Gateway) -> None:
    async with house.client() as nobody:
        answer = await nobody.http.options("/api/v2/jobs")
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("password=hunter2 at /srv/secret"),
        ServerTrouble("cannot write to /srv/secret: disk full"),
        LedgerViolation("account 7 would be overdrawn /srv/secret"),
        SettingsError("tier 'x' is not in the settings /srv/secret"),
        RecursionError("/srv/secret"),
    ],
)
async def test_our_own_failures_tell_nothing(
    house: Gateway, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise error

    async with house.client(await house.add_account()) as ann:
        monkeypatch.setattr(views, "get_job", broken)
        with capture_logs([structlog.contextvars.merge_contextvars]) as logged:
            answer = await ann.http.get("/api/v2/jobs/00000000-0000-4000-8000-000000000000")
        assert answer.status_code == 500
        body = ErrorEnvelope.model_validate(answer.json()).error
        assert body.code == "upstream_error"
        assert "secret" not in answer.text
        assert body.details == {"request_id": answer.headers["x-request-id"]}
        (event,) = [event for event in logged if event.get("request") == answer.headers["x-request-id"]]
        assert event["log_level"] == "error"
        assert event["exc_info"]


async def test_request_ids(house: Gateway) -> None:
    async with house.client() as nobody:
        first, second = [await nobody.http.get("/api/v2/health") for _ in range(2)]
        assert re.fullmatch(r"[0-9a-f]{32}", first.headers["x-request-id"])
        assert first.headers["x-request-id"] == first.headers["x-comfy-request-id"]
        assert first.headers["x-request-id"] != second.headers["x-request-id"]
        kept = await nobody.http.get("/api/v2/health", headers={"X-Request-Id": "mine-1.2_3"})
        assert kept.headers["x-request-id"] == "mine-1.2_3"
        for bad in ("x" * 65, "a b", "<script>"):
            made = await nobody.http.get("/api/v2/health", headers={"X-Request-Id": bad})
            assert re.fullmatch(r"[0-9a-f]{32}", made.headers["x-request-id"])


async def test_pages_load_nothing_from_anywhere(house: Gateway) -> None:
    async with house.client() as nobody:
        page = await nobody.http.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert not re.search(r"<script|<link|<img|src=|@import|url\(", page.text)
        document = (await nobody.http.get("/openapi.json")).json()
        for item in document["paths"].values():
            for operation in item.values():
                assert f'id="{operation["operationId"]}"' in page.text
        assert document["openapi"].startswith("3.")
        assert document["servers"] == [{"url": house.url}]


async def test_behind_a_proxy_with_a_prefix(tmp_path: Any, sqlite_url: str) -> None:
    settings = settings_for(
        tmp_path / "gate", sqlite_url, root_path="/gate", public_url="https://pictures.example.org"
    )
    async with running_gateway(settings) as house, house.client(await house.add_account()) as ann:
        job = await ann.submit(image_graph())
        assert job["urls"]["self"] == f"/gate/api/v2/jobs/{job['id']}"
        # A proxy that strips the prefix, and one that leaves it.
        for prefix in ("", "/gate"):
            assert (await ann.http.get(f"{prefix}/api/v2/jobs/{job['id']}")).status_code == 200
        asset = await ann.asset(png())
        assert asset["url"].startswith("https://pictures.example.org/gate/api/v2/assets/")
        (server,) = (await ann.http.get("/openapi.json")).json()["servers"]
        assert server == {"url": "https://pictures.example.org/gate"}
        assert (await ann.http.put("/gate/api/v2/jobs")).headers["allow"] == "GET, HEAD, OPTIONS, POST"


async def test_a_host_header_that_is_no_host(ann: Client, lite: Gateway) -> None:
    asset = await ann.asset(png())
    for host in ("evil/path", 'a"b', "a b@c", "[::1"):
        request = httpx.Request(
            "GET",
            f"{lite.url}/api/v2/assets/{asset['id']}",
            headers={"Host": host, "Authorization": f"Bearer {lite.keys['ann']}"},
        )
        answer = await ann.http.send(request)
        assert answer.json()["url"].startswith(f"{lite.url}/api/v2/assets/")
