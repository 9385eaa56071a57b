"""Every template that ComfyUI ships is in the editor's format, and is answered with the way out."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest

from comfygate.gate.catalogue import Unusable, load_graph

TEMPLATES = Path(str(resources.files("comfyui_workflow_templates_json"))) / "templates"


def is_workflow(path: Path) -> bool:
    """Whether the file holds a workflow; beside them lie indexes of the collection."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    return isinstance(raw, dict) and isinstance(raw.get("nodes"), list)


def test_every_template_is_recognised() -> None:
    paths = sorted(TEMPLATES.glob("*.json"))
    workflows = [path for path in paths if is_workflow(path)]
    assert len(workflows) > 300
    for path in paths:
        with pytest.raises(Unusable) as refused:
            load_graph(path, nodes_max=1_000_000, unwrap=True)
        wanted = "workflow_format_ui" if path in workflows else "invalid_workflow"
        assert refused.value.code == wanted, path.name
        if path in workflows:
            assert "Workflow > Export (API)" in str(refused.value)
