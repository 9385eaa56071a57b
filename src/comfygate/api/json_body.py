"""Reads a JSON body: never more of it than its limit, and nothing that two readers could read differently.

NaN, infinities and repeated keys are refused; so is nesting that would exhaust the stack.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final, NoReturn

from starlette.requests import Request

from comfygate.domain.errors import InvalidRequest, PayloadTooLarge

SLACK_BYTES = 64 * 1024
"""What a body may be larger than the graph in it: the other keys, and white space."""


async def read_bytes(request: Request, *, bytes_max: int) -> bytes:
    """The body. Raises PayloadTooLarge, before reading when its announced length says so."""
    check_length(request, bytes_max=bytes_max)
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > bytes_max:
            raise too_large(bytes_max)
        body += chunk
    return bytes(body)


def check_length(request: Request, *, bytes_max: int) -> None:
    """Refuse a body whose announced length is over the limit, before any of it is read."""
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > bytes_max:
        raise too_large(bytes_max)


def too_large(bytes_max: int) -> PayloadTooLarge:
    """The refusal of a body over its limit."""
    return PayloadTooLarge(
        f"the body has more than {bytes_max} bytes, which is the limit", details={"bytes_max": bytes_max}
    )


async def read_object(request: Request, *, bytes_max: int) -> dict[str, Any]:
    """The body, which must be a JSON object. Raises InvalidRequest and PayloadTooLarge."""
    body = await read_bytes(request, bytes_max=bytes_max)
    try:
        # As json.loads would, but for making a decoder each time.
        value = _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except RecursionError:
        raise _refused("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise _refused("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _refused(f"{error.msg}, line {error.lineno}, column {error.colno}") from None
    except ValueError as error:
        raise _refused(str(error)[:200]) from None
    if not isinstance(value, dict):
        raise _refused("it must be an object")
    return value


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest(f"the body cannot be read as JSON: {reason}", details={"field": "body"})


def _constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        double, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        message = f"the key {ascii(double)[:80]} stands twice in one object"
        raise ValueError(message)
    return found


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant)
