"""What an operator does, by name: JSON-ready values in and out, for the command line and its control channel.

One table serves the command that runs alone and the one that goes through a running service, so the two
cannot come to differ.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from comfygate.comfy.address import ServerAddress
from comfygate.domain.credits import WORDS
from comfygate.domain.errors import InvalidRequest, NotFound, SettingsError
from comfygate.domain.staff import Role
from comfygate.gate import accounts, audit, retry, signing_in, submit, views
from comfygate.gate.audit import audit_list
from comfygate.gate.context import SERVERS, Context, lease_name
from comfygate.gate.eta_report import eta_report
from comfygate.gate.fleet_control import (
    lanes_list,
    lanes_pause,
    lanes_resume,
    server_shown,
    servers_drain,
    servers_list,
    servers_remove,
    servers_resume,
)
from comfygate.gate.imports import accounts_import
from comfygate.gate.purse import codes_list, codes_make, codes_revoke, payments_list, payments_refund
from comfygate.gate.review import (
    review_forgive,
    review_list,
    review_reject,
    review_release,
    review_show,
    review_suspicions,
)
from comfygate.gate.staff import (
    accounts_restore,
    accounts_role,
    accounts_sign_out,
    accounts_suspend,
    keys_list,
    keys_revoke,
)
from comfygate.gate.views import JobView
from comfygate.gate.why import jobs_why
from comfygate.gate.workflow_views import workflows_list, workflows_show
from comfygate.store import accounts as accounts_store
from comfygate.store import attempts as attempts_store
from comfygate.store import ledger
from comfygate.store import screening as screening_store
from comfygate.store import servers as servers_store
from comfygate.store import staff as staff_store
from comfygate.store.engine import Connection
from comfygate.store.rows import AccountRow, EntryRow, ServerRow

SERVER_NAME_SHAPE = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
SLOTS_MAX = 64
ENTRIES_SHOWN = 50

Json = dict[str, Any]
Operation = Callable[..., Awaitable[Json]]


async def accounts_add(ctx: Context, name: str, tier: str = "regular", credits: int = 0) -> Json:
    """Make an account; the key is in this answer and nowhere else."""
    made = await accounts.add_account(ctx, name, tier=tier, credits=credits)
    return {**_account(made.account), "api_key": made.api_key}


async def accounts_list(ctx: Context) -> Json:
    """All accounts with their credits, and how many suspicions count against them."""
    found, counts, roles = await ctx.store.read(_accounts)
    return {
        "accounts": [
            {
                **_account(account),
                "role": roles.get(account.id, Role.USER).value,
                "suspicions": counts.get(account.id, 0),
                "disabled_at_ms": account.disabled_at_ms,
            }
            for account in found
        ]
    }


def _accounts(conn: Connection) -> tuple[list[AccountRow], dict[str, int], dict[str, Role]]:
    counts = screening_store.suspicion_counts(conn)
    return accounts_store.list_accounts(conn), counts, staff_store.all_roles(conn)


async def accounts_tier(ctx: Context, account: str, tier: str) -> Json:
    """Move an account to another tier; what it submits from now on goes by it."""
    return _account(await accounts.set_tier(ctx, account, tier))


async def keys_add(ctx: Context, account: str) -> Json:
    """One more key for an account."""
    made = await accounts.add_key(ctx, account)
    return {"id": made.account.id, "name": made.account.name, "api_key": made.api_key}


async def accounts_sign_in(ctx: Context, account: str) -> Json:
    """A one-time code that signs in to the web as an account; it is in this answer and nowhere else."""
    found = await accounts.get_account(ctx, account)
    made = await signing_in.make_code(ctx, found.id)
    return {"name": found.name, "code": made.code, "expires_at_ms": made.expires_at_ms}


async def credits_grant(
    ctx: Context, account: str, amount: int, reason: str, reference: str | None = None
) -> Json:
    """Add credits to an account; with a `reference` once, however often it is asked."""
    return _account(await accounts.grant(ctx, account, amount, reason, reference))


async def ledger_show(ctx: Context, account: str, limit: int = ENTRIES_SHOWN) -> Json:
    """An account's newest entries."""
    found, entries = await accounts.entries(ctx, account, limit=limit)
    return {**_account(found), "entries": [entry_json(entry) for entry in entries]}


