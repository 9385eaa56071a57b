"""Bring arguments, environment and file together, and refuse what is unknown with one line that helps.

Arguments win over `COMFYGATE_*` variables, those over `comfygate.toml`, that over the defaults.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource
from pydantic_settings.exceptions import SettingsError as UnreadableVariable

from comfygate.domain.errors import SettingsError
from comfygate.settings.model import Settings

FILE_NAME: Final = "comfygate.toml"
PREFIX: Final = "COMFYGATE_"
DELIMITER: Final = "__"
CONFIG_VARIABLE: Final = "COMFYGATE_CONFIG"
CLIENT_VARIABLES: Final = frozenset({"COMFYGATE_URL", "COMFYGATE_API_KEY"})
"""Variables that commands read as clients of a running gateway; the service itself ignores them."""

_SECRET_FIELDS: Final = frozenset(
    {"admin_key", "database_url", "metrics", "signing_secret", "server_secrets", "server_hooks", "traces"}
)
_SHOWN_CHARACTERS_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where each value came from, so that a refusal can say what to edit."""

    file: Path | None
    file_values: Mapping[str, Any]
    variables: Mapping[str, str]
    variable_values: Mapping[str, Any]
    arguments: Mapping[str, Any]

    def name(self, keys: tuple[str, ...]) -> str:
        """Name the key the way its owner wrote it."""
        if _holds(self.arguments, keys):
            return f"argument {'.'.join(keys)}"
        if _holds(self.variable_values, keys):
            return f"environment variable {self._variable(keys)}"
        if _holds(self.file_values, keys):
            return f"{self.file}: {'.'.join(keys)}"
        return ".".join(keys)

    def _variable(self, keys: tuple[str, ...]) -> str:
        for length in range(len(keys), 0, -1):
            wanted = (PREFIX + DELIMITER.join(keys[:length])).lower()
            for name in self.variables:
                if name.lower() == wanted:
                    return name
        return _variable(keys)


def config_path(
    base_dir: Path | None = None, config: Path | None = None, environ: Mapping[str, str] | None = None
) -> Path:
    """Say where the settings file is looked for; it need not exist unless it was named.

    In this order: `config`, `COMFYGATE_CONFIG`, `comfygate.toml` in the base directory.
    """
    environ = os.environ if environ is None else environ
    named = config or environ.get(CONFIG_VARIABLE)
    return Path(named).expanduser() if named else _base_dir(base_dir, environ) / FILE_NAME


