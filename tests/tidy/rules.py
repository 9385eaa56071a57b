"""The house's rules that no linter has, each a function from one file's text to what is wrong in it."""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

FILE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 70
README_LINES_MAX: Final = 150
VENDORED: Final = "src/comfygate/web/pages/vendor/"
BANNED_NAMES: Final = frozenset(
    {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"}
)
BANNED_CLASS_ENDINGS: Final = ("Manager", "Helper", "Utils")
ENTRY_MODULES: Final = frozenset({"comfygate.app", "comfygate.__main__", "comfygate.assets.screening_worker"})

# Put together from pieces, so that this file does not break the rules that it states.
_UNFINISHED: Final = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) + r")\b")
_REGISTRIES: Final = (
    "py" + "pi.org",
    "pythonhosted" + ".org",
    "registry.npm" + "js.org",
    "deb.deb" + "ian.org",
    "conda.ana" + "conda.org",
    "proxy.go" + "lang.org",
    "static.crates" + ".io",
)
_DOWNLOAD: Final = re.compile(
    "|".join(re.escape(host) for host in _REGISTRIES)
    + r"|(?<![\w-])--(?:(?:extra-)?index-url|find[-]links|trusted[-]host)\b"
    + r"|https?://\S+\.(?:whl|deb|rpm|msi|dmg|exe|zip|tgz|tar\.(?:gz|xz|bz2|zst)|safetensors|ckpt|gguf)\b"
)
_SLEEPS: Final = frozenset({"time.sleep", "asyncio.sleep", "anyio.sleep"})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to put right, printed so that an editor can jump there."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


Rule = Callable[[str, str], Iterable[Finding]]


def file_is_short(path: str, text: str) -> Iterator[Finding]:
    lines = len(text.splitlines())
    if path.endswith(".py") and lines > FILE_LINES_MAX:
        yield Finding(path, FILE_LINES_MAX + 1, f"{lines} lines; a file has at most {FILE_LINES_MAX}")


def readme_is_short(path: str, text: str) -> Iterator[Finding]:
    lines = len(text.splitlines())
    if path == "README.md" and lines > README_LINES_MAX:
        yield Finding(path, README_LINES_MAX + 1, f"{lines} lines; the README has at most {README_LINES_MAX}")


def functions_are_short(path: str, text: str) -> Iterator[Finding]:
    for node in _nodes(path, text):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                what = f"{node.name} has {lines} lines; a function has at most {FUNCTION_LINES_MAX}"
                yield Finding(path, node.lineno, what)


def no_download_address(path: str, text: str) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), 1):
        if found := _DOWNLOAD.search(line):
            yield Finding(path, number, f"a download address or index option: {found[0]}")


def nothing_unfinished(path: str, text: str) -> Iterator[Finding]:
    if path.startswith(VENDORED):
        return
    for number, line in enumerate(text.splitlines(), 1):
        if found := _UNFINISHED.search(line):
            yield Finding(path, number, f"{found[0]} marks something unfinished; finish it or file an issue")


def no_swallowed_error(path: str, text: str) -> Iterator[Finding]:
    for node in _nodes(path, text):
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                yield Finding(path, node.lineno, "a bare except; name the errors")
            elif all(_does_nothing(statement) for statement in node.body):
                what = "an error is swallowed; handle it, or contextlib.suppress the one expected"
                yield Finding(path, node.lineno, what)
        elif isinstance(node, ast.Call) and _called(node).endswith("suppress"):
            broad = {ast.unparse(argument) for argument in node.args} & {"Exception", "BaseException"}
            if broad:
                yield Finding(path, node.lineno, f"suppress({broad.pop()}) swallows every error; name one")


def no_sleep_in_tests(path: str, text: str) -> Iterator[Finding]:
    if not path.startswith("tests/"):
        return
    message = "a test waits on a signal with a timeout, it never sleeps"
    for node in _nodes(path, text):
        if isinstance(node, ast.Call) and _called(node) in _SLEEPS:
            yield Finding(path, node.lineno, message)
        elif _imported(node, with_members=True) & _SLEEPS:
            yield Finding(path, _line(node), message)


def names_say_what(path: str, text: str) -> Iterator[Finding]:
    for part in PurePosixPath(path).parts:
        if path.endswith(".py") and part.removesuffix(".py") in BANNED_NAMES:
            yield Finding(path, 1, f"{part} says nothing; name a file by what it does")
    for node in _nodes(path, text):
        if isinstance(node, ast.ClassDef) and node.name.endswith(BANNED_CLASS_ENDINGS):
            yield Finding(path, node.lineno, f"{node.name} says nothing; name a class by what it is")


def domain_is_pure(path: str, text: str) -> Iterator[Finding]:
    if not path.startswith("src/comfygate/domain/"):
        return
    for node in _nodes(path, text):
        for name in _imported(node):
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and not name.startswith("comfygate.domain"):
                yield Finding(path, _line(node), f"domain imports {name}; it takes the standard library only")


def pins_have_hashes(path: str, text: str) -> Iterator[Finding]:
    if not re.fullmatch(r"requirements/\w+\.txt", path):
        return
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if not line or line.startswith(("#", " ")):
            continue
        hashed = number < len(lines) and lines[number].strip().startswith("--hash=sha256:")
        if "==" not in line or not hashed:
            yield Finding(path, number, f"{line.split(' ')[0]} is not pinned with a hash; run make lock")


RULES: Final[tuple[Rule, ...]] = (
    file_is_short,
    readme_is_short,
    functions_are_short,
    no_download_address,
    nothing_unfinished,
    no_swallowed_error,
    no_sleep_in_tests,
    names_say_what,
    domain_is_pure,
    pins_have_hashes,
)


def dead_modules(files: Mapping[str, str]) -> Iterator[Finding]:
    """Find modules below src that no other module there imports and that nothing starts.

    Packages' own `__init__` count as alive, and so do migrations, which Alembic finds by their folder.
    """
    modules = {_module(path): path for path in files if path.startswith("src/") and path.endswith(".py")}
    used: set[str] = set()
    for module, path in modules.items():
        for node in _nodes(path, files[path]):
            used |= {name for name in _imported(node, with_members=True) if name != module}
    for module, path in sorted(modules.items()):
        found_by_folder = path.endswith("/__init__.py") or "/migrations/" in path
        if module not in used | ENTRY_MODULES and not found_by_folder:
            yield Finding(path, 1, f"nothing in src imports {module}; remove it or use it")


def unlocked_dependencies(project: Mapping[str, list[str]], locks: Mapping[str, str]) -> Iterator[Finding]:
    """Find what pyproject.toml asks for (by the lock's name) and the lock does not pin."""
    for lock, wanted in project.items():
        pinned = {_plain(line) for line in locks[lock].splitlines() if "==" in line}
        for requirement in wanted:
            if _plain(requirement) not in pinned:
                yield Finding(f"requirements/{lock}.txt", 1, f"{requirement} is not pinned; run make lock")


def _plain(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else ""


def _module(path: str) -> str:
    return path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _nodes(path: str, text: str) -> Iterator[ast.AST]:
    if path.endswith(".py"):
        yield from ast.walk(ast.parse(text, path))


def _imported(node: ast.AST, *, with_members: bool = False) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module:
        members = {f"{node.module}.{alias.name}" for alias in node.names} if with_members else set()
        return {node.module} | members
    return set()


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 1))


def _does_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )
