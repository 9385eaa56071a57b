"""What an operator gets wrong is named, with the way out, and changes nothing."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from comfygate.app import opened
from comfygate.domain.errors import InvalidRequest
from comfygate.gate import operate
from comfygate.gate.context import Context
from comfygate.settings import load_settings

GOOD: dict[str, Any] = {"name": "gpu1", "url": "http://127.0.0.1:8188", "lanes": ["image"]}


@pytest.fixture
async def ctx(tmp_path: Path) -> AsyncIterator[Context]:
    async with opened(load_settings(base_dir=tmp_path, environ={})) as context:
        yield context


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "ftp://gpu1"),
        ("url", "http://user:pass@gpu1"),
        ("url", "http://gpu1?x=1"),
        ("name", "GPU 1"),
        ("lanes", []),
        ("lanes", ["image", "audio"]),
        ("slots", 0),
        ("slots", 65),
    ],
)
async def test_a_server_that_cannot_be_is_refused_by_field(ctx: Context, field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await operate.servers_add(ctx, **{**GOOD, field: value})
    assert refusal.value.details == {"field": field}
    assert "pass@" not in refusal.value.message
    assert (await operate.perform(ctx, "servers.list", {}))["servers"] == []
