"""Results of several jobs as one file: a zip that is made while it is sent, whatever its size."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from comfygate.api.auth import TheAccount
from comfygate.api.face import Face, TheFace, known_id
from comfygate.api.reference import ZIP_ANSWER
from comfygate.domain.errors import InvalidRequest, NotFound, PayloadTooLarge
from comfygate.gate import files, views
from comfygate.gate.rows import AssetRow

JOBS_MAX: Final = 100
BYTES_MAX: Final = 4 * 1024**3
"""Of one zip; its readers would need the newer format for more."""

router = APIRouter(tags=["assets"])


@router.get(
    "/gate/v1/outputs.zip",
    operation_id="downloadOutputs",
    response_class=Response,
    responses=ZIP_ANSWER,
)
async def download_outputs(
    request: Request,
    face: TheFace,
    account: TheAccount,
    job: Annotated[list[str], Query(description=f"Ids of your jobs, at most {JOBS_MAX}; repeat it.")],
) -> Response:
    """What these jobs of yours made, in one zip. Jobs that made nothing, or that are gone, are left out."""
    if len(job) > JOBS_MAX:
        raise InvalidRequest(
            f"job is given {len(job)} times: the most is {JOBS_MAX}", details={"field": "job"}
        )
    keys = [(known_id("job", one), account.id) for one in dict.fromkeys(job)]
    found = await views.get_jobs(face.ctx, keys)
    outputs = [output for view in found.values() for output in view.outputs]
    if not outputs:
        raise NotFound("none of these jobs of yours has a result that is still there")
    size = sum(output.size_bytes for output in outputs)
    if size > BYTES_MAX:
        raise PayloadTooLarge(
            f"these results have {size} bytes together; the most in one zip is {BYTES_MAX}: take fewer jobs"
        )
    name = f"comfygate-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(_zipped(face, outputs), media_type="application/zip", headers=headers)


class _Pieces:
    """A file that can only be written on to, and gives away what was written."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._at = 0

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """Nothing is held back."""

    def taken(self) -> bytes:
        taken = b"".join(self._written)
        self._written.clear()
        return taken


async def _zipped(face: Face, outputs: list[AssetRow]) -> AsyncIterator[bytes]:
    """Pictures and clips are compressed already: they are stored as they are."""
    pieces = _Pieces()
    names: set[str] = set()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for output in outputs:
            moment = datetime.fromtimestamp(output.created_at_ms / 1000, UTC)
            info = zipfile.ZipInfo(_name_of(output, names), moment.timetuple()[:6])
            # Known beforehand: what is larger than 2 GiB takes another form.
            info.file_size = output.size_bytes
            with archive.open(info, "w") as entry:
                async for piece in files.read_bytes(face.ctx, output):
                    entry.write(piece)
                    yield pieces.taken()
    yield pieces.taken()


def _name_of(output: AssetRow, taken: set[str]) -> str:
    """A name of its own in the zip, without folders."""
    name = (output.name or output.id).replace("\\", "/").rpartition("/")[2].strip(". ") or output.id
    stem, dot, ending = name.rpartition(".")
    if name in taken:
        name = f"{stem or ending}-{output.id[:8]}{dot if stem else ''}{ending if stem else ''}"
    if name in taken:
        name = f"{output.id}{dot}{ending}"
    taken.add(name)
    return name
