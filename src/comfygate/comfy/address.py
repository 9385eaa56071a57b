"""Where a ComfyUI server is and how to be let in; shows the place freely and the credentials never."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from yarl import URL

from comfygate.domain.errors import SettingsError

WEBSOCKET_SCHEMES: Mapping[str, str] = {"http": "ws", "https": "wss"}


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Base address of a server, with an optional path prefix, and what goes along with every request.

    A `user:password@` in `url` is taken out of it and becomes `basic_auth`. Raises SettingsError when `url`
    is not http(s), has no host, or carries a query or fragment, or when two different credentials are given.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    basic_auth: tuple[str, str] | None = field(default=None, repr=False)
    _base: URL = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parsed = _parsed(self.url)
        given = None
        if parsed.raw_user is not None or parsed.raw_password is not None:
            given = (unquote(parsed.raw_user or ""), unquote(parsed.raw_password or ""))
        plain = parsed.with_user(None)
        if given is not None and self.basic_auth not in (None, given):
            raise SettingsError(
                f"url {str(plain)!r} carries a user and basic_auth names another: keep one of the two"
            )
        object.__setattr__(self, "url", str(plain).rstrip("/"))
        # Read once: with a thousand servers each is too seldom asked for to stay in yarl's own memory.
        object.__setattr__(self, "_base", URL(self.url))
        object.__setattr__(self, "basic_auth", given or self.basic_auth)
        object.__setattr__(self, "headers", dict(self.headers))
        _check_headers(str(plain), self.headers, self.basic_auth)

    def endpoint(self, *segments: str, query: Mapping[str, str] | None = None) -> URL:
        """Address of a call below the prefix; segments and query values are quoted here."""
        url = self._base
        path = "/".join(_quoted(part) for part in segments)
        joined = url.with_path(f"{url.raw_path.rstrip('/')}/{path}", encoded=True)
        return joined.with_query(dict(query)) if query else joined

    def socket(self, client_id: str) -> URL:
        """Address of the WebSocket for `client_id`."""
        url = self.endpoint("ws", query={"clientId": client_id})
        return url.with_scheme(WEBSOCKET_SCHEMES[url.scheme])

    def secret_headers(self) -> dict[str, str]:
        """The operator's headers and the basic credentials, for every request and the WebSocket."""
        headers = dict(self.headers)
        if self.basic_auth is not None:
            pair = ":".join(self.basic_auth).encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
        return headers


def _parsed(url: str) -> URL:
    try:
        parsed = URL(url)
    except ValueError:
        raise SettingsError("url cannot be read: write it as http://host:port") from None
    shown = str(parsed.with_user(None)) if parsed.absolute and parsed.host else "(not shown)"
    if parsed.scheme not in WEBSOCKET_SCHEMES or not parsed.host:
        raise SettingsError(f"url {shown!r} must start with http:// or https:// and name a host")
    if parsed.query_string or parsed.fragment:
        raise SettingsError(f"url {parsed.host!r} carries a query or fragment: only a path prefix may follow")
    return parsed


def _check_headers(url: str, headers: Mapping[str, str], basic_auth: tuple[str, str] | None) -> None:
    for name, value in headers.items():
        if not name or not name.isascii() or any(c in "\r\n\0" for c in name + value):
            raise SettingsError(f"headers of {url!r}: {name!r} is not a header name with a one-line value")
    if basic_auth is not None and any(name.lower() == "authorization" for name in headers):
        raise SettingsError(f"{url!r} has basic_auth and an Authorization header: keep one of the two")


def _quoted(segment: str) -> str:
    return quote(segment, safe="")