async def ledger_audit(ctx: Context) -> Json:
    """Recompute the books."""
    return audit_json(await ctx.store.read(ledger.audit))


def audit_json(found: ledger.Audit) -> Json:
    """What recomputing the books came to, as the operator reads it."""
    return {
        "balanced": not found.faults,
        "accounts": found.accounts,
        "entries": found.entries,
        "issued": found.issued,
        "revenue": found.revenue,
        "available": found.available,
        "held": found.held,
        "total": found.total,
        "faults": list(found.faults),
    }


async def servers_add(
    ctx: Context, name: str, url: str, lanes: list[str], slots: int = 1, ahead: int = 0
) -> Json:
    """Configure a server, or change the one of this name. A running service takes it up at once.

    `ahead`: how many prompts of ours may wait there behind those that run, 0 or 1. Raises InvalidRequest.
    """
    if SERVER_NAME_SHAPE.fullmatch(name) is None:
        raise InvalidRequest(
            f"name is {name!r}: a lower-case letter, then up to 62 of a-z 0-9 _ . -",
            details={"field": "name"},
        )
    try:
        address = ServerAddress(url)
    except SettingsError as error:
        raise InvalidRequest(error.message, details={"field": "url"}) from error
    if address.basic_auth is not None:
        raise InvalidRequest(
            f"url of {name!r} carries credentials: leave them out and set them under [server_secrets.{name}]",
            details={"field": "url"},
        )
    unknown = [lane for lane in lanes if lane not in ctx.rules.lanes]
    if unknown or not lanes:
        known = ", ".join(sorted(ctx.rules.lanes))
        raise InvalidRequest(
            f"lanes is {','.join(lanes)!r}: name one or more of {known}", details={"field": "lanes"}
        )
    if not 1 <= slots <= SLOTS_MAX:
        raise InvalidRequest(
            f"slots is {slots}: it must be from 1 to {SLOTS_MAX}", details={"field": "slots"}
        )
    if ahead not in {0, 1}:
        raise InvalidRequest(
            f"ahead is {ahead}: it must be 0, or 1: one more job of ours waits in ComfyUI",
            details={"field": "ahead"},
        )
    row = ServerRow(name, address.url, slots, tuple(dict.fromkeys(lanes)), ctx.now_ms(), ahead=int(ahead))
    await ctx.store.run(_add_server, row)
    ctx.bells.ring(SERVERS)
    return await server_shown(ctx, name)


def _add_server(conn: Connection, row: ServerRow) -> None:
    accounts_store.add_server(conn, row.name, row.url, row.slots, row.lanes, row.created_at_ms, row.ahead)
    servers_store.take_back(conn, lease_name(row.name))


async def jobs_list(
    ctx: Context, status: list[str] | None = None, limit: int = 20, cursor: str | None = None
) -> Json:
    """Everybody's jobs, newest first."""
    page = await views.list_jobs(ctx, None, statuses=status or [], limit=limit, cursor=cursor)
    return {"jobs": [job_json(view) for view in page.jobs], "next_cursor": page.next_cursor}


async def jobs_show(ctx: Context, job: str) -> Json:
    """One job with its attempts and what the operator should know of them."""
    view = await views.get_job(ctx, job, None)
    tries = await ctx.store.read(attempts_store.list_attempts, job)
    scores = await ctx.store.read(screening_store.scores_of_job, job)
    return {
        **job_json(view),
        "cause": view.job.cause,
        "screening": [{name: getattr(one, name) for name in type(one).__slots__} for one in scores],
        "attempts": [{name: getattr(a, name) for name in type(a).__slots__} for a in tries],
    }


async def jobs_cancel(ctx: Context, job: str) -> Json:
    """Cancel anybody's job."""
    return job_json(await submit.cancel(ctx, job, None))


async def jobs_retry(ctx: Context, job: str) -> Json:
    """Run a job that ended without success once more, as a new job that its account pays anew."""
    return job_json(await retry.retry(ctx, job))


