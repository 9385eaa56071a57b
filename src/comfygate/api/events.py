"""A job's live events as server-sent events: the present state first, then what happens, to the last status.

A stream counts against its account's limit for exactly as long as it is open. It is a convenience: the job
itself, polled, is always the truth.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import lru_cache
from typing import assert_never, cast

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from comfygate.api.auth import TheAccount
from comfygate.api.bodies import output_body, progress_body
from comfygate.api.face import API, Face, TheFace, known_id
from comfygate.api.reference import EVENTS_ANSWER
from comfygate.api.streaming import KEEP_ALIVE_SECONDS, STILL_HERE, Stream, send_text
from comfygate.api.wire import PreviewFrame, Status, StatusFrame
from comfygate.domain.errors import NotFound
from comfygate.gate import views
from comfygate.gate.following import follow_together, look
from comfygate.gate.live import LiveEvent, PreviewEvent, ProgressEvent, StatusEvent
from comfygate.gate.views import JobView

router = APIRouter(prefix=API, tags=["jobs"])


@router.get(
    "/jobs/{id}/events", operation_id="getJobEvents", response_class=Response, responses=EVENTS_ANSWER
)
async def get_job_events(request: Request, id: str, face: TheFace, account: TheAccount) -> Response:  # noqa: A002
    """Follow a job live: `status` (with the place in line), `progress`, `preview`, `output`.

    There is no replay: after a break connect again and read the present state. Every 15 s of silence bring a
    comment. Outputs come right before the status that ends the stream.
    """
    view = await views.get_job(face.ctx, known_id("job", id), account.id)
    return EventStream(face, request, view)


class EventStream(Stream):
    """Streams a job until it has ended. Trouble cuts it off: an end would say that the job's is told."""

    quiet = ()

    def __init__(self, face: Face, request: Request, view: JobView) -> None:
        super().__init__(face, view.job.account_id)
        self._request, self._job_id, self._lane = request, view.job.id, view.job.lane

    async def tell(self, send: Send) -> None:
        """Send every event as it comes, and a comment after each silence."""
        events = follow_together(
            self._face.ctx, self._job_id, self._account_id, self._lane, silence_seconds=KEEP_ALIVE_SECONDS
        )
        async with aclosing(events) as source:
            try:
                async for together in source:
                    frames = [frame for event in together async for frame in self._frames(event)]
                    await send_text(send, "".join(frames) or STILL_HERE)
            except NotFound:
                # The job's time ran out while it was watched.
                return

    async def _frames(self, event: LiveEvent) -> AsyncIterator[str]:
        match event:
            case StatusEvent():
                if event.ends:
                    view = await look(self._face.ctx, self._job_id, self._account_id)
                    for output in view.outputs:
                        yield _frame("output", output_body(self._face, self._request, output))
                yield _status_frame(event.status, event.position)
            case ProgressEvent():
                yield _progress_frame(event)
            case PreviewEvent():
                yield _preview_frame(event)
            case _:
                assert_never(event)


# Written once, however many follow the job.


@lru_cache(maxsize=2048)
def _status_frame(status: str, position: int | None) -> str:
    return _frame("status", StatusFrame(status=cast("Status", status), queue_position=position))


@lru_cache(maxsize=1024)
def _progress_frame(event: ProgressEvent) -> str:
    return _frame("progress", progress_body(event))


@lru_cache(maxsize=32)
def _preview_frame(event: PreviewEvent) -> str:
    data = base64.b64encode(event.data).decode("ascii")
    body = PreviewFrame(node_id=event.node_id, content_type=event.content_type, data_base64=data)
    return _frame("preview", body)


def _frame(name: str, body: BaseModel) -> str:
    return f"event: {name}\ndata: {body.model_dump_json()}\n\n"
