"""backup, restore: a copy of the SQLite database, taken while the service runs, and put back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from comfygate.cli.exit_codes import Exit
from comfygate.cli.operator_commands import show_audit
from comfygate.cli.output import hint, print_json, say
from comfygate.cli.shared_options import AsJson, example, quiet_settings, run, services_of

FILES_HINT = "The files of uploads and results are not in it: copy their folders after this, and keep both."


def add_to(root: typer.Typer) -> None:
    """Put these commands into the tree."""
    root.command("backup", epilog=example("comfygate backup backups/monday.db"))(backup)
    root.command("restore", epilog=example("comfygate restore backups/monday.db --force"))(restore)


def backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy; must not be there yet.")],
    as_json: AsJson = False,
) -> None:
    """Copy the SQLite database into one checked file, whether the service runs or not."""
    settings, services = quiet_settings(ctx), services_of(ctx)
    answer: dict[str, Any] = run(ctx, lambda: services.back_up(settings, file.absolute()))
    if as_json:
        print_json(answer)
        return
    say(
        f"{answer['file']}: {answer['size_bytes']} bytes, whole, schema {answer['revision']}, "
        f"jobs that have not ended {answer['jobs_open']}."
    )
    hint(FILES_HINT)


def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A copy that 'comfygate backup' made.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace the database that is there; it is kept beside it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the database's place while no service runs: whatever happened since is undone.

    Exit code 8 if the restored books do not balance.
    """
    settings, services = quiet_settings(ctx), services_of(ctx)
    answer: dict[str, Any] = run(ctx, lambda: services.restore(settings, file.absolute(), force=force))
    if as_json:
        print_json(answer)
    else:
        say(f"{answer['database']} is now what {answer['file']} holds.")
        if answer["kept"]:
            say(f"The database before it is kept as {answer['kept']}.")
        say(
            f"Jobs that had not ended: {answer['jobs_open']}; the next start looks for them on their servers."
        )
        show_audit(answer["audit"])
    if not answer["audit"]["balanced"]:
        raise typer.Exit(Exit.NOT_BALANCED)
