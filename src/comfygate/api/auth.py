"""Who is asking: an API key in the Authorization header, a browser's session, or for bytes alone a signed
address."""

from __future__ import annotations

import time
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Query, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request

from comfygate.api.face import Face, TheFace
from comfygate.domain.errors import Forbidden, Unauthorized
from comfygate.gate import accounts, signing_in
from comfygate.gate.rows import AccountRow

_bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="The account's API key: `Authorization: Bearer KEY`."
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


SESSION_COOKIE: Final = "comfygate_session"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


async def account_of(request: Request, face: TheFace, credentials: Credentials) -> AccountRow:
    """The account whose key, or else whose session, came along.

    Raises Unauthorized, and Forbidden when it is disabled or a session's request came from another site.
    """
    if credentials is not None and credentials.credentials:
        return await accounts.authenticate(face.ctx, credentials.credentials)
    token = request.cookies.get(SESSION_COOKIE)
    if not token:
        raise Unauthorized("an API key is needed: send it as 'Authorization: Bearer KEY'")
    if request.method not in _SAFE:
        if "sec-fetch-site" not in request.headers and "origin" not in request.headers:
            raise Forbidden("with a session, changes are made from a page of this service; use an API key")
        from_own_page(request, face)
    return await signing_in.account_of(face.ctx, token)


def from_own_page(request: Request, face: Face) -> None:
    """Let nobody through whom a browser sends here from another site's page (W3C Fetch Metadata; older
    browsers say the page's origin). Raises Forbidden."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        own = site == "same-origin"
    else:
        own = origin is None or urlsplit(origin).netloc == urlsplit(face.base_url(request)).netloc
    if not own:
        raise Forbidden("this was asked from a page of another site; open a page of this service")


TheAccount = Annotated[AccountRow, Security(account_of)]


async def reader_of(
    id: str,  # noqa: A002 - the contract's name of the path parameter
    request: Request,
    face: TheFace,
    credentials: Credentials,
    expires: Annotated[
        int | None, Query(ge=0, le=2**53, description="Of a signed address: its end, in seconds since 1970.")
    ] = None,
    signature: Annotated[
        str | None, Query(max_length=128, description="Of a signed address: its signature.")
    ] = None,
) -> str | None:
    """The account that may read these bytes, or None for whoever holds a good signed address.

    Raises Unauthorized, and Forbidden for an address that has ended or that we did not sign.
    """
    if credentials is None and expires is not None and signature is not None:
        if not face.signer.good(id, expires, signature, int(time.time())):
            raise Forbidden(
                "this address has ended or was not signed here; get the asset again for a fresh one"
            )
        return None
    return (await account_of(request, face, credentials)).id


TheReader = Annotated[str | None, Security(reader_of)]
