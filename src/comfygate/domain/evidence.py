"""From a server's own words to the class of failure. Pure; matched on what ComfyUI, torch, PIL and the
kernel say.

The words were collected from ComfyUI 0.3.64, torch 2.x and CPython; a failure that matches nothing is the
workflow's, which is never tried again and charges nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from comfygate.domain.blame import Blame

_OUT_OF_MEMORY = re.compile(
    r"OutOfMemoryError|out of memory|not enough memory|can't allocate memory|allocation on device",
    re.IGNORECASE,
)
_POISONED = re.compile(
    r"device-side assert|illegal memory access|illegal instruction was encountered|unspecified launch failure"
    r"|misaligned address|hardware stack error|uncorrectable ECC|fallen off the bus|AcceleratorError"
    r"|CUDA error:|HIP error:|CUDA driver error",
    re.IGNORECASE,
)
_DISK = re.compile(
    r"No space left on device|Disk quota exceeded|Read-only file system|Input/output error"
    r"|\[Errno (28|122|30|5)\]",
    re.IGNORECASE,
)
_UNREADABLE = re.compile(
    r"cannot identify image file|image file is truncated|broken data stream|Invalid data found when"
    r" processing|decompression bomb|unrecognized data stream|UnidentifiedImageError|InvalidDataError",
    re.IGNORECASE,
)
_ABSENT_TYPES = frozenset({"FileNotFoundError", "ModuleNotFoundError", "ImportError"})
_ABSENT = re.compile(
    r"(model|checkpoint|lora|vae|weights|safetensors)\b.*\b(not found|does not exist|missing"
    r"|could not be found)"
    r"|Error while deserializing header",
    re.IGNORECASE,
)
MODEL_FILE = re.compile(r"\.(safetensors|sft|ckpt|pt|pth|bin|gguf|onnx|engine)$", re.IGNORECASE)
"""How the names of model files end."""
_NO_SUCH_NODE = re.compile(r"does not exist|missing_node_type|not found", re.IGNORECASE)


def of_execution(exception_type: str, message: str, *, has_users_file: bool) -> Blame:
    """Why a node raised. `has_users_file`: the node takes a file that the user sent."""
    said = f"{exception_type}: {message}"
    kind = exception_type.rpartition(".")[2]
    if _OUT_OF_MEMORY.search(said):
        return Blame.OUT_OF_MEMORY
    if _POISONED.search(said):
        return Blame.POISONED_GPU
    if _DISK.search(said):
        return Blame.STORAGE
    if has_users_file:
        # Uploaded moments ago: if it is not there now, the server's disk is at fault, not the file.
        return Blame.STORAGE if kind == "FileNotFoundError" else Blame.INPUT
    if _UNREADABLE.search(said):
        return Blame.INPUT
    if kind in _ABSENT_TYPES or _ABSENT.search(said):
        return Blame.MISSING
    return Blame.WORKFLOW


def of_rejection(error: Mapping[str, Any], node_errors: Mapping[str, Any]) -> Blame:
    """Why validation refused a graph, or dropped outputs of it (`node_errors` alone)."""
    reasons = [reason for body in node_errors.values() for reason in _reasons(body)]
    if not reasons:
        kind, said = str(error.get("type") or ""), str(error.get("message") or "")
        absent = kind == "missing_node_type" or (kind == "invalid_prompt" and _NO_SUCH_NODE.search(said))
        return Blame.MISSING if absent else Blame.WORKFLOW
    found = {_of_reason(reason) for reason in reasons}
    # What is plainly wrong is wrong on every server.
    for blame in (Blame.WORKFLOW, Blame.MISSING, Blame.STORAGE):
        if blame in found:
            return blame
    return Blame.WORKFLOW


def _reasons(body: Any) -> list[Mapping[str, Any]]:
    errors = body.get("errors") if isinstance(body, dict) else None
    return [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []


def _of_reason(reason: Mapping[str, Any]) -> Blame:
    kind = str(reason.get("type") or "")
    extra = reason.get("extra_info")
    given = str(extra.get("received_value") or "") if isinstance(extra, dict) else ""
    said = f"{reason.get('message') or ''} {reason.get('details') or ''}"
    if kind == "value_not_in_list" and MODEL_FILE.search(given):
        return Blame.MISSING
    if kind == "custom_validation_failed" and "invalid image file" in said.lower():
        # Every file reference was checked at submission and uploaded before the prompt was sent.
        return Blame.STORAGE
    return Blame.WORKFLOW