def load_settings(
    base_dir: Path | None = None,
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Read every setting once.

    `overrides` is a tree of values as the file would give it (`{"comfy": {"poll_seconds": 0.1}}`) and wins.
    Raises SettingsError, in one line that names the key and the nearest known one, for a file that is named
    but missing or is not TOML, an unknown key or COMFYGATE_ variable, a value outside its limits, and a
    placeholder secret.
    """
    environ = os.environ if environ is None else environ
    path = config_path(base_dir, config, environ)
    must_exist = config is not None or bool(environ.get(CONFIG_VARIABLE))
    variables = {name: value for name, value in environ.items() if name.upper().startswith(PREFIX)}
    _refuse_unknown_variables(variables)
    arguments = dict(overrides or {})
    if base_dir is not None:
        arguments["base_dir"] = base_dir
    sources = _Sources(
        file=path,
        file_values=_read_file(path, must_exist=must_exist),
        variables=variables,
        variable_values=_read_variables(variables),
        arguments=arguments,
    )
    merged = _merged(_merged(sources.file_values, sources.variable_values), sources.arguments)
    merged["base_dir"] = _resolved_base_dir(merged.get("base_dir"), sources)
    try:
        return Settings(**merged)
    except ValidationError as problem:
        _refuse(problem, sources)


def _base_dir(base_dir: Path | None, environ: Mapping[str, str]) -> Path:
    return Path(base_dir or environ.get(PREFIX + "BASE_DIR") or Path.cwd()).expanduser().absolute()


def _resolved_base_dir(value: Any, sources: _Sources) -> Any:
    """Make the base directory absolute: one given in the file is relative to the file."""
    if not isinstance(value, str | Path) or not str(value):
        return value or Path.cwd()
    from_file = "base_dir" not in sources.arguments and "base_dir" not in sources.variable_values
    start = sources.file.absolute().parent if from_file and sources.file else Path.cwd()
    return start / Path(value).expanduser()


def _read_file(path: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        if not must_exist:
            return {}
        message = (
            f"{path}: there is no such settings file; write one with 'comfygate init' or correct the path"
        )
        raise SettingsError(message) from None
    except OSError as problem:
        message = f"{path}: the settings file cannot be read ({problem.strerror or problem})"
        raise SettingsError(message) from None
    except UnicodeDecodeError:
        message = f"{path}: the settings file is not UTF-8 text; save it as UTF-8"
        raise SettingsError(message) from None
    except tomllib.TOMLDecodeError as problem:
        message = f"{path}: the settings file is not TOML: {problem}"
        raise SettingsError(message) from None


def _read_variables(variables: Mapping[str, str]) -> dict[str, Any]:
    source = EnvSettingsSource(
        Settings,
        case_sensitive=False,
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        env_ignore_empty=False,
    )
    source.env_vars = {name.lower(): value for name, value in variables.items()}
    try:
        return source()
    except UnreadableVariable as problem:
        # its text names the field in quotes, and nothing of the value
        field = str(problem).partition('"')[2].partition('"')[0]
        message = f"environment variable {_variable((field,))}: a table here is written as JSON, this is not"
        raise SettingsError(message) from None


def _refuse_unknown_variables(variables: Iterable[str]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | CLIENT_VARIABLES | {CONFIG_VARIABLE}
    for variable in sorted(variables):
        first, *deeper = variable.upper().removeprefix(PREFIX).split(DELIMITER)
        if PREFIX + first not in known:
            near = _nearest(variable.upper(), known)
            hint = f"; did you mean {near}?" if near else ""
            message = f"environment variable {variable} is not a setting{hint}"
            raise SettingsError(message)
        field = Settings.model_fields.get(first.lower())
        if deeper and (field is None or not _is_table(field.annotation)):
            message = f"environment variable {variable} is not a setting: {PREFIX}{first} has no parts"
            raise SettingsError(message)


def _refuse(problem: ValidationError, sources: _Sources) -> NoReturn:
    """Turn pydantic's list into one line about the first trouble. Never shows a secret."""
    errors = problem.errors(include_url=False, include_context=False, include_input=True)
    line = _line(errors[0], sources)
    if len(errors) > 1:
        line += f" (and {len(errors) - 1} more)"
    raise SettingsError(line) from None


def _line(error: ErrorDetails, sources: _Sources) -> str:
    keys = tuple(str(key) for key in error["loc"] if key != "[key]")
    if not keys:
        return error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = {".".join((*keys[:-1], name)) for name in _fields_at(keys[:-1])}
        elsewhere = {key for key in _every_key() if key.rsplit(".", 1)[-1] == keys[-1]}
        near = min(elsewhere, default=None) or _nearest(".".join(keys), known)
        return f"{sources.name(keys)} is not a setting{_did_you_mean(near, sources, keys)}"
    shown = "" if keys[0] in _SECRET_FIELDS else f" = {_shortened(error['input'])}"
    return f"{sources.name(keys)}{shown}: {error['msg'].removeprefix('Value error, ')}"


def _shortened(value: Any) -> str:
    text = repr(str(value) if isinstance(value, Path) else value)
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[: _SHOWN_CHARACTERS_MAX - 1] + "…"


def _nearest(name: str, known: Iterable[str]) -> str | None:
    by_last = {full.rsplit(".", 1)[-1]: full for full in sorted(known)}
    last_part = name.rsplit(".", 1)[-1]
    close = difflib.get_close_matches(name, sorted(known), n=1) or [
        by_last[last] for last in difflib.get_close_matches(last_part, sorted(by_last), n=1)
    ]
    return close[0] if close else None


def _did_you_mean(near: str | None, sources: _Sources, keys: tuple[str, ...]) -> str:
    if near is None:
        return ""
    from_variable = _holds(sources.variable_values, keys) and not _holds(sources.arguments, keys)
    return f"; did you mean {_variable(tuple(near.split('.'))) if from_variable else near}?"


def _variable(keys: tuple[str, ...]) -> str:
    return PREFIX + DELIMITER.join(keys).upper()


def _fields_at(keys: tuple[str, ...]) -> tuple[str, ...]:
    """List the fields of the table at this path; an entry's name in an open table is a part too."""
    model: type[BaseModel] | None = Settings
    for key in keys:
        if model is None:
            return ()
        field = model.model_fields.get(key)
        if field is not None:
            entry = _entry_model(field.annotation)
            model = entry if entry is not None else _model(field.annotation)
    return tuple(model.model_fields) if model else ()


def _every_key() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        yield name
        table = _model(field.annotation)
        if table is not None:
            yield from (f"{name}.{key}" for key in table.model_fields)


def _is_table(annotation: Any) -> bool:
    return _model(annotation) is not None or _is_mapping(annotation)


def _is_mapping(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is Mapping


def _model(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _entry_model(annotation: Any) -> type[BaseModel] | None:
    return _model(get_args(annotation)[1]) if _is_mapping(annotation) else None


def _holds(tree: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
    at: Any = tree
    for key in keys:
        if not isinstance(at, Mapping):
            return True
        if key not in at:
            return False
        at = at[key]
    return True


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one tree of values over another, table by table."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = (
            _merged(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
        )
    return merged
