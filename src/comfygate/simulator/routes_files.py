"""POST /upload/image and GET /view, as recorded on ComfyUI 0.3.64, never outside the simulator's folders."""

from __future__ import annotations

import asyncio
import mimetypes
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from aiohttp import web
from PIL import Image

from comfygate.simulator.files import Folders, inside

_PREVIEW_QUALITY = 90
_FORCED_DOWNLOADS = {
    "text/html",
    "text/html-sandboxed",
    "application/xhtml+xml",
    "text/javascript",
    "text/css",
}


@dataclass(frozen=True, slots=True)
class FileRoutes:
    """Handlers."""

    folders: Folders

    async def upload(self, request: web.Request) -> web.Response:
        """POST /upload/image: a clash is renamed, identical bytes are reused, `overwrite=true` clobbers.

        A `type` that is no folder, or an `image` field that is no file, ends in 500 as in ComfyUI.
        """
        form = await request.post()
        type_ = form.get("type")
        folder_name = "input" if type_ is None else str(type_)
        root = self.folders.of_type(folder_name)
        if root is None:
            raise LookupError(f"upload type {folder_name!r}")
        image = form.get("image")
        if image is None:
            return web.Response(status=400)
        if not isinstance(image, web.FileField):
            raise TypeError("the image field holds no file")
        if not image.filename:
            return web.Response(status=400)
        subfolder = str(form.get("subfolder", ""))
        folder = inside(root, subfolder)
        wanted = inside(root, f"{subfolder}/{image.filename}" if subfolder else image.filename)
        if folder is None or wanted is None or wanted == root:
            return web.Response(status=400)
        overwrite = form.get("overwrite") in {"true", "1"}
        name = await asyncio.to_thread(_store, folder, image.filename, image.file.read(), overwrite=overwrite)
        return web.json_response({"name": name, "subfolder": subfolder, "type": folder_name})

    async def view(self, request: web.Request) -> web.StreamResponse:
        """GET /view: the file, or with `preview=webp;80` re-encoded; 404 unknown, 400 or 403 outside."""
        query = request.query
        if "filename" not in query:
            return web.Response(status=404)
        filename = query["filename"]
        root = self.folders.of_type(query.get("type", "output"))
        if not filename or filename.startswith("/") or ".." in filename or root is None:
            return web.Response(status=400)
        folder = inside(root, query.get("subfolder", ""))
        if folder is None:
            return web.Response(status=403)
        path = inside(folder, Path(filename).name)
        if path is None or not path.is_file():
            return web.Response(status=404)
        disposition = {"Content-Disposition": f'filename="{path.name}"'}
        if "preview" in query:
            kind, body = await asyncio.to_thread(_preview, path, query["preview"], query.get("channel", ""))
            return web.Response(body=body, content_type=kind, headers=disposition)
        mime = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        if mime in _FORCED_DOWNLOADS:
            mime = "application/octet-stream"
        return web.FileResponse(path, headers={**disposition, "Content-Type": mime})


def _store(folder: Path, filename: str, content: bytes, *, overwrite: bool) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / filename
    path.parent.mkdir(parents=True, exist_ok=True)
    name, number = filename, 1
    stem, suffix = path.stem, path.suffix
    while not overwrite and path.exists():
        if path.read_bytes() == content:
            return name
        name = f"{stem} ({number}){suffix}"
        path = folder / name
        number += 1
    path.write_bytes(content)
    return name


def _preview(path: Path, wanted: str, channel: str) -> tuple[str, bytes]:
    pieces = wanted.split(";")
    kind = pieces[0] if pieces[0] in {"webp", "jpeg"} and "a" not in channel else "webp"
    quality = int(pieces[-1]) if pieces[-1].isdigit() else _PREVIEW_QUALITY
    buffer = BytesIO()
    with Image.open(path) as opened:
        picture = opened.convert("RGB") if kind == "jpeg" or channel == "rgb" else opened
        picture.save(buffer, format=kind, quality=quality)
    return f"image/{kind}", buffer.getvalue()
