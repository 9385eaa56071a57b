"""What users do with the catalogue: look at it, ask what an order costs, order a job."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass

from comfygate.assets.measure import picture_pixels
from comfygate.domain.errors import InvalidRequest, MissingAsset
from comfygate.domain.order import tier_named
from comfygate.domain.pricing import Charge
from comfygate.domain.workflow import (
    SEED_MAX,
    FileInput,
    FileKind,
    Order,
    Ordered,
    Workflow,
    checked_asset,
    ordered,
)
from comfygate.gate.context import Context
from comfygate.gate.submit import Listed, Submission, submit
from comfygate.gate.views import JobView
from comfygate.store import accounts as accounts_store
from comfygate.store import assets as assets_store
from comfygate.store import jobs as jobs_store
from comfygate.store.engine import Connection
from comfygate.store.rows import AccountRow, AssetRow


@dataclass(frozen=True, slots=True)
class Quote:
    """What an order would cost now. `enough`: whether the account's available credits cover it."""

    workflow: Workflow
    ordered: Ordered
    charge: Charge
    account: AccountRow

    @property
    def enough(self) -> bool:
        return self.account.balance.available >= self.charge.charged


def listed_for(ctx: Context, tier: str) -> list[Workflow]:
    """The workflows that accounts of a tier may order; not those whose every style is for others."""
    found = ctx.shelf.now().workflows.values()
    return [one for one in found if may_order(one, tier) and (not one.styles or styles_for(one, tier))]


def may_order(workflow: Workflow, tier: str) -> bool:
    """Whether accounts of the tier may order it at all."""
    return not workflow.tiers or tier in workflow.tiers


def styles_for(workflow: Workflow, tier: str) -> list[str]:
    """Names of the styles that accounts of the tier may order."""
    return [style.name for style in workflow.styles.values() if not style.tiers or tier in style.tiers]


async def quote(ctx: Context, account_id: str, name: str, order: Order) -> Quote:
    """What an order would cost the account now; nothing is held. Files need not be there yet.

    Raises NotFound (no such workflow) and InvalidRequest, naming style, parameter or input.
    """
    workflow = ctx.shelf.now().named(name)
    wanted = ordered(workflow, order, seed=_seed, with_inputs=False)
    account, cost = await ctx.store.read(_charge, ctx, account_id, wanted.price)
    return Quote(workflow, wanted, cost, account)


def _charge(conn: Connection, ctx: Context, account_id: str, price: int) -> tuple[AccountRow, Charge]:
    account = accounts_store.get_account(conn, account_id)
    tier = tier_named(ctx.rules.tiers, account.tier)
    return account, jobs_store.charge_of(conn, account_id, price, tier, ctx.now_ms())


async def order_job(
    ctx: Context, account_id: str, name: str, order: Order, *, idempotency_key: str | None = None
) -> JobView:
    """Order a job of the catalogue: paid and queued in one transaction, at the price of this moment.

    Raises as `quote` and as `submit`; after any of them nothing was queued or charged.
    """
    workflow = ctx.shelf.now().named(name)
    wanted = ordered(workflow, order, seed=_seed)
    await _check_files(ctx, account_id, workflow, order)
    return await submit(
        ctx,
        Submission(
            account_id=account_id,
            workflow=wanted.graph,
            lane=workflow.lane,
            idempotency_key=idempotency_key,
            listed=Listed(
                workflow.name,
                wanted.style,
                wanted.price,
                wanted.tiers,
                workflow.deliver,
                workflow.classes,
                workflow.chosen,
            ),
        ),
    )


def checked(workflow: Workflow, order: Order) -> None:
    """Refuse an order for its style, parameters or names of inputs. Raises InvalidRequest."""
    ordered(workflow, order, seed=_seed, with_inputs=False)


def _seed() -> int:
    return secrets.randbelow(SEED_MAX + 1)


async def _check_files(ctx: Context, account_id: str, workflow: Workflow, order: Order) -> None:
    if not order.inputs:
        return
    found = await ctx.store.read(
        assets_store.owned_assets, account_id, sorted(set(order.inputs.values())), ctx.now_ms()
    )
    for name, asset_id in order.inputs.items():
        asset, wanted = found.get(asset_id), workflow.inputs[name]
        if asset is None:
            raise MissingAsset(
                f"inputs.{name} is {asset_id[:64]!r}: no such asset among your uploads; upload it first",
                details={"field": f"inputs.{name}"},
            )
        checked_asset(wanted, asset.content_type, asset.size_bytes)
        await _check_pixels(ctx, wanted, asset)


async def _check_pixels(ctx: Context, wanted: FileInput, asset: AssetRow) -> None:
    if wanted.pixels_max is None or wanted.kind is not FileKind.IMAGE:
        return
    content = b"".join([piece async for piece in ctx.blobs.read(asset.key)])
    pixels = await asyncio.to_thread(picture_pixels, content)
    field = f"inputs.{wanted.name}"
    if pixels is None:
        raise InvalidRequest(f"{field} is no picture that can be read", details={"field": field})
    if pixels > wanted.pixels_max:
        raise InvalidRequest(
            f"{field} has {pixels} pixels; the most is {wanted.pixels_max}", details={"field": field}
        )
