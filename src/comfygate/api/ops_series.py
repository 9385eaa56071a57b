"""Plots over HTTP: a measure over one hour, a day, a week or a month, as JSON or CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from comfygate.api.csv_answer import Row, csv_answer
from comfygate.api.face import TheFace
from comfygate.api.ops_auth import PREFIX, PRIVATE, TheOperator
from comfygate.api.reference import refusals
from comfygate.gate import ops_series

router = APIRouter(prefix=PREFIX, tags=["operations"])
_RESPONSES: Final = refusals(401, 403, 422, 429)


@router.get("/series", operation_id="opsSeries", response_class=Response, responses=_RESPONSES)
async def series(
    face: TheFace,
    operator: TheOperator,
    measure: Annotated[
        Literal["wait", "ended", "blame", "busy", "credits", "eta"],
        Query(description="wait: by lane and tier; busy: by server; credits: in, out and back."),
    ],
    range: Annotated[  # noqa: A002 - the name in the address
        Literal["1h", "24h", "7d", "30d"], Query(description="Up to now, by minutes, hours or days.")
    ] = "1h",
    format: Literal["json", "csv"] = "json",  # noqa: A002 - the name in the address
) -> Response:
    """A measure from the stored aggregates. Points where nothing happened are left out."""
    found = await ops_series.series(face.ctx, measure, range)
    if format == "json":
        return JSONResponse(found, headers=PRIVATE)

    async def pages() -> AsyncIterator[Sequence[Row]]:
        yield ops_series.rows_of(found)

    return csv_answer(f"{measure}-{range}", ops_series.columns_of(measure), pages())
