"""The written reference names every operation that is served, and its example of the SDK really works."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.house import Client, Gateway, file_graph, png

PAGE = (Path(__file__).parents[2] / "docs/reference/http.md").read_text(encoding="utf-8")


def served(gateway: Gateway) -> Iterator[str]:
    """Every operation as the reference writes it."""
    document = gateway.http._server.config.app.openapi()  # type: ignore[union-attr]
    for path, item in document["paths"].items():
        yield from (f"`{method.upper()} {path}`" for method in item)


@pytest.mark.parametrize("changes", [{"admin_key": "k" * 32}])
def test_every_operation_is_described(house: Gateway) -> None:
    known = set(served(house))
    assert [operation for operation in sorted(known) if operation not in PAGE] == []
    assert set(re.findall(r"^\| (`[A-Z]+ /\S+`)", PAGE, re.MULTILINE)) == known


async def test_the_example_with_the_sdk_runs(
    lite: Gateway, ann: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    code = code.replace("http://127.0.0.1:8190", lite.url).replace("cgk_...", lite.keys["ann"])
    await asyncio.to_thread(_prepare, tmp_path)
    monkeypatch.setenv("COMFY_BASE_URL", lite.url)
    monkeypatch.chdir(tmp_path)
    await asyncio.to_thread(exec, code, {})
    (job,) = (await ann.http.get("/api/v2/jobs")).json()["jobs"]
    made = tmp_path / job["outputs"][0]["name"]
    assert await asyncio.to_thread(made.read_bytes) == await ann.download(job["outputs"][0])


def _prepare(folder: Path) -> None:
    import json

    (folder / "graph.json").write_text(json.dumps(file_graph("photo.png")), encoding="utf-8")
    (folder / "photo.png").write_bytes(png())
