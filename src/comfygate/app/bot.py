"""The Telegram bot's part of the service: its settings as values, its webhook's route, its loops."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from comfygate.api.errors import refusal
from comfygate.api.face import signed_path
from comfygate.api.json_body import read_object
from comfygate.app.wiring import signing_secret
from comfygate.bot.rules import WEBHOOK_PATH, Account, BotRules, Pack
from comfygate.domain.errors import GateError, Unauthorized
from comfygate.gate.context import Context
from comfygate.gate.files import UrlSigner
from comfygate.settings import Settings

if TYPE_CHECKING:
    from comfygate.bot.inbox import Intake
    from comfygate.bot.run import BotService

UPDATE_BYTES_MAX = 1024 * 1024
SECRET_HEADER = "x-telegram-bot-api-secret-token"  # noqa: S105 - a header's name

log = structlog.get_logger(__name__)


def bot_rules_of(settings: Settings) -> BotRules:
    """The settings as the plain values that `bot` takes."""
    given = settings.bot
    signer = UrlSigner(signing_secret(settings), settings.url_seconds)

    def link_to(asset_id: str) -> str | None:
        if not settings.public_url:
            return None
        path, _ = signed_path(signer, asset_id)
        return f"{settings.public_base}{path}"

    return BotRules(
        link_to=link_to,
        web_url=settings.public_base,
        admins=frozenset(given.admins),
        tier=given.tier,
        first_credits=given.first_credits,
        checkin_credits=given.checkin_credits,
        referral_credits=given.referral_credits,
        packs=tuple(Pack(pack.stars, pack.credits) for pack in given.packs),
        terms_url=given.terms_url,
        support=given.support,
        groups=given.groups,
        album_max=given.album_max,
        download_bytes_max=given.download_bytes_max,
        send_bytes_max=given.send_bytes_max,
        messages_per_second=given.messages_per_second,
        broadcast_per_second=given.broadcast_per_second,
        progress_seconds=given.progress_seconds,
        draft_seconds=given.draft_seconds,
        webhook_url=given.webhook_url,
    )


# aiogram builds hundreds of models while it is imported, which takes seconds: it is imported where there is a
# bot, and in a thread, so that no job waits for it.


def _make_service(ctx: Context, rules: BotRules, account: Account) -> BotService:
    from comfygate.bot.run import BotService  # noqa: PLC0415

    return BotService(ctx, rules, account)


def _make_intake(ctx: Context) -> Intake:
    from comfygate.bot.inbox import Intake  # noqa: PLC0415

    return Intake(ctx)


@contextlib.asynccontextmanager
async def bot_of(settings: Settings, ctx: Context) -> AsyncIterator[None]:
    """Run the bot for the length of the block, where there is a token and this role has one."""
    token = settings.bot.token
    if token is None or settings.role == "dispatch":
        yield
        return
    account = Account(token.get_secret_value(), settings.bot.api_url, settings.bot.webhook_secret)
    task = asyncio.create_task(_run(ctx, bot_rules_of(settings), account), name="telegram bot")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _run(ctx: Context, rules: BotRules, account: Account) -> None:
    try:
        service = await asyncio.to_thread(_make_service, ctx, rules, account)
        await service.run()
    except Exception:
        # Nobody awaits the task before the service stops: whatever ended the bot is told when it does.
        log.exception("telegram.bot_ended", hint="mend the cause and start the service anew")
        raise


def add_webhook(api: FastAPI, settings: Settings, ctx: Context) -> None:
    """Take Telegram's calls, which say the secret, at the public address."""
    secret = settings.bot.webhook_secret
    if secret is None or settings.bot.token is None:
        return
    made: list[Intake] = []

    async def webhook(request: Request) -> Response:
        try:
            given = request.headers.get(SECRET_HEADER, "")
            if not hmac.compare_digest(given.encode(), secret.encode()):
                raise Unauthorized("this is not Telegram's call: its secret is missing or wrong")
            if not made:
                made.append(await asyncio.to_thread(_make_intake, ctx))
            await made[0].take([await read_object(request, bytes_max=UPDATE_BYTES_MAX)])
        except GateError as error:
            return refusal(request, error)
        return JSONResponse({"ok": True})

    api.add_api_route(WEBHOOK_PATH, webhook, methods=["POST"], response_model=None, include_in_schema=False)
