"""`comfygate workflows` and `comfygate order`, as people use them."""

from __future__ import annotations

import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Invoke
from tests.cli.rig import command

SAMPLES = Path(__file__).parents[2] / "workflows"
CLIP = resources.files("comfygate.cli").joinpath("samples", "clip.json")
STYLES = {
    "restyle": {"soft": 0, "glow": 1, "drama": 2, "crisp": 2, "negative": 1},
    "upscale": {"upscale": 1},
    "camera": {"zoom-in": 3, "zoom-out": 3, "pan-right": 3, "pan-left": 3, "tilt-up": 4, "orbit": 6},
}


def test_every_sample_passes_the_check(invoke: Invoke) -> None:
    folders = sorted(str(path) for path in SAMPLES.iterdir())
    done = invoke("workflows", "check", *folders)
    assert done.code == 0, done.out
    assert f"{len(folders)} of {len(folders)} workflows can be used." in done.out


@pytest.mark.parametrize("workflow", STYLES)
async def test_every_sample_without_a_model_runs_in_every_style_at_its_price(
    tmp_path: Path, workflow: str
) -> None:
    done = (await command(tmp_path, "demo", "--workflow", workflow, "--out", "made", "--json")).json()
    assert {job["name"]: job["price"] for job in done["jobs"]} == STYLES[workflow]
    spent = done["available_before"] - done["ledger"]["available"]
    assert spent == sum(STYLES[workflow].values())
    assert done["audit"]["balanced"]
    contents = [(tmp_path / path).read_bytes() for path in done["outputs"]]
    assert len(set(contents)) == len(STYLES[workflow])


def test_a_bad_workflow_is_told_by_file_key_and_reason(invoke: Invoke, base: Path) -> None:
    folder = base / "workflows" / "mine"
    folder.mkdir(parents=True)
    (folder / "workflow.toml").write_text('title = "x"\nlane = "imag"\nprice = 1\n', encoding="utf-8")
    done = invoke("workflows", "check", "--json")
    assert done.code == 9
    (fault,) = json.loads(done.out)["faults"]
    assert fault == {"file": str(folder / "workflow.toml"), "key": "description", "reason": "is missing"}
    listed = invoke("workflows", "list")
    assert "Refused: mine" in listed.out
    assert "description: is missing" in listed.out


def test_list_and_show(invoke: Invoke, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Draft one" in invoke("workflows", "list").out
    monkeypatch.setenv("COMFYGATE_WORKFLOWS_DIR", str(SAMPLES))
    listed = invoke("workflows", "list")
    assert "soft free" in " ".join(listed.out.split())
    shown = invoke("workflows", "show", "restyle", "--json")
    assert json.loads(shown.out)["sets"]["strength"] == ["3.blend_factor"]
    assert "3.blend_factor" in invoke("workflows", "show", "restyle").out
    missing = invoke("workflows", "show", "restyl")
    assert missing.code == 5
    assert "did you mean 'restyle'" in missing.err


def test_import_drafts_a_workflow_that_the_check_accepts(invoke: Invoke, base: Path, tmp_path: Path) -> None:
    source = tmp_path / "My Clip.json"
    source.write_text(json.dumps({"prompt": json.loads(CLIP.read_text(encoding="utf-8"))}), encoding="utf-8")
    done = invoke("workflows", "import", str(source))
    assert done.code == 0, done.err
    folder = base / "workflows" / "my-clip"
    manifest = tomllib.loads((folder / "workflow.toml").read_text(encoding="utf-8"))
    assert (manifest["lane"], manifest["price"]) == ("video", 5)
    assert list(manifest["inputs"]) == ["picture"]
    assert "2.upscale_method (ImageScaleBy) stays 'lanczos'" in done.out
    assert invoke("workflows", "check").code == 0
    again = invoke("workflows", "import", str(source))
    assert (again.code, "there already" in again.err) == (4, True)


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        ({"nodes": [], "links": []}, "workflow_format_ui", "Export (API)"),
        ({"nodes": [], "version": 1, "last_node_id": 4}, "workflow_format_ui", "Export (API)"),
        ({"1": {"inputs": {}}}, "invalid_workflow", "missing_class_type"),
        ([], "invalid_workflow", "must be an object"),
        ("{", "invalid_workflow", "is not JSON"),
    ],
)
def test_what_cannot_be_imported_says_the_way_out(
    invoke: Invoke, tmp_path: Path, content: Any, code: str, says: str
) -> None:
    source = tmp_path / "graph.json"
    source.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    done = invoke("workflows", "import", str(source), "--json")
    error = json.loads(done.err)["error"]
    assert error["code"] == code
    assert says in error["message"]
    assert not (tmp_path / "base" / "workflows").exists()


def test_a_name_that_cannot_be_one_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("workflows", "import", str(tmp_path / "x.json"), "--name", "../x")
    assert done.code == 2
    assert "--name '../x'" in done.err
