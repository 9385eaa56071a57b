"""HTTP/1.1 read by httptools, with limits on what is no body, and with what uvicorn gets wrong there mended.

uvicorn's other parser, h11, stops at 64 KiB of request line and headers; httptools takes any number of them,
and of trailers and chunk extensions. It takes the body of a request that asks for another protocol for that
protocol's, and then for the next request; and of two requests sent at once only the second one hears that the
caller is gone.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from typing import Any, Final

from comfygate.api.streaming import CUT

try:
    import httptools
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
except ImportError:  # it is there for CPython alone
    PROTOCOL: Any = "h11"
else:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class LimitedProtocol(HttpToolsProtocol):
        """A connection that is closed when it sends HEAD_BYTES_MAX, or takes HEAD_SECONDS_MAX, without coming
        to a body or to the end of a head."""

        _bytes_since: int = 0
        _with_application: bool = False
        _late: TimerHandle | None = None
        _open: tuple[RequestResponseCycle, ...] = ()
        """The last request, and those before it that were not answered when it came."""

        @property
        def _unanswered(self) -> list[RequestResponseCycle]:
            return [cycle for cycle in self._open if not cycle.response_complete]

        def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
            """Somebody is there."""
            super().connection_made(transport)
            self._expect_a_head()

        def connection_lost(self, exc: Exception | None) -> None:
            """Nobody is there any more: all who work for them hear of it."""
            self._expect_nothing()
            for cycle in self._unanswered:
                cycle.disconnected = True
                cycle.message_event.set()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            """Bytes came in."""
            self._unset_keepalive_if_required()
            self._bytes_since += len(data)
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as asked:
                self._hand_over(data[asked.args[0] :])
                return
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return
            if self._bytes_since > HEAD_BYTES_MAX and not self.transport.is_closing():
                self.send_400_response("Request line and headers are too long.")
            elif self._late is None and not self._unanswered:
                self._expect_a_head()

        def send_400_response(self, msg: str) -> None:
            """Answer what cannot be read, unless the answer would be taken for another request's."""
            if all(
                one is self.cycle and one.more_body and not one.response_started for one in self._unanswered
            ):
                self.logger.warning(msg)
                super().send_400_response(msg)
            else:
                self.transport.close()

        def on_message_begin(self) -> None:
            """A request begins."""
            self._with_application = False
            super().on_message_begin()
            # For streams whose reader does not read: a close would wait for it.
            extensions: dict[str, Any] = {CUT: self.transport.abort}
            self.scope["extensions"] = extensions

        def on_header(self, name: bytes, value: bytes) -> None:
            """A header was read. Trailers come while the application has the request: they are dropped."""
            if not self._with_application:
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            """Its headers are whole. Raises ValueError, which is answered with 400, unless they name one
            host."""
            self._expect_nothing()
            self._bytes_since, self._with_application = 0, True
            hosts = sum(name == b"host" for name, _ in self.headers)
            if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
                raise ValueError(f"{hosts} Host headers")
            if self.parser.should_upgrade():
                # Read once more, by h11.
                return
            super().on_headers_complete()
            self._open = (*self._unanswered, self.cycle)

        def on_body(self, body: bytes) -> None:
            """A piece of its body was read, which the application counts."""
            self._bytes_since = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            """It is whole."""
            self._bytes_since = 0
            if not self.parser.should_upgrade():
                super().on_message_complete()

        def _hand_over(self, rest: bytes) -> None:
            """A request asks for another protocol, which is declined: h11 reads it as what it is, and the
            connection ends with its answer."""
            if self._unanswered:
                self.transport.close()
                return
            version = self.parser.get_http_version().encode()
            head = [self.parser.get_method(), b" ", self.url, b" HTTP/", version, b"\r\n"]
            for name, value in self.headers:
                if name not in {b"upgrade", b"connection"}:
                    head += [name, b": ", value, b"\r\n"]
            self.connections.discard(self)
            successor = H11Protocol(self.config, self.server_state, self.app_state)
            successor.connection_made(self.transport)
            self.transport.set_protocol(successor)
            successor.data_received(b"".join([*head, b"connection: close\r\n\r\n", rest]))

        def _expect_a_head(self) -> None:
            self._late = self.loop.call_later(HEAD_SECONDS_MAX, self.timeout_keep_alive_handler)

        def _expect_nothing(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

    PROTOCOL = LimitedProtocol

HEAD_BYTES_MAX: Final = 64 * 1024
"""Most bytes that a request may have before its body, and between two pieces of that."""
HEAD_SECONDS_MAX: Final = 60.0
"""How long a connection may take to its first request, and a request to the end of its head."""
