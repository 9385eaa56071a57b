"""Reading ComfyUI's JSON answers: pure, total functions from whatever came to the values of `wire`.

An unknown shape raises ProtocolError naming the place; it never crashes and is never silently skipped.
Shapes as seen on ComfyUI 0.3.64.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from comfygate.comfy.errors import ProtocolError, ServerUnreachable
from comfygate.comfy.wire import QueueIds, Sent

VERSION_PATTERN = re.compile(r"^v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?")


def mapping(value: Any, path: str, server: str) -> Mapping[str, Any]:
    """`value` as a JSON object. Raises ProtocolError naming `path`."""
    if not isinstance(value, dict):
        raise ProtocolError(f"expected an object, got {type(value).__name__}", server=server, path=path)
    return value


def object_info(body: bytes, server: str) -> Mapping[str, Any]:
    """The JSON of GET /object_info. Raises ServerUnreachable for what is no JSON, and ProtocolError."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise ServerUnreachable(
            "/object_info: the answer is not JSON", server=server, maybe_accepted=True
        ) from None
    return mapping(data, "object_info", server)


def text(value: Any, path: str, server: str) -> str:
    """`value` as a string. Raises ProtocolError naming `path`."""
    if not isinstance(value, str):
        raise ProtocolError(f"expected a string, got {type(value).__name__}", server=server, path=path)
    return value


def integer(value: Any, path: str, server: str) -> int:
    """`value` as a whole number (ComfyUI gives `number` as a float when a client sent one)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 2**53:
        raise ProtocolError(f"expected a number, got {type(value).__name__}", server=server, path=path)
    return int(value)


def parse_sent(data: Any, server: str) -> tuple[Sent, str | None]:
    """The 200 of POST /prompt and the prompt id that the server really uses."""
    answer = mapping(data, "prompt", server)
    node_errors = answer.get("node_errors") or {}
    used = answer.get("prompt_id")
    return (
        Sent(
            number=integer(answer.get("number", 0), "prompt.number", server),
            node_errors=dict(mapping(node_errors, "prompt.node_errors", server)),
        ),
        used if isinstance(used, str) else None,
    )


def parse_rejection(data: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """`error` and `node_errors` of a 400 by ComfyUI's validation; None when something else said 400."""
    if not isinstance(data, dict):
        return None
    error = data.get("error")
    if isinstance(error, str):
        error = {"type": "error", "message": error}
    if not isinstance(error, dict):
        return None
    node_errors = data.get("node_errors")
    return dict(error), dict(node_errors) if isinstance(node_errors, dict) else {}


def parse_queue(data: Any, server: str) -> QueueIds:
    """Prompt ids of GET /queue; entries are `[number, prompt_id, graph, extra_data, outputs]`."""
    queue = mapping(data, "queue", server)
    return QueueIds(
        running=frozenset(_queue_ids(queue.get("queue_running"), "queue.queue_running", server)),
        pending=frozenset(_queue_ids(queue.get("queue_pending"), "queue.queue_pending", server)),
    )


def _queue_ids(entries: Any, path: str, server: str) -> Iterator[str]:
    if not isinstance(entries, list):
        raise ProtocolError(f"expected a list, got {type(entries).__name__}", server=server, path=path)
    for index, entry in enumerate(entries):
        if not isinstance(entry, list) or len(entry) < 2 or not isinstance(entry[1], str):
            raise ProtocolError("not a queue entry", server=server, path=f"{path}[{index}]")
        yield entry[1]


def parse_queue_depth(data: Any, server: str) -> int:
    """How many prompts of anybody run or wait, from GET /prompt."""
    info = mapping(mapping(data, "prompt", server).get("exec_info"), "prompt.exec_info", server)
    return integer(info.get("queue_remaining"), "prompt.exec_info.queue_remaining", server)


def parse_version(data: Any, server: str) -> str:
    """ComfyUI's version from GET /system_stats; empty where a server does not say."""
    system = mapping(mapping(data, "system_stats", server).get("system"), "system_stats.system", server)
    version = system.get("comfyui_version", "")
    return version if isinstance(version, str) else ""


def parse_devices(data: Any, server: str) -> tuple[str, ...]:
    """Names of the devices from GET /system_stats."""
    devices = mapping(data, "system_stats", server).get("devices")
    if not isinstance(devices, list):
        return ()
    names = (device.get("name") for device in devices if isinstance(device, dict))
    return tuple(name for name in names if isinstance(name, str))


def parse_upload_bytes_max(data: Any) -> int | None:
    """`max_upload_size` of GET /features, in bytes; None where unknown."""
    limit = data.get("max_upload_size") if isinstance(data, dict) else None
    return limit if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0 else None


def parse_uploaded(data: Any, server: str) -> str:
    """The reference for the graph, `subfolder/name`, from the names which the server chose."""
    answer = mapping(data, "upload", server)
    name = text(answer.get("name"), "upload.name", server)
    subfolder = text(answer.get("subfolder", ""), "upload.subfolder", server)
    return f"{subfolder}/{name}" if subfolder else name


def version_at_least(version: str, minimum: tuple[int, int, int]) -> bool:
    """Whether `version` is `minimum` or newer; False when it cannot be read, so that unknown means oldest."""
    found = VERSION_PATTERN.match(version)
    if found is None:
        return False
    major, minor, patch = (int(part or 0) for part in found.groups())
    return (major, minor, patch) >= minimum
