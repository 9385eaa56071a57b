"""HTTP/1.1 read by httptools, with a limit on what is no body.

uvicorn's other parser, h11, stops at 64 KiB of request line and headers; httptools takes any number of them,
and of trailers and chunk extensions.
"""

from __future__ import annotations

from typing import Any, Final

from comfygate.api.account_events import CUT

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError:  # it is there for CPython alone
    PROTOCOL: Any = "h11"
else:

    class LimitedProtocol(HttpToolsProtocol):
        """A connection that is closed when it sends HEAD_BYTES_MAX without coming to a body."""

        _bytes_since: int = 0

        def data_received(self, data: bytes) -> None:
            """Bytes came in."""
            self._bytes_since += len(data)
            super().data_received(data)
            if self._bytes_since > HEAD_BYTES_MAX and not self.transport.is_closing():
                self.send_400_response("Request line and headers are too long.")

        def on_header(self, name: bytes, value: bytes) -> None:
            """A header was read. Trailers come while the application has the request: they are dropped."""
            if not self._with_application:
                super().on_header(name, value)

        def on_message_begin(self) -> None:
            """A request begins."""
            self._with_application = False
            super().on_message_begin()
            # For streams whose reader does not read: a close would wait for it.
            extensions: dict[str, Any] = {CUT: self.transport.abort}
            self.scope["extensions"] = extensions

        def on_headers_complete(self) -> None:
            """Its headers are whole."""
            self._bytes_since, self._with_application = 0, True
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            """A piece of its body was read, which the application counts."""
            self._bytes_since = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            """It is whole."""
            self._bytes_since = 0
            super().on_message_complete()

    PROTOCOL = LimitedProtocol

HEAD_BYTES_MAX: Final = 64 * 1024
"""Most bytes that a request may have before its body, and between two pieces of that."""
