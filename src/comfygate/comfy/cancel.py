"""Stopping one prompt and never a stranger's: the newest call the server has, and no call where none is safe.

Three ways, newest first:
- `POST /api/jobs/{id}/cancel` takes a prompt out of the queue or interrupts it, atomically, and answers 200
  `{"cancelled": false}` for an id it does not know (ComfyUI #14493, 2026-06). That makes it probable: asking
  it to cancel a freshly made UUID cannot hit anybody. Older servers answer 405 (recorded on 0.3.64) or 404.
- `POST /interrupt {"prompt_id"}` stops that prompt only if it is the one running, since ComfyUI #9607 (commit
  464ba1d, 2025-09-02, made while the version was 0.3.56 and first released in 0.3.57, 2025-09-04). Earlier
  servers ignore the id and kill whatever runs, so there it is never called.
- `POST /queue {"delete": [id]}` takes a waiting prompt out, on every version, silently if the id is unknown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import uuid4

import structlog

from comfygate.comfy.answers import (
    parse_devices,
    parse_upload_bytes_max,
    parse_version,
    version_at_least,
)
from comfygate.comfy.errors import RequestRefused
from comfygate.comfy.transport import Answer, Transport
from comfygate.comfy.wire import CancelResult, CancelVia, Capabilities, Located

INTERRUPT_BY_ID_SINCE = (0, 3, 57)
"""First release whose /interrupt honours `prompt_id` (ComfyUI #9607)."""
KEEPS_PROMPT_ID_SINCE = (0, 3, 45)
"""First release that runs a prompt under the client's `prompt_id` (ComfyUI #8189, commit 260a5ca,
2025-07-14).
"""
CANCEL_TRIES_MAX = 3
"""A prompt may move from waiting to running, or finish, between a look and a call: look again so many times.
"""

log = structlog.get_logger(__name__)

Locate = Callable[[str], Awaitable[Located]]


async def probe_server(transport: Transport) -> Capabilities:
    """What the server is and how it cancels. Raises ServerUnreachable, ServerRefused, ProtocolError."""
    stats = await transport.get_json("system_stats")
    version = parse_version(stats, transport.server)
    jobs_api = await _jobs_api_answers(transport)
    if jobs_api:
        via = CancelVia.JOBS_API
    elif version_at_least(version, INTERRUPT_BY_ID_SINCE):
        via = CancelVia.INTERRUPT_BY_ID
    else:
        via = CancelVia.NONE
    capabilities = Capabilities(
        version=version,
        cancel_via=via,
        devices=parse_devices(stats, transport.server),
        keeps_prompt_id=jobs_api or version_at_least(version, KEEPS_PROMPT_ID_SINCE),
        upload_bytes_max=await _upload_bytes_max(transport),
    )
    log.info("server.probed", server=transport.server, version=version, cancel_via=via.value)
    return capabilities


async def cancel_prompt(
    transport: Transport, capabilities: Capabilities, prompt_id: str, locate: Locate
) -> CancelResult:
    """Stop `prompt_id` by the safest way there is. Raises ServerUnreachable and its kin; then nothing is
    known.
    """
    if capabilities.cancel_via is CancelVia.JOBS_API:
        answer = await transport.call("POST", "api", "jobs", prompt_id, "cancel")
        if _cancelled(answer) is not None:
            return await _by_jobs_api(transport, answer, prompt_id, locate)
        log.warning("cancel.jobs_api_gone", server=transport.server, status=answer.status)
    return await _by_queue_and_interrupt(transport, prompt_id, locate)


async def _by_jobs_api(transport: Transport, answer: Answer, prompt_id: str, locate: Locate) -> CancelResult:
    """`cancelled: false` also comes when the prompt began between the server's look and its act: look
    again.
    """
    for _ in range(CANCEL_TRIES_MAX):
        if _cancelled(answer):
            return CancelResult.REQUESTED
        if await locate(prompt_id) not in (Located.RUNNING, Located.PENDING):
            return CancelResult.NOT_THERE
        answer = await transport.call("POST", "api", "jobs", prompt_id, "cancel")
    return CancelResult.REQUESTED if _cancelled(answer) else CancelResult.MUST_WAIT


async def _by_queue_and_interrupt(transport: Transport, prompt_id: str, locate: Locate) -> CancelResult:
    taken_out = False
    for _ in range(CANCEL_TRIES_MAX):
        match await locate(prompt_id):
            case Located.PENDING:
                await transport.post_json("queue", body={"delete": [prompt_id]})
                taken_out = True
            case Located.RUNNING:
                return await _interrupt(transport, prompt_id)
            case Located.FINISHED:
                return CancelResult.NOT_THERE
            case Located.UNKNOWN:
                return CancelResult.REQUESTED if taken_out else CancelResult.NOT_THERE
    return CancelResult.MUST_WAIT


async def _interrupt(transport: Transport, prompt_id: str) -> CancelResult:
    """Interrupt the prompt just seen running; the version is read anew, for the server may have been
    replaced.
    """
    version = parse_version(await transport.get_json("system_stats"), transport.server)
    if not version_at_least(version, INTERRUPT_BY_ID_SINCE):
        log.info("cancel.must_wait", server=transport.server, version=version, prompt_id=prompt_id)
        return CancelResult.MUST_WAIT
    await transport.post_json("interrupt", body={"prompt_id": prompt_id})
    return CancelResult.REQUESTED


async def _jobs_api_answers(transport: Transport) -> bool:
    """Ask to cancel an id made this moment: harmless, and only a server that has the call says
    `cancelled`.
    """
    answer = await transport.call("POST", "api", "jobs", str(uuid4()), "cancel")
    return _cancelled(answer) is not None


def _cancelled(answer: Answer) -> bool | None:
    """The server's word, or None where the call does not exist."""
    said = answer.data.get("cancelled") if answer.status == 200 and isinstance(answer.data, dict) else None
    return said if isinstance(said, bool) else None


async def _upload_bytes_max(transport: Transport) -> int | None:
    """`/features` tells it since 2025; older servers have no such page."""
    try:
        return parse_upload_bytes_max(await transport.get_json("features"))
    except RequestRefused:
        return None
