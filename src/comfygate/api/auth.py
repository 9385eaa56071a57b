"""Who is asking: an API key in the Authorization header, or for bytes alone a signed address."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Query, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from comfygate.api.face import TheFace
from comfygate.domain.errors import Forbidden, Unauthorized
from comfygate.gate import accounts
from comfygate.gate.rows import AccountRow

_bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="The account's API key: `Authorization: Bearer KEY`."
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


async def account_of(face: TheFace, credentials: Credentials) -> AccountRow:
    """The account whose key came along. Raises Unauthorized, and Forbidden when it is disabled."""
    if credentials is None or not credentials.credentials:
        raise Unauthorized("an API key is needed: send it as 'Authorization: Bearer KEY'")
    return await accounts.authenticate(face.ctx, credentials.credentials)


TheAccount = Annotated[AccountRow, Security(account_of)]


async def reader_of(
    id: str,  # noqa: A002 - the contract's name of the path parameter
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
    return (await account_of(face, credentials)).id


TheReader = Annotated[str | None, Security(reader_of)]
