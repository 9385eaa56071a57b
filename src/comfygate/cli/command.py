"""The command `comfygate`: its tree of commands, and how each one ends.

An expected error is one line on standard error (JSON with --json) and an exit code, never a traceback.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from comfygate.cli import backup_commands as backups
from comfygate.cli import eta_commands, purse_commands
from comfygate.cli import fleet_commands as fleet
from comfygate.cli import operator_commands as operator
from comfygate.cli import review_commands as reviews
from comfygate.cli import service_commands as service
from comfygate.cli import staff_commands as staff
from comfygate.cli import workflow_commands as catalogue
from comfygate.cli.exit_codes import Exit
from comfygate.cli.import_command import IMPORT_EXAMPLE, import_accounts
from comfygate.cli.order_command import ORDER_EXAMPLE, order_job
from comfygate.cli.output import clean, console
from comfygate.cli.refusals import CommandError, of_gate
from comfygate.cli.run_command import RUN_EXAMPLE, run_graph
from comfygate.cli.services import Services
from comfygate.domain.errors import GateError
from comfygate.version import VERSION

PROGRAM: Final = "comfygate"
_USAGE_ERROR: Final[Any] = typer.BadParameter.__base__


def build() -> typer.Typer:
    """The tree of commands. They find their `Services` in the context."""
    root = typer.Typer(name=PROGRAM, add_completion=False, pretty_exceptions_enable=False)
    root.callback(invoke_without_command=True)(_root)
    service.add_to(root)
    backups.add_to(root)
    root.command("run", epilog=RUN_EXAMPLE)(run_graph)
    root.command("import", epilog=IMPORT_EXAMPLE)(import_accounts)
    root.command("order", epilog=ORDER_EXAMPLE)(order_job)
    for name, group in (
        ("servers", fleet.servers),
        ("lanes", fleet.lanes),
        ("accounts", staff.accounts),
        ("keys", staff.keys),
        ("credits", operator.credit),
        ("codes", purse_commands.codes),
        ("payments", purse_commands.payments),
        ("ledger", operator.ledger),
        ("jobs", operator.jobs),
        ("workflows", catalogue.workflows),
        ("review", reviews.review),
        ("eta", eta_commands.eta),
        ("audit", operator.audit),
    ):
        root.add_typer(group, name=name)
    return root


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"{PROGRAM} {VERSION}\n")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version.")
    ] = False,
) -> None:
    """One Comfy API v2 endpoint in front of any number of ComfyUI servers: paid, queued, VIPs first."""
    if ctx.invoked_subcommand is None:
        sys.stdout.write(ctx.get_help() + "\n")


def execute(services: Services, arguments: Sequence[str]) -> int:
    """Run one command; the exit code."""
    as_json = "--json" in arguments
    try:
        ended = typer.main.get_command(build()).main(
            args=list(arguments), prog_name=PROGRAM, standalone_mode=False, obj=services
        )
        return int(ended or Exit.OK)
    except CommandError as error:
        return _refuse(error, as_json=as_json)
    except GateError as error:
        return _refuse(of_gate(error), as_json=as_json)
    except _USAGE_ERROR as error:
        return _refuse(_of_usage(error, arguments), as_json=as_json)
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except Exception:  # noqa: BLE001 - the last line of defence: a bug must still be told apart
        traceback.print_exc(file=sys.stderr)
        return Exit.BUG


def _of_usage(error: Any, arguments: Sequence[str]) -> CommandError:
    path = error.ctx.command_path if error.ctx is not None else PROGRAM
    message = " ".join(error.format_message().split()).rstrip(".")
    if message.startswith("Invalid value") and (value := _given(error, arguments)) is not None:
        message += f" (given: {value!r})"
    return CommandError("usage", f"{path}: {message}; see '{path} --help'")


def _given(error: Any, arguments: Sequence[str]) -> str | None:
    """The value of the option that an error is about; the library does not always repeat it."""
    for option in getattr(getattr(error, "param", None), "opts", ()):
        for here, after in zip(arguments, [*arguments[1:], None], strict=True):
            if here == option:
                return after
            if here.startswith(f"{option}="):
                return here.partition("=")[2]
    return None


def _refuse(error: CommandError, *, as_json: bool) -> int:
    if as_json:
        sys.stderr.write(json.dumps(error.to_json(), ensure_ascii=False, default=str) + "\n")
    else:
        line = clean(error.line()).removeprefix(f"{PROGRAM} ")
        text = Text.assemble((f"{PROGRAM}: ", "bold red"), line)
        console(stderr=True).print(text, soft_wrap=True)
    return error.exit
