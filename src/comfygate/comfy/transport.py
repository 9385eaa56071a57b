"""HTTP to one server: every request bounded in time and size, with its credentials, never redirected.

All trouble comes out as one of `comfygate.comfy.errors`; a caller sees no exception of aiohttp. An answer
that is not JSON where JSON belongs counts as the server being unreachable: something else (a proxy, a login
page) answers in its place.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from comfygate.comfy.address import ServerAddress
from comfygate.comfy.errors import AnswerTooLarge, RequestRefused, ServerRefused, ServerUnreachable
from comfygate.comfy.wire import Timeouts

PARSE_ASIDE_BYTES = 512 * 1024
"""Longer answers are parsed in a thread, so that the event loop keeps turning."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and the JSON that came with it; `data` is None where the body was empty or not JSON."""

    status: int
    data: Any


class Transport:
    """Requests to one server over a shared `aiohttp.ClientSession` (which must have no `auth` of its own)."""

    def __init__(self, address: ServerAddress, session: aiohttp.ClientSession, timeouts: Timeouts) -> None:
        self._address = address
        self._session = session
        self.timeouts = timeouts
        self._limits = self._limited(timeouts.answer_seconds)
        self._headers = address.secret_headers()
        self._headers_of_json = {**self._headers, "Content-Type": "application/json"}
        self.answered_at = float("-inf")
        """When the server last answered as it should, by the event loop's clock."""

    def _limited(self, seconds: float) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=seconds, sock_connect=self.timeouts.connect_seconds)

    @property
    def server(self) -> str:
        """The server's address as it may be shown."""
        return self._address.url

    async def get_json(
        self,
        *segments: str,
        query: Mapping[str, str] | None = None,
        bytes_max: int | None = None,
    ) -> Any:
        """The JSON of a 200. Raises ServerUnreachable, ServerRefused, RequestRefused, AnswerTooLarge."""
        answer = await self.call("GET", *segments, query=query, bytes_max=bytes_max)
        self.expect_success(answer.status, segments)
        if answer.data is None:
            raise self._unreachable(segments, "the answer is not JSON")
        return answer.data

    async def get_bytes(self, *segments: str, bytes_max: int, seconds: float) -> bytes:
        """The body of a 200, unread. Raises as `get_json`."""
        limits = self._limited(seconds)
        status, raw = await self._answered("GET", segments, None, None, self._headers, limits, bytes_max)
        self.expect_success(status, segments)
        return raw

    async def post_json(self, *segments: str, body: Any) -> Answer:
        """POST `body` and require a 2xx. Raises as `get_json`; a 200 without JSON is fine (`data` is
        None).
        """
        answer = await self.call("POST", *segments, body=body)
        self.expect_success(answer.status, segments)
        return answer

    async def call(
        self,
        method: str,
        *segments: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        form: aiohttp.MultipartWriter | None = None,
        bytes_max: int | None = None,
        seconds: float | None = None,
        is_large: bool = False,
    ) -> Answer:
        """One exchange. Statuses below 500 come back as they are, save 401, 403 and 429, which raise.

        A `body` that `is_large` is written in a thread.
        """
        limits = self._limits if seconds is None else self._limited(seconds)
        payload: Any = form
        headers = self._headers
        if body is not None:
            payload = await asyncio.to_thread(_encoded, body) if is_large else _encoded(body)
            headers = self._headers_of_json
        most = bytes_max or self.timeouts.json_bytes_max
        status, raw = await self._answered(method, segments, query, payload, headers, limits, most)
        return Answer(status, await _decoded(raw))

    async def _answered(
        self,
        method: str,
        segments: tuple[str, ...],
        query: Mapping[str, str] | None,
        payload: Any,
        headers: Mapping[str, str],
        limits: aiohttp.ClientTimeout,
        bytes_max: int,
    ) -> tuple[int, bytes]:
        with self._trouble_told(segments):
            async with self._session.request(
                method,
                self._address.endpoint(*segments, query=query),
                data=payload,
                headers=headers,
                timeout=limits,
                allow_redirects=False,
            ) as reply:
                raw = await self._read(reply, segments, bytes_max)
                self._raise_for_trouble(reply.status, segments)
                self.answered_at = asyncio.get_running_loop().time()
                return reply.status, raw

    @asynccontextmanager
    async def stream(
        self, *segments: str, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """GET as (status, chunks); silence within it is limited, its length is the reader's to limit."""
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=self.timeouts.connect_seconds,
            sock_read=self.timeouts.transfer_stall_seconds,
        )
        url = self._address.endpoint(*segments, query=query)
        with self._trouble_told(segments):
            async with self._session.request(
                "GET", url, headers=self._headers, timeout=timeout, allow_redirects=False
            ) as reply:
                self._raise_for_trouble(reply.status, segments)
                yield reply.status, reply.content.iter_any()

    def expect_success(self, status: int, segments: tuple[str, ...]) -> None:
        """Raise RequestRefused unless the status is a 2xx."""
        if not 200 <= status < 300:
            hint = " (redirects are not followed)" if 300 <= status < 400 else ""
            raise RequestRefused(
                f"{_name(segments)} answered {status}{hint}", server=self.server, status=status
            )

    @contextmanager
    def _trouble_told(self, segments: tuple[str, ...]) -> Iterator[None]:
        try:
            yield
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise self._unreachable(segments, _reason(error), maybe_accepted=False) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(segments, _reason(error)) from error

    async def _read(self, reply: aiohttp.ClientResponse, segments: tuple[str, ...], bytes_max: int) -> bytes:
        pieces: list[bytes] = []
        total = 0
        async for piece in reply.content.iter_any():
            total += len(piece)
            if total > bytes_max:
                reply.close()
                raise AnswerTooLarge(
                    f"the answer is longer than {bytes_max} bytes", server=self.server, path=_name(segments)
                )
            pieces.append(piece)
        return b"".join(pieces)

    def _raise_for_trouble(self, status: int, segments: tuple[str, ...]) -> None:
        if status in (401, 403):
            raise ServerRefused(
                f"{_name(segments)} answered {status}: correct headers or basic_auth of this server",
                server=self.server,
                status=status,
            )
        if status == 429:
            raise self._unreachable(segments, "answered 429, too many requests", maybe_accepted=False)
        if status >= 500:
            raise self._unreachable(segments, f"answered {status}")

    def _unreachable(
        self, segments: tuple[str, ...], reason: str, *, maybe_accepted: bool = True
    ) -> ServerUnreachable:
        return ServerUnreachable(
            f"{_name(segments)}: {reason}", server=self.server, maybe_accepted=maybe_accepted
        )


def _name(segments: tuple[str, ...]) -> str:
    return "/" + "/".join(segments)


def _reason(error: BaseException) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return "cannot connect (its certificate is not trusted)"
        case aiohttp.ClientConnectorError():
            return f"cannot connect ({error.os_error.strerror or type(error.os_error).__name__})"
        case TimeoutError():
            return "no answer in time"
        case _:
            return f"connection broke ({type(error).__name__})"


def _encoded(body: Any) -> bytes:
    return json.dumps(body).encode()


async def _decoded(raw: bytes) -> Any:
    if len(raw) < PARSE_ASIDE_BYTES:
        return _json_or_none(raw)
    return await asyncio.to_thread(_json_or_none, raw)


def _json_or_none(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
