"""The pages as files: signing in, the Studio, and what they are made of.

They hold no data; scripts fetch it as the session's account, so that a page shows nobody more than the API.
A page is an HTML file at the top of `pages/`; all else is served below `/web/<release>/`, where the release
is a digest of all files: browsers keep those for good, and a new release has new addresses. Every address in
the files is relative, so that they hold behind any path prefix.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from comfygate.domain.errors import NotFound

CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self';"
    " connect-src 'self'; font-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
"""`blob:` shows a picture before it is uploaded, and previews. No script can make HTML of a string."""
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
FOR_GOOD: Final = "public, max-age=31536000, immutable"
KINDS: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
RELEASE_CHARS: Final = 12

router = APIRouter(include_in_schema=False)


@cache
def files() -> dict[str, bytes]:
    """Every file of the pages by its path below `pages/`."""
    found: dict[str, bytes] = {}

    def walk(folder: Traversable, path: PurePosixPath) -> None:
        for one in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if one.is_dir():
                walk(one, path / one.name)
            elif PurePosixPath(one.name).suffix in KINDS:
                found[str(path / one.name)] = one.read_bytes()

    walk(resources.files("comfygate.web") / "pages", PurePosixPath())
    return found


@cache
def release() -> str:
    """What names the present files: it changes with any of them."""
    digest = hashlib.sha256()
    for name, content in files().items():
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()[:RELEASE_CHARS]


@cache
def html(name: str) -> bytes:
    """A page, with the addresses of its parts as they are in this release."""
    return files()[name].replace(b'"web/', f'"web/{release()}/'.encode())


def pages() -> tuple[str, ...]:
    """The HTML files; each is served at its name without the ending."""
    return tuple(name for name in files() if name.endswith(".html"))


@router.get("/me")
async def moved() -> Response:
    """Where the account's page was before there was a Studio."""
    return Response(status_code=307, headers={**HEADERS, "Location": "studio"})


@router.get("/web/{named}/{path:path}")
async def part(request: Request, named: str, path: str) -> Response:
    """A script, style sheet or text. One asked for by an older release's address is today's, and not kept."""
    content = files().get(path)
    if content is None or path.endswith(".html"):
        raise NotFound("there is no such part of the pages; load the page again")
    kept = FOR_GOOD if named == release() else "no-store"
    return Response(
        content,
        media_type=KINDS[PurePosixPath(path).suffix],
        headers={**HEADERS, "Cache-Control": kept},
    )


def _serve(name: str) -> None:
    async def page(request: Request) -> Response:
        content, etag = html(name), f'"{release()}"'
        headers = {**HEADERS, "Cache-Control": "no-cache", "ETag": etag}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type="text/html", headers=headers)

    path = f"/{name.removesuffix('.html')}"
    router.add_api_route(path, page, methods=["GET"], response_model=None, include_in_schema=False)


for _name in pages():
    _serve(_name)
