"""Writes docs/reference/cli.md from the commands themselves: `python -m tests.cli.reference`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from comfygate.cli.command import PROGRAM, build
from comfygate.cli.exit_codes import MEANINGS

_INTRODUCTION = """
Every command has `--help` with an example and `--json`. With `--json` the answer is one JSON document on
standard output, and an error is one on standard error, in the API's envelope. Without it an error is one line
on standard error that names the field, the value and the way out.

Settings are read from `comfygate.toml` in the base directory and from `COMFYGATE_*`: see
[settings](settings.md). While `serve` runs, commands go through it: its control channel listens on 127.0.0.1,
and `control.json` in the data directory holds its token, for the owner only. Otherwise they open the database
themselves. On SQLite there is never a second writer.

`serve` stops in order at the first SIGTERM or Ctrl-C: it takes no more jobs up, watches those that run for
`dispatch.stop_seconds` at most, and answers and queues meanwhile. The second one stops it at once. What then
still runs is found again at the next start.
"""
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its whole name."""
    yield from _below(typer.main.get_command(build()), PROGRAM)


def _below(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for key, part in inner.items():
        yield from _below(part, f"{name} {key}")


def page() -> str:
    """The page, as it must be in the repository."""
    lines = [
        "# Command line",
        "",
        "<!-- Made by `python -m tests.cli.reference`; a test compares it with the commands. -->",
        "",
        *_INTRODUCTION.strip().splitlines(),
        "",
        "## Exit codes",
        "",
        "| code | meaning |",
        "| --- | --- |",
        *(f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items()),
    ]
    for name, command in commands():
        lines += ["", *_section(name, command)]
    return "\n".join(lines) + "\n"


def _section(name: str, command: Any) -> list[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join([name, *(str(p.metavar or p.name.upper()) for p in arguments), "[OPTIONS]"])
    help_text = " ".join(str(command.help).split())
    lines = [
        f"## `{name}`",
        "",
        help_text,
        "",
        f"    {usage}",
        "",
        str(command.epilog).replace("Example: ", "Example: `", 1) + "`",
        "",
    ]
    lines += ["| | |", "| --- | --- |"]
    lines += [f"| `{p.metavar or p.name.upper()}` | {p.help} |" for p in arguments]
    lines += [f"| `{', '.join(p.opts)}` | {_about(p)} |" for p in options]
    return lines


def _about(option: Any) -> str:
    said = str(option.help or "")
    if option.required:
        return f"{said} Required."
    shown = option.default
    if option.envvar:
        said += f" Variable: `{option.envvar}`."
    if shown in {None, False} or callable(shown) or str(shown) in {"", "."}:
        return said
    return f"{said} Default: `{shown}`."


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
