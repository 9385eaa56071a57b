"""`comfygate import`: accounts from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from comfygate.cli.output import print_json, say
from comfygate.cli.shared_options import AsJson, ask, example
from comfygate.domain.errors import InvalidRequest

IMPORT_EXAMPLE = example("comfygate import accounts.csv --dry-run")


def import_accounts(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A CSV file with the header telegram_id,tier,credits.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would come to.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take in accounts of another bot: Telegram ids with tiers and credits, as opening entries.

    A file is taken in once, by what is in it, all of it or nothing. Who is known already keeps the account,
    and gets the credits on top and the file's tier.
    """
    try:
        content = file.read_bytes().decode("utf-8")
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}", details={"field": "file"}) from error
    except UnicodeDecodeError:
        raise InvalidRequest(
            f"{file} is not UTF-8 text: save it as CSV UTF-8", details={"field": "file"}
        ) from None
    answer = ask(ctx, "accounts.import", content=content, file_name=file.name, dry_run=dry_run)
    if as_json:
        print_json(answer)
        return
    tiers = ", ".join(f"{count} {tier}" for tier, count in sorted(answer["tiers"].items())) or "nobody"
    done = "would be" if dry_run else "were"
    say(f"{answer['new_accounts']} accounts {done} made, {answer['known_accounts']} were known: {tiers}.")
    say(f"{answer['credits']} credits {done} granted as opening entries.")
