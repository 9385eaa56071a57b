"""All that happens to an account as server-sent events: one stream for however many jobs.

Whoever reads slowly gets the newest only, and is cut off once nothing more goes out for a while; nothing and
nobody else waits for them.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final, cast

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from comfygate.api.auth import Credentials, TheAccount, account_of
from comfygate.api.bodies import progress_body
from comfygate.api.cards import CardBody
from comfygate.api.face import Face, TheFace
from comfygate.api.reference import ACCOUNT_EVENTS_ANSWER
from comfygate.api.streaming import STILL_HERE, Stream, send_text
from comfygate.api.wire import AccountBody, EtaBody, PreviewFrame, ProgressBody
from comfygate.domain.errors import AccessRefused, GateError
from comfygate.gate.account_feed import News, follow_account
from comfygate.gate.eta import eta_json

KEEP_ALIVE_SECONDS: Final = 15.0
"""Silence after which a comment is sent, and it is asked whether the session still stands."""
SEND_SECONDS_MAX: Final = 30.0
"""How long a frame may wait for a browser that does not read; then its stream ends."""
router = APIRouter(tags=["account"])


class MovedFrame(BaseModel):
    """Data of a `moved` event: a queued job's place in line. `eta` is null if none was made just now."""

    id: str
    queue_position: int | None
    eta: EtaBody | None


class JobProgressFrame(ProgressBody):
    """Data of a `progress` event."""

    id: str


class JobPreviewFrame(PreviewFrame):
    """Data of a `preview` event."""

    id: str


class GoneFrame(BaseModel):
    """Data of a `gone` event: a job that you have no longer."""

    id: str


class AllFrame(BaseModel):
    """Data of the `all` event: the ids of all your jobs that have not ended. It comes once, when how
    everything stands was told."""

    ids: list[str]


@router.get(
    "/gate/v1/events",
    operation_id="getAccountEvents",
    response_class=Response,
    responses=ACCOUNT_EVENTS_ANSWER,
)
async def get_account_events(
    request: Request, face: TheFace, credentials: Credentials, account: TheAccount
) -> Response:
    """Follow all that is yours: `account`, `job`, `moved`, `progress`, `preview`, `gone`.

    First how all stands: your account, every job that has not ended, and `all`. There is no replay: after a
    break connect again. A reader that is too slow gets the newest only.
    """
    return AccountStream(face, request, credentials, account.id)


class AccountStream(Stream):
    """Streams until the client leaves or reads no more, its key or session ends, or the service stops."""

    def __init__(self, face: Face, request: Request, credentials: Credentials, account_id: str) -> None:
        super().__init__(face, account_id)
        self._request, self._credentials = request, credentials

    async def tell(self, send: Send) -> None:
        """Send what there is as it comes, and a comment after each silence. Raises TimeoutError when nobody
        reads."""
        news = follow_account(self._face.ctx, self._account_id)
        async with aclosing(cast("AsyncIterator[News]", news)) as source:  # type: ignore[type-var]
            coming = asyncio.ensure_future(anext(source))
            look_at = asyncio.get_running_loop().time() + KEEP_ALIVE_SECONDS
            try:
                while True:
                    await asyncio.wait({coming}, timeout=KEEP_ALIVE_SECONDS)
                    if asyncio.get_running_loop().time() >= look_at:
                        if not await self._may_still():
                            return
                        look_at = asyncio.get_running_loop().time() + KEEP_ALIVE_SECONDS
                        await send_text(send, STILL_HERE, SEND_SECONDS_MAX)
                    if coming.done():
                        await send_text(send, "".join(self._frames(coming.result())), SEND_SECONDS_MAX)
                        coming = asyncio.ensure_future(anext(source))
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)

    async def _may_still(self) -> bool:
        """Whether key or session still stand for the account."""
        try:
            account = await account_of(self._request, self._face, self._credentials)
        except AccessRefused:
            return False
        except GateError:
            # The database is away; that ends nobody's right.
            return True
        return account.id == self._account_id

    def _frames(self, news: News) -> list[str]:
        frames: list[str] = []

        def add(name: str, body: BaseModel) -> None:
            frames.append(f"event: {name}\ndata: {body.model_dump_json()}\n\n")

        if news.account is not None:
            add("account", AccountBody.of(news.account))
        for card in news.cards:
            add("job", CardBody.of(self._face, self._request, card))
        for job_id in news.gone:
            add("gone", GoneFrame(id=job_id))
        for moved in news.moved:
            when: Any = eta_json(moved.eta)
            add("moved", MovedFrame(id=moved.job_id, queue_position=moved.position, eta=when))
        for job_id, progress in news.progress:
            add("progress", JobProgressFrame(id=job_id, **dict(progress_body(progress))))
        for job_id, preview in news.previews:
            data = base64.b64encode(preview.data).decode("ascii")
            kind = preview.content_type
            frame = JobPreviewFrame(id=job_id, node_id=preview.node_id, content_type=kind, data_base64=data)
            add("preview", frame)
        if news.first:
            add("all", AllFrame(ids=[card.view.job.id for card in news.cards]))
        return frames
