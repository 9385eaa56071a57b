"""The repository keeps the house's rules, and each rule is shown to fail on what it forbids."""

import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.tidy import rules

ROOT = Path(__file__).parents[2]


def repository() -> dict[str, str]:
    """Read every text file that is tracked or would be, had it been added."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout
    files: dict[str, str] = {}
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in (data := path.read_bytes()):
            files[name] = data.decode(errors="replace")
    return files


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return repository()


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_the_repository_keeps_the_rule(rule: rules.Rule, files: dict[str, str]) -> None:
    found = [finding for path, text in files.items() for finding in rule(path, text)]
    assert not found, "\n" + "\n".join(map(str, found))


def test_no_module_is_dead(files: dict[str, str]) -> None:
    found = list(rules.dead_modules(files))
    assert not found, "\n" + "\n".join(map(str, found))


def test_every_dependency_is_pinned(files: dict[str, str]) -> None:
    project = tomllib.loads(files["pyproject.toml"])["project"]
    extras = project["optional-dependencies"]
    wanted = {
        "run": project["dependencies"],
        "traces": project["dependencies"] + extras["traces"],
        "test": project["dependencies"]
        + [name for name in extras["test"] if "[" not in name]
        + extras["traces"],
        "dev": project["dependencies"] + [name for name in extras["dev"] if "[" not in name],
    }
    locks = {name: files[f"requirements/{name}.txt"] for name in wanted}
    found = list(rules.unlocked_dependencies(wanted, locks))
    assert not found, "\n" + "\n".join(map(str, found))


@pytest.mark.parametrize(
    ("rule", "path", "text", "line"),
    [
        (rules.file_is_short, "src/a.py", "x = 1\n" * 401, 401),
        (rules.readme_is_short, "README.md", "x\n" * 151, 151),
        (rules.functions_are_short, "src/a.py", "\ndef f():\n" + "    x = 1\n" * 70, 2),
        (rules.no_download_address, "a.txt", "pip install --index-" + "url x", 1),
        (rules.no_download_address, "a.md", "\nsee https://files" + ".python" + "hosted.org/x", 2),
        (rules.no_download_address, "a.md", "https://example.org/a-1.0.tar" + ".gz", 1),
        (rules.nothing_unfinished, "a.md", "TO" + "DO: more", 1),
        (rules.nothing_unfinished, "src/a.py", "x = 1  # FIX" + "ME", 1),
        (rules.nothing_unfinished, "src/comfygate/web/pages/ops/a.js", "// TO" + "DO", 1),
        (rules.no_swallowed_error, "src/a.py", "try:\n    x = 1\nexcept:\n    raise\n", 3),
        (rules.no_swallowed_error, "src/a.py", "try:\n    x = 1\nexcept OSError:\n    pass\n", 3),
        (rules.no_swallowed_error, "src/a.py", "try:\n    x = 1\nexcept OSError:\n    ...\n", 3),
        (rules.no_swallowed_error, "src/a.py", "with contextlib.suppress(Exception):\n    f()\n", 1),
        (rules.no_sleep_in_tests, "tests/a.py", "import time\ntime.sleep(1)", 2),
        (rules.no_sleep_in_tests, "tests/a.py", "async def f():\n    await asyncio.sleep(0)", 2),
        (rules.no_sleep_in_tests, "tests/a.py", "from time import sleep", 1),
        (rules.names_say_what, "src/comfygate/utils.py", "", 1),
        (rules.names_say_what, "src/comfygate/helpers/x.py", "", 1),
        (rules.names_say_what, "src/a.py", "class QueueManager: ...", 1),
        (rules.domain_is_pure, "src/comfygate/domain/a.py", "import json\nimport sqlalchemy", 2),
        (rules.domain_is_pure, "src/comfygate/domain/a.py", "from comfygate.store import x", 1),
        (rules.pins_have_hashes, "requirements/run.txt", "blake3==1.0\n", 1),
        (rules.pins_have_hashes, "requirements/run.txt", "blake3>=1.0 \\\n    --hash=sha256:ab\n", 1),
    ],
)
def test_each_rule_fails_on_what_it_forbids(rule: rules.Rule, path: str, text: str, line: int) -> None:
    found = list(rule(path, text))
    assert [finding.line for finding in found] == [line]
    assert str(found[0]).startswith(f"{path}:{line}: ")


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (rules.file_is_short, "src/a.py", "x = 1\n" * 400),
        (rules.functions_are_short, "src/a.py", "def f():\n" + "    x = 1\n" * 69),
        (
            rules.no_download_address,
            "a.md",
            "comfy-sdk from PyPI, https://example.org --no-emit-index-url",
        ),
        (rules.nothing_unfinished, "src/a.py", 'placeholder = "xxx"'),
        (rules.nothing_unfinished, "src/comfygate/web/pages/vendor/a.js", "// TO" + "DO: theirs"),
        (rules.no_swallowed_error, "src/a.py", "with suppress(KeyError):\n    f()\n"),
        (rules.no_sleep_in_tests, "src/comfygate/a.py", "await_ = asyncio.sleep(1)"),
        (rules.domain_is_pure, "src/comfygate/domain/a.py", "from comfygate.domain.job import x"),
        (
            rules.pins_have_hashes,
            "requirements/run.txt",
            "a==1 ; x \\\n    --hash=sha256:ab\n",
        ),
    ],
)
def test_no_rule_fails_on_what_is_allowed(rule: rules.Rule, path: str, text: str) -> None:
    assert list(rule(path, text)) == []


def test_a_dead_module_is_found_and_a_used_one_is_not() -> None:
    files = {
        "src/comfygate/__init__.py": "",
        "src/comfygate/app.py": "from comfygate.gate import live\nimport comfygate.gate.other",
        "src/comfygate/gate/__init__.py": "",
        "src/comfygate/gate/live.py": "from comfygate.gate.deep import name",
        "src/comfygate/gate/deep.py": "",
        "src/comfygate/gate/other.py": "",
        "src/comfygate/gate/dead.py": "from comfygate.gate.dead import itself",
        "src/comfygate/store/migrations/env.py": "",
        "tests/test_dead.py": "import comfygate.gate.dead",
    }
    assert [finding.path for finding in rules.dead_modules(files)] == ["src/comfygate/gate/dead.py"]


def test_a_dependency_without_a_pin_is_found() -> None:
    found = list(
        rules.unlocked_dependencies({"run": ["SQLAlchemy>=2", "new_one"]}, {"run": "sqlalchemy==2.1 \\\n"})
    )
    assert [finding.message for finding in found] == ["new_one is not pinned; run make lock"]