OPERATIONS: Mapping[str, Operation] = {
    "accounts.add": accounts_add,
    "accounts.import": accounts_import,
    "accounts.list": accounts_list,
    "accounts.restore": accounts_restore,
    "accounts.role": accounts_role,
    "accounts.sign_in": accounts_sign_in,
    "accounts.sign_out": accounts_sign_out,
    "accounts.suspend": accounts_suspend,
    "accounts.tier": accounts_tier,
    "audit.list": audit_list,
    "codes.list": codes_list,
    "codes.make": codes_make,
    "codes.revoke": codes_revoke,
    "credits.grant": credits_grant,
    "eta.report": eta_report,
    "jobs.cancel": jobs_cancel,
    "jobs.list": jobs_list,
    "jobs.retry": jobs_retry,
    "jobs.show": jobs_show,
    "jobs.why": jobs_why,
    "keys.add": keys_add,
    "keys.list": keys_list,
    "keys.revoke": keys_revoke,
    "lanes.list": lanes_list,
    "lanes.pause": lanes_pause,
    "lanes.resume": lanes_resume,
    "ledger.audit": ledger_audit,
    "ledger.show": ledger_show,
    "payments.list": payments_list,
    "payments.refund": payments_refund,
    "review.forgive": review_forgive,
    "review.list": review_list,
    "review.reject": review_reject,
    "review.release": review_release,
    "review.show": review_show,
    "review.suspicions": review_suspicions,
    "servers.add": servers_add,
    "servers.drain": servers_drain,
    "servers.list": servers_list,
    "servers.remove": servers_remove,
    "servers.resume": servers_resume,
    "workflows.list": workflows_list,
    "workflows.show": workflows_show,
}


CHANGING = frozenset(
    {
        "accounts.add", "accounts.import", "accounts.restore", "accounts.role", "accounts.sign_in",
        "accounts.sign_out", "accounts.suspend", "accounts.tier", "codes.make", "codes.revoke",
        "credits.grant", "jobs.cancel", "jobs.retry", "keys.add", "keys.revoke", "payments.refund",
        "lanes.pause", "lanes.resume", "review.forgive", "review.reject", "review.release", "servers.add",
        "servers.drain", "servers.remove", "servers.resume",
    }
)  # fmt: skip
"""Operations that change something: each call of one is recorded. The others only read."""


async def perform(ctx: Context, name: str, arguments: Mapping[str, Any], *, actor: str = "cli") -> Json:
    """Do the operation `name` for `actor`: `cli` (a command alone), `control` (one through the running
    service), `admin` (over HTTP) or `account:ID` (over HTTP or the pages, by an account that may).

    Raises NotFound for an unknown one, and what the operation raises. What changes something, or was refused
    to, is in the audit log afterwards.
    """
    operation = OPERATIONS.get(name)
    if operation is None:
        raise NotFound(f"no operation is called {name!r}; is the running service of another version?")
    if name not in CHANGING:
        return await operation(ctx, **arguments)
    try:
        answer = await operation(ctx, **arguments)
    except Exception as error:
        await audit.record(ctx, actor, name, arguments, error)
        raise
    await audit.record(ctx, actor, name, arguments, None)
    return answer


def _account(account: AccountRow) -> Json:
    return {
        "id": account.id,
        "name": account.name,
        "tier": account.tier,
        "available": account.balance.available,
        "held": account.balance.held,
    }


def entry_json(entry: EntryRow) -> Json:
    """An entry as its account reads it. `words` is what the user is told."""
    return {
        "id": entry.id,
        "kind": entry.kind.value,
        "words": WORDS[entry.kind],
        "amount": entry.amount,
        "job_id": entry.job_id,
        "reason": entry.reason,
        "created_at_ms": entry.created_at_ms,
    }


def job_json(view: JobView) -> Json:
    """A job as the operator sees it."""
    job = view.job
    return {
        "id": job.id,
        "account_id": job.account_id,
        "lane": job.lane,
        "status": view.status,
        "state": job.state.value,
        "priority": job.priority,
        "ticket": job.ticket,
        "queue_position": view.position,
        "attempt": job.attempt,
        "price": job.price,
        "workflow": job.workflow_name or None,
        "style": job.style or None,
        "retry_of": job.retry_of,
        "hold": job.hold.value,
        "error": job.error.to_json() if job.error else None,
        "created_at_ms": job.created_at_ms,
        "started_at_ms": job.started_at_ms,
        "completed_at_ms": job.completed_at_ms,
        "outputs": [{"asset_id": o.id, "name": o.name, "size_bytes": o.size_bytes} for o in view.outputs],
    }
