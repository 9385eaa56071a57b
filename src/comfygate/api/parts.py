"""What the routes share: the running gate, the caller's account, addresses, and bounded JSON bodies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from comfygate.domain.errors import InvalidRequest, PayloadTooLarge, Unauthorized
from comfygate.gate import accounts
from comfygate.gate.context import Context
from comfygate.gate.files import UrlSigner
from comfygate.store.rows import AccountRow

API = "/api/v2"
BODY_SLACK_BYTES = 64 * 1024
"""What a JSON body may have around the graph."""

_bearer = HTTPBearer(auto_error=False, description="An API key of the account, as made by the operator.")


@dataclass(frozen=True, slots=True)
class Site:
    """The gate that a request reaches, and how it is seen from outside."""

    ctx: Context
    signer: UrlSigner
    public_url: str
    root_path: str

    def path(self, path: str) -> str:
        """A host-relative address, with the prefix that a proxy strips."""
        return f"{self.root_path}{path}"

    def base(self, request: Request) -> str:
        """Scheme, host and prefix that clients use."""
        return self.public_url or f"{request.url.scheme}://{request.url.netloc}{self.root_path}"

    def content_url(self, request: Request, asset_id: str) -> tuple[str, int]:
        """A signed address of an asset's bytes, and when it ends, in seconds since 1970."""
        expires_at = self.ctx.now_ms() // 1000 + self.signer.url_seconds
        signature = self.signer.sign(asset_id, expires_at)
        query = f"expires={expires_at}&signature={signature}"
        return f"{self.base(request)}{API}/assets/{asset_id}/content?{query}", expires_at


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


SiteOf = Annotated[Site, Depends(site_of)]


async def optional_account(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> AccountRow | None:
    """The caller's account; None without a key. Raises Unauthorized for a key that is not valid."""
    if credentials is None:
        return None
    return await accounts.authenticate(site_of(request).ctx, credentials.credentials)


OptionalAccount = Annotated[AccountRow | None, Depends(optional_account)]


async def caller(account: OptionalAccount) -> AccountRow:
    """The caller's account. Raises Unauthorized."""
    if account is None:
        raise Unauthorized("an API key is needed: send 'Authorization: Bearer KEY'")
    return account


Caller = Annotated[AccountRow, Depends(caller)]


async def json_body(request: Request, bytes_max: int) -> dict[str, Any]:
    """The body, a JSON object of at most `bytes_max` bytes. Raises InvalidRequest and PayloadTooLarge."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise PayloadTooLarge(f"the body is longer than {bytes_max} bytes")
    try:
        decoded = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidRequest(f"the body is not JSON: {reason}") from error
    if not isinstance(decoded, dict):
        raise InvalidRequest("the body must be a JSON object")
    return decoded


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def known_fields(body: dict[str, Any], allowed: set[str]) -> None:
    """Raise InvalidRequest naming the first field that is not allowed."""
    for name in body:
        if name not in allowed:
            known = ", ".join(sorted(allowed))
            raise InvalidRequest(
                f"field {name!r} is not supported here; known: {known}", details={"field": name}
            )


def text_field(body: dict[str, Any], name: str) -> str | None:
    """A string field of a body, or None. Raises InvalidRequest for anything else."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a string", details={"field": name})
    return value


def number_field(body: dict[str, Any], name: str) -> int | None:
    """A whole-number field of a body, or None. Raises InvalidRequest for anything else."""
    value = body.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise InvalidRequest(f"{name} must be a whole number", details={"field": name})
    return value


def list_field(body: dict[str, Any], name: str) -> list[str]:
    """A field that is a list of strings, empty when absent. Raises InvalidRequest for anything else."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidRequest(f"{name} must be a list of strings", details={"field": name})
    return value
