"""The pages as files: signing in, and what an account has.

They hold no data; scripts fetch it as the session's account, so that a page shows nobody more than the API.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self';"
    " connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
_KINDS: Final = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
PAGES: Final = {
    "/sign-in": "sign-in.html",
    "/me": "me.html",
    "/web/sign-in.js": "sign-in.js",
    "/web/me.js": "me.js",
    "/web/pages.css": "pages.css",
}
"""Address to file."""

router = APIRouter(include_in_schema=False)


@cache
def _content(name: str) -> bytes:
    return (resources.files("comfygate.web") / "pages" / name).read_bytes()


def _serve(path: str, name: str) -> None:
    async def page() -> Response:
        return Response(_content(name), media_type=_KINDS[name.rpartition(".")[2]], headers=HEADERS)

    router.add_api_route(path, page, methods=["GET"], response_model=None, include_in_schema=False)


for _path, _name in PAGES.items():
    _serve(_path, _name)
