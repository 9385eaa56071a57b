"""What all commands have in common: the flag --json, reading the settings, asking the operator's side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from comfygate.cli.operate import operate
from comfygate.cli.services import Services
from comfygate.settings import Settings, load_settings

AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON; errors too, on stderr.")]


def services_of(ctx: typer.Context) -> Services:
    """The concrete parts that `comfygate.app` handed in."""
    services: Services = ctx.obj
    return services


def quiet_settings(ctx: typer.Context) -> Settings:
    """The settings, for a command that is no service: it logs what goes wrong and nothing else."""
    settings = load_settings()
    services_of(ctx).configure_logs("warning", "console")
    return settings


def ask(ctx: typer.Context, operation: str, **arguments: Any) -> dict[str, Any]:
    """Do an operator's request, through the running service if there is one."""
    settings = quiet_settings(ctx)
    answer: dict[str, Any] = run(ctx, lambda: operate(services_of(ctx), settings, operation, **arguments))
    return answer


def run(ctx: typer.Context, work: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine function to its end."""
    return services_of(ctx).run(work)


def example(*lines: str) -> str:
    """The end of a command's help."""
    return "Example: " + "  ".join(lines)
