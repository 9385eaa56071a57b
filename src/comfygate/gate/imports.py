"""Taking in accounts from elsewhere, with a look first."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from comfygate.domain.accounts_file import read_accounts
from comfygate.domain.errors import InvalidRequest
from comfygate.gate.context import Context
from comfygate.store import imports

FILE_CHARS_MAX: Final = 900_000
"""About 20,000 rows; what the control channel carries."""
NAME_CHARS_MAX: Final = 200


async def accounts_import(
    ctx: Context, content: str, file_name: str, dry_run: bool = False
) -> dict[str, Any]:
    """Take in a CSV file of accounts (`telegram_id,tier,credits`), once by what is in it, all or nothing.

    With `dry_run` only what it would come to is told. Raises InvalidRequest that names every fault by its
    line, and Conflict for a file that was taken in before.
    """
    if len(content) > FILE_CHARS_MAX:
        raise InvalidRequest(
            f"the file has {len(content)} characters; the most is {FILE_CHARS_MAX}: split it",
            details={"field": "file"},
        )
    people = read_accounts(content)
    unknown = sorted({one.tier for one in people} - ctx.rules.tiers.keys())
    if unknown:
        known = ", ".join(sorted(ctx.rules.tiers))
        raise InvalidRequest(
            f"the file names tier {unknown[0]!r}, which is none of {known}", details={"field": "tier"}
        )
    digest = hashlib.sha256(content.encode()).hexdigest()
    if dry_run:
        done = await ctx.store.read(imports.look, digest, people)
    else:
        done = await ctx.store.run(
            imports.take_in, digest, file_name[:NAME_CHARS_MAX], people, ctx.new_id, ctx.now_ms()
        )
    tiers: dict[str, int] = {}
    for one in people:
        tiers[one.tier] = tiers.get(one.tier, 0) + 1
    return {
        "dry_run": dry_run,
        "new_accounts": done.fresh,
        "known_accounts": done.known,
        "credits": done.credits,
        "tiers": tiers,
    }
