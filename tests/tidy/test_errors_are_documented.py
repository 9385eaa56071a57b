"""Every code that a caller can meet stands in docs/reference/errors.md."""

import re
from pathlib import Path

from comfygate.api.errors import STATUS
from comfygate.domain.errors import GateError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")


def codes(kind: type[GateError]) -> set[str]:
    return {kind.code}.union(*(codes(child) for child in kind.__subclasses__()))


def test_every_refusal_is_documented_with_its_status() -> None:
    undocumented = [code for code in codes(GateError) | STATUS.keys() if f"`{code}`" not in PAGE]
    assert undocumented == []
    for code, status in re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE, re.MULTILINE):
        assert STATUS[code] == int(status), code


def test_every_reason_of_a_failed_job_is_documented() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")]
    reasons = {code for text in sources for code in re.findall(r"JobError\(\s*\"(\w+)\"", text)}
    assert len(reasons) > 5
    assert [code for code in sorted(reasons) if f"`{code}`" not in PAGE] == []
