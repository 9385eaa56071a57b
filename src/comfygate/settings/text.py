"""What people read about the settings, made from the settings themselves so that it cannot go stale.

`template()` is the file that `comfygate init` writes; `reference()` is the page docs/reference/settings.md.
"""

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from comfygate.settings.load import CLIENT_VARIABLES, CONFIG_VARIABLE, DELIMITER, FILE_NAME, PREFIX
from comfygate.settings.model import DEFAULT_TABLES, Settings
from comfygate.settings.parts import LaneSettings, ServerSecret, TierSettings

_WIDTH: Final = 96
_ENTRIES: Final[Mapping[str, type[BaseModel]]] = {
    "lanes": LaneSettings,
    "tiers": TierSettings,
    "server_secrets": ServerSecret,
}
_EXAMPLE_SERVER: Final = "gpu1"

_HEAD: Final = f"""\
# Settings of comfygate. Every key is optional; what is commented out shows the default.
#
# Arguments win over environment variables, those over this file, that over the defaults.
# In the environment `port` is {PREFIX}PORT, `level` of [log] is {PREFIX}LOG{DELIMITER}LEVEL.
# Lines that begin with '##' explain.
# An unknown key, an unknown {PREFIX} variable and a placeholder secret refuse to start.
"""


def template() -> str:
    """Write the commented `comfygate.toml`: every setting with what it does, its limits and its default."""
    plain, tables = [], []
    for name, field in Settings.model_fields.items():
        if name in DEFAULT_TABLES or name in _ENTRIES or _model(field) is not None:
            tables.append(_toml_table(name, field))
        else:
            plain.append("\n".join((*_comment(field), _commented_out(f"{name} = {_toml(_default(field))}"))))
    return "\n\n".join((_HEAD.rstrip("\n"), *plain, *tables)) + "\n"


def reference() -> str:
    """Write the reference page: one row a setting, with its variable, default and limits."""
    lines = [
        "# Settings",
        "",
        "<!-- Made by comfygate.settings.reference(): `make reference` writes it, a test compares it. -->",
        "",
        f"Read once at the start, from arguments, then `{PREFIX}*` variables, then `{FILE_NAME}`, then",
        f"the defaults; the first that has a value wins. The file is the one that `{CONFIG_VARIABLE}` names,",
        f"else `{FILE_NAME}` in the base directory (`{PREFIX}BASE_DIR`, else the working directory). A",
        f"variable holds a whole table as JSON, or one part of it with `{DELIMITER}` between the names. An",
        f"unknown key, an unknown `{PREFIX}` variable, a value outside its limits and a placeholder secret",
        "refuse to start with one line that names the key.",
        "",
        f"Commands that talk to a running gateway also read {_listed(sorted(CLIENT_VARIABLES))}.",
        "",
        "## Top level",
        "",
        *_header(),
    ]
    tables: list[str] = []
    for name, field in Settings.model_fields.items():
        model = _model(field)
        if model is not None:
            tables += [
                "",
                f"## `[{name}]`",
                "",
                field.description or "",
                "",
                *_header(),
                *_rows(model, (name,)),
            ]
        elif name in _ENTRIES:
            tables += ["", f"## `[{name}.NAME]`", "", field.description or "", ""]
            tables += [*_header(), *_rows(_ENTRIES[name], (name, "NAME")), *_default_entries(name)]
        elif name in DEFAULT_TABLES:
            tables += ["", f"## `[{name}]`", "", field.description or "", *_default_entries(name)]
        else:
            lines.append(_row(field, (name,)))
    return "\n".join((*lines, *tables)) + "\n"


def _toml_table(name: str, field: FieldInfo) -> str:
    model = _model(field)
    if model is not None:
        body = [line for key, part in model.model_fields.items() for line in _toml_entry(key, part)]
        return "\n".join((*_comment(field), f"[{name}]", *body))
    comment = list(_comment(field))
    if name in DEFAULT_TABLES:
        comment.append("## What stands here adds to the defaults; NAME = false takes a default out.")
    if name not in _ENTRIES:
        rows = (f"{json.dumps(key)} = {_toml(value)}" for key, value in DEFAULT_TABLES[name].items())
        return "\n".join((*comment, f"[{name}]", *map(_commented_out, rows)))
    entries = DEFAULT_TABLES.get(name, {_EXAMPLE_SERVER: {}})
    return "\n\n".join(("\n".join(comment), *(_toml_named(name, key, entries[key]) for key in entries)))


def _toml_named(table: str, key: str, entry: Mapping[str, Any]) -> str:
    lines = [_commented_out(f"[{table}.{key}]")]
    for part, field in _ENTRIES[table].model_fields.items():
        lines += _toml_entry(part, field, entry.get(part))
    return "\n".join(lines)


def _toml_entry(key: str, field: FieldInfo, value: Any = None) -> Iterator[str]:
    yield from _comment(field)
    yield _commented_out(f"{key} = {_toml(_default(field) if value is None else value)}")


def _comment(field: FieldInfo) -> list[str]:
    limits = _limits(field)
    text = f"{field.description}{f' ({limits})' if limits else ''}"
    return textwrap.wrap(text, _WIDTH, initial_indent="## ", subsequent_indent="## ", break_on_hyphens=False)


def _commented_out(line: str) -> str:
    return f"# {line}"


def _header() -> tuple[str, str]:
    return "| setting | variable | default | limits | what it does |", "| --- | --- | --- | --- | --- |"


def _rows(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    return [_row(field, (*path, name)) for name, field in model.model_fields.items()]


def _row(field: FieldInfo, path: tuple[str, ...]) -> str:
    variable = PREFIX + DELIMITER.join(path).upper()
    default = _default(field)
    text = _toml(default)
    shown = "" if text in {'""', "{}"} else f"`{text}`"
    cells = (f"`{path[-1]}`", f"`{variable}`", shown, _limits(field), field.description or "")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default_entries(name: str) -> list[str]:
    if name not in DEFAULT_TABLES:
        return []
    rows = [f"- `{key}`: {_shown_entry(value)}" for key, value in DEFAULT_TABLES[name].items()]
    return ["", "Defaults, which the file adds to (`NAME = false` takes one out):", "", *rows]


def _shown_entry(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return _listed(value if isinstance(value, list) else [value])


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True, validated_data={})


def _limits(field: FieldInfo) -> str:
    """Say a field's bounds in a few characters: `1 to 100`, `above 0`, `json or console`."""
    if get_origin(field.annotation) is Literal:
        return " or ".join(str(choice) for choice in get_args(field.annotation))
    low: tuple[str, float] | None = None
    high: float | None = None
    for bound in field.metadata:
        if (ge := getattr(bound, "ge", None)) is not None:
            low = ("from", ge)
        elif (gt := getattr(bound, "gt", None)) is not None and low is None:
            low = ("above", gt)
        if (le := getattr(bound, "le", None)) is not None:
            high = le
    if low is None or high is None:
        return ""
    return f"{f'{low[1]}' if low[0] == 'from' else f'above {low[1]}'} to {high}"


def _model(field: FieldInfo) -> type[BaseModel] | None:
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _toml(value: Any) -> str:
    """Write a value as TOML. A setting without a default is shown as an empty string."""
    match value:
        case None:
            return '""'
        case SecretStr():
            return json.dumps(value.get_secret_value())
        case Path():
            return json.dumps(value.as_posix())
        case Mapping():
            return f"{{{', '.join(f'{json.dumps(key)} = {_toml(part)}' for key, part in value.items())}}}"
        case _:
            return json.dumps(value)
