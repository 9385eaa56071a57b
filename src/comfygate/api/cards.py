"""Jobs as pages show them: what was ordered, what it cost, what went in, when it ends; and deleting them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from comfygate.api.auth import TheAccount
from comfygate.api.bodies import job_body
from comfygate.api.face import Face, TheFace, known_id
from comfygate.api.reference import refusals
from comfygate.api.wire import EtaBody, JobBody
from comfygate.gate import cards
from comfygate.gate.cards import Card
from comfygate.gate.eta import eta_json

LIMIT_DEFAULT: Final = 24

router = APIRouter(prefix="/gate/v1/jobs", tags=["jobs"])


class SentBody(BaseModel):
    """A file that went into a job and is still there. `input`: its name in the workflow."""

    input: str
    asset_id: str
    name: str | None
    content_type: str


class CardBody(JobBody):
    """A job with what surrounds it.

    `workflow` is null for a graph of your own. `charged` is what it costs you, and `hold` where these
    credits are: set aside (`placed`), spent (`captured`), refunded (`released`), or `none` of a free job.
    """

    workflow: str | None
    style: str | None
    lane: str
    charged: int
    hold: Literal["none", "placed", "captured", "released"]
    inputs: list[SentBody]
    eta: EtaBody | None

    @classmethod
    def of(cls, face: Face, request: Request, card: Card) -> Self:
        """As the account sees it."""
        job = card.view.job
        return cls(
            **dict(job_body(face, request, card.view)),
            workflow=job.workflow_name or None,
            style=job.style or None,
            lane=job.lane,
            charged=job.price,
            hold=job.hold.value,
            inputs=[
                SentBody(input=name, asset_id=asset.id, name=asset.file_path, content_type=asset.content_type)
                for name, asset in card.inputs
            ],
            eta=None if card.eta is None else EtaBody.model_validate(eta_json(card.eta)),
        )


class OrderedCardBody(CardBody):
    """A job with the values that it was ordered with, by parameter; null where they cannot be told."""

    parameters: Annotated[dict[str, Any] | None, Field(examples=[{"strength": 0.6}])]


class CardsBody(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[CardBody]
    next_cursor: Annotated[str | None, Field(description="Give it back as `cursor`; null on the last page.")]


@router.get("", operation_id="listCards", response_model=CardsBody, responses=refusals(401, 403, 422))
async def list_cards(
    request: Request,
    face: TheFace,
    account: TheAccount,
    status: Annotated[list[str] | None, Query(description="Only these statuses; repeat it.")] = None,
    workflow: Annotated[
        str | None,
        Query(
            max_length=64, pattern=r"^[^\x00]*$", description="Only jobs of this workflow of the catalogue."
        ),
    ] = None,
    limit: Annotated[int, Query(description="Jobs in a page.", ge=1, le=10_000)] = LIMIT_DEFAULT,
    cursor: Annotated[
        str | None, Query(description="`next_cursor` of the page before.", max_length=64)
    ] = None,
) -> Response:
    """Your jobs with what they were ordered as and what they cost, newest first, a page at a time. A page may
    be short, or empty, and still have a next one."""
    page = await cards.page(
        face.ctx, account.id, statuses=status or [], workflow=workflow, limit=limit, cursor=cursor
    )
    body = CardsBody(
        jobs=[CardBody.of(face, request, card) for card in page.cards], next_cursor=page.next_cursor
    )
    return JSONResponse(body.model_dump(mode="json"))


@router.get(
    "/{id}", operation_id="getCard", response_model=OrderedCardBody, responses=refusals(401, 403, 404)
)
async def get_card(request: Request, id: str, face: TheFace, account: TheAccount) -> Response:  # noqa: A002
    """One job with the values that it was ordered with."""
    card, values = await cards.card(face.ctx, known_id("job", id), account.id)
    body = OrderedCardBody(**dict(CardBody.of(face, request, card)), parameters=values)
    return JSONResponse(body.model_dump(mode="json"))


@router.delete("/{id}", operation_id="deleteJob", status_code=204, responses=refusals(401, 403, 404, 409))
async def delete_job(id: str, face: TheFace, account: TheAccount) -> Response:  # noqa: A002
    """Delete what an ended job made, and the job from your lists. Your ledger keeps its entries."""
    await cards.forget(face.ctx, known_id("job", id), account.id)
    return Response(status_code=204)
