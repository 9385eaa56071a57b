"""What every handler is given: the gate, the signer of addresses, and where this face stands in the world."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import Depends, Header
from starlette.requests import Request

from comfygate.domain.errors import InvalidRequest, NotFound
from comfygate.gate.context import Context
from comfygate.gate.files import UrlSigner

API: Final = "/api/v2"
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HOST: Final = re.compile(r"[A-Za-z0-9._~-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
KEY_CHARS_MAX: Final = 255


@dataclass(frozen=True, slots=True)
class Face:
    """The parts of one HTTP face. `public_url` and `root_path` have no slash at their ends.

    `stopping` ends every live stream once it is set. Without an `admin_key` there is no `/gate/v1/admin`.
    """

    ctx: Context
    signer: UrlSigner
    public_url: str
    root_path: str
    admin_key: str | None = field(default=None, repr=False)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def base_url(self, request: Request) -> str:
        """Scheme, host and prefix under which the caller reaches us."""
        if self.public_url:
            return public_base(self.public_url, self.root_path)
        host = request.headers.get("host", "")
        if _HOST.fullmatch(host) is None:
            name, port = request.scope.get("server") or ("127.0.0.1", None)
            host = f"{name}:{port}" if port else str(name)
        return f"{request.url.scheme}://{host}{self.root_path}"

    def content_url(self, request: Request, asset_id: str) -> tuple[str, int]:
        """A fresh signed address of an asset's bytes, and when it ends, in seconds since 1970."""
        path, expires_at = signed_path(self.signer, asset_id)
        return f"{self.base_url(request)}{path}", expires_at

    def path(self, rest: str) -> str:
        """A host-relative address of ours, prefix included."""
        return f"{self.root_path}{API}{rest}"


def public_base(public_url: str, root_path: str) -> str:
    """The address that clients use, with the path prefix once."""
    return public_url if public_url.endswith(root_path) else public_url + root_path


def signed_path(signer: UrlSigner, asset_id: str) -> tuple[str, int]:
    """A fresh signed path of an asset's bytes, without prefix, and when it ends, in seconds since 1970."""
    expires_at = int(time.time()) + signer.url_seconds
    query = f"expires={expires_at}&signature={signer.sign(asset_id, expires_at)}"
    return f"{API}/assets/{asset_id}/content?{query}", expires_at


async def face_of(request: Request) -> Face:
    """The face that serves this request."""
    found: Face = request.app.state.face
    return found


TheFace = Annotated[Face, Depends(face_of)]


def known_id(kind: str, value: str) -> str:
    """`value` if it can be an id of ours. Raises NotFound in the words used for ids that nobody has."""
    if _UUID.fullmatch(value) is None:
        raise NotFound(f"no {kind} with the id {value[:64]!r}")
    return value


async def idempotency_key(
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="A value of your own, good for one request; a second one is refused for a day.",
        ),
    ] = None,
) -> str | None:
    """The caller's key. Raises InvalidRequest unless it has 1 to 255 printable ASCII characters."""
    if key is not None and not (0 < len(key) <= KEY_CHARS_MAX and key.isascii() and key.isprintable()):
        raise InvalidRequest(
            f"Idempotency-Key must have 1 to {KEY_CHARS_MAX} printable ASCII characters",
            details={"field": "Idempotency-Key"},
        )
    return key


IdempotencyKey = Annotated[str | None, Depends(idempotency_key)]
