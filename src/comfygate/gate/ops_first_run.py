"""The first steps of a new service: what is there already, and a try of an address before it is a server."""

from __future__ import annotations

from typing import Any, Final

import structlog

from comfygate.comfy.address import ServerAddress
from comfygate.comfy.errors import ComfyError, ServerRefused
from comfygate.comfy.trial import TRIAL_SECONDS, Trial, tried
from comfygate.comfy.wire import CancelVia
from comfygate.domain.errors import InvalidRequest, SettingsError
from comfygate.domain.graph import node_classes
from comfygate.gate.context import Context
from comfygate.gate.fleet_control import look_at_servers
from comfygate.store import ops_story
from comfygate.store.engine import Connection

URL_CHARS_MAX: Final = 2000
MODELS_SHOWN_MAX: Final = 200
COUNTED_MAX: Final = 1000

Json = dict[str, Any]

log = structlog.get_logger(__name__)


async def first_run(ctx: Context) -> Json:
    """What there is of what a service needs, and which step comes next: server, account, job or none."""
    return await ctx.store.read(_first_run, ctx)


def _first_run(conn: Connection, ctx: Context) -> Json:
    views = look_at_servers(conn, ctx)
    accounts, staff, jobs = ops_story.how_many(conn, COUNTED_MAX)
    served = {lane for view in views for lane in view.row.lanes}
    steps = [("server", bool(views)), ("account", accounts > staff), ("job", jobs)]
    return {
        "next_step": next((name for name, done in steps if not done), None),
        "servers": len(views),
        "lanes": [{"name": name, "has_server": name in served} for name in ctx.rules.lanes],
        "tiers": sorted(ctx.rules.tiers),
        "accounts": accounts,
        "accounts_are_capped": accounts >= COUNTED_MAX,
        "staff": staff,
        "any_job": jobs,
        "workflows": len(ctx.shelf.now().workflows),
    }


async def try_server(ctx: Context, url: str) -> Json:
    """Look whether a ComfyUI that we can use answers at an address. Nothing is added or changed.

    An address that cannot be one is InvalidRequest; what is wrong with what answers is in the answer.
    """
    if len(url) > URL_CHARS_MAX:
        raise InvalidRequest(f"url must have at most {URL_CHARS_MAX} characters", details={"field": "url"})
    try:
        address = ServerAddress(url)
    except SettingsError as error:
        raise InvalidRequest(error.message, details={"field": "url"}) from error
    if address.basic_auth is not None:
        raise InvalidRequest(
            "url carries credentials: leave them out and set them under [server_secrets.NAME]",
            details={"field": "url"},
        )
    log.info("server.tried", server=address.url)
    try:
        found = await tried(address)
    except ServerRefused as error:
        advice = "Set headers, or username and password, under [server_secrets.NAME]; then add it."
        return _failed(address.url, str(error), advice)
    except ComfyError as error:
        return _failed(address.url, str(error), "Start ComfyUI there with --listen, or correct the address.")
    except TimeoutError:
        says = f"ComfyUI at {address.url} did not answer in full within {TRIAL_SECONDS:g} s"
        return _failed(address.url, says, "Look at its log, and at the network between.")
    return _worked(address.url, found)


def _failed(url: str, says: str, advice: str) -> Json:
    return {"url": url, "answers": False, "usable": False, "says": says, "advice": advice}


def _worked(url: str, found: Trial) -> Json:
    classes = node_classes(found.described)
    names = sorted({name for one in classes.values() for choices in one.models.values() for name in choices})
    able = found.capabilities
    wrong: list[str] = []
    if not able.keeps_prompt_id:
        wrong.append(
            "this version gives prompts ids of its own, so a job could not be found again: update it"
        )
    if not classes:
        wrong.append("it names no node classes, so no graph can run: look at its log")
    if able.cancel_via is CancelVia.NONE:
        wrong.append("a running prompt cannot be stopped there without hitting a stranger's; cancel waits")
    return {
        "url": url,
        "answers": True,
        "usable": able.keeps_prompt_id and bool(classes),
        "says": f"ComfyUI {able.version}, {len(classes)} node classes, {found.waiting} prompts there",
        "advice": "; ".join(wrong),
        "version": able.version,
        "devices": list(able.devices),
        "node_classes": len(classes),
        "models": names[:MODELS_SHOWN_MAX],
        "models_left_out": max(len(names) - MODELS_SHOWN_MAX, 0),
        "prompts_there": found.waiting,
        "can_cancel": able.cancel_via is not CancelVia.NONE,
    }
