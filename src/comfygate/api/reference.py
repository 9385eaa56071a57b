"""What the OpenAPI document says beside the handlers: refusals by status, and bodies read as streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from comfygate.api.errors import STATUS
from comfygate.api.wire import ErrorEnvelope, FromHashBody

Responses = dict[int | str, dict[str, Any]]

_RETRY_AFTER: Final = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
_MORE: Final[Mapping[int, Mapping[str, Any]]] = {
    401: {"headers": {"WWW-Authenticate": {"schema": {"type": "string"}}}},
    405: {"headers": {"Allow": {"schema": {"type": "string"}}}},
    429: {"headers": _RETRY_AFTER},
}


def refusals(*statuses: int) -> Responses:
    """The refusals that an operation can answer with, and the failure that any can."""
    return {status: _refusal(status) for status in (*statuses, 500)}


def _refusal(status: int) -> dict[str, Any]:
    if status == 500:
        codes = ["upstream_error"]
    else:
        codes = sorted(code for code, found in STATUS.items() if found == status)
    told = ", ".join(f"`{code}`" for code in codes)
    return {"model": ErrorEnvelope, "description": f"Refused: {told}.", **_MORE.get(status, {})}


JOB_EXAMPLE_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["workflow"],
                "additionalProperties": False,
                "properties": {
                    "workflow": {
                        "type": "object",
                        "description": "The graph, as ComfyUI's Workflow > Export (API) writes it.",
                        "additionalProperties": True,
                    },
                    "extra_data": {
                        "type": "object",
                        "description": "Goes to the server with the graph and is kept nowhere.",
                        "additionalProperties": False,
                        "properties": {
                            "api_key_comfy_org": {
                                "type": "string",
                                "description": "Your key for partner nodes.",
                                "minLength": 1,
                                "maxLength": 4096,
                            }
                        },
                    },
                },
            },
            "example": {
                "workflow": {
                    "1": {
                        "class_type": "EmptyImage",
                        "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0},
                    },
                    "2": {
                        "class_type": "SaveImage",
                        "inputs": {"images": ["1", 0], "filename_prefix": "out"},
                    },
                }
            },
        }
    },
}

UPLOAD_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file", "content_type", "file_path"],
                "additionalProperties": False,
                "properties": {
                    "file": {"type": "string", "format": "binary", "description": "The bytes."},
                    "content_type": {
                        "type": "string",
                        "description": "What you say they are; counts only where the bytes do not tell.",
                        "example": "image/png",
                    },
                    "file_path": {
                        "type": "string",
                        "description": "The name by which a graph may mean this file.",
                        "minLength": 1,
                        "maxLength": 255,
                        "example": "photo.png",
                    },
                    "expected_hash": {
                        "type": "string",
                        "description": "blake3 of the bytes; when they arrive otherwise nothing is kept.",
                        "pattern": "^blake3:[0-9a-f]{64}$",
                    },
                    "tags": {"type": "array", "maxItems": 32, "items": {"type": "string", "maxLength": 64}},
                    "expires_in": {
                        "type": "integer",
                        "minimum": 60,
                        "maximum": 604800,
                        "description": "Keep it for this many seconds instead of the house's default.",
                    },
                },
            }
        }
    },
}

FROM_HASH_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                **{key: value for key, value in FromHashBody.model_json_schema().items() if key != "title"},
                "additionalProperties": False,
            }
        }
    },
}

_ORDER_PROPERTIES: Final[dict[str, Any]] = {
    "style": {"type": "string", "description": "One of the workflow's styles, if it has any."},
    "parameters": {
        "type": "object",
        "description": "Values by parameter; those left out have their defaults.",
        "additionalProperties": True,
    },
    "inputs": {
        "type": "object",
        "description": "Ids of uploaded assets, by input.",
        "additionalProperties": {"type": "string"},
    },
}
_ORDER_JSON: Final[dict[str, Any]] = {
    "application/json": {
        "schema": {"type": "object", "additionalProperties": False, "properties": _ORDER_PROPERTIES}
    }
}
QUOTE_BODY: Final[dict[str, Any]] = {"required": True, "content": _ORDER_JSON}
ORDER_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        **_ORDER_JSON,
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "additionalProperties": False,
                "properties": {
                    "file": {"type": "string", "format": "binary", "description": "The picture."},
                    "input": {
                        "type": "string",
                        "description": "The input that it is for; the first if left out.",
                    },
                    "style": _ORDER_PROPERTIES["style"],
                    "parameters": {"type": "string", "description": "A JSON object of values by parameter."},
                    "file_path": {"type": "string", "description": "A name for the asset that it becomes."},
                },
            }
        },
    },
}

BYTES: Final[dict[str, Any]] = {
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
}

CONTENT_ANSWERS: Final[Responses] = {
    200: {"description": "All bytes, under their own content type.", "content": BYTES},
    206: {"description": "The range asked for.", "content": BYTES},
    304: {"description": "You have these bytes already (If-None-Match)."},
    **refusals(401, 403, 404, 416, 422),
}

EVENTS_ANSWER: Final[Responses] = {
    200: {
        "description": "Server-sent events: `status`, `progress`, `preview`, `output`; ends with the job.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    **refusals(401, 403, 404, 422, 429),
}

ACCOUNT_EVENTS_ANSWER: Final[Responses] = {
    200: {
        "description": "Events: `account`, `job`, `moved`, `progress`, `preview`, `gone`, `all`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    **refusals(401, 403, 429),
}

ZIP_ANSWER: Final[Responses] = {
    200: {
        "description": "A zip.",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    },
    **refusals(401, 403, 404, 413, 422),
}

EXAMPLE_ANSWER: Final[Responses] = {
    200: {"description": "The picture.", "content": {"image/webp": {"schema": {"type": "string"}}}},
    304: {"description": "You have it already (If-None-Match)."},
    **refusals(401, 403, 404, 422),
}
