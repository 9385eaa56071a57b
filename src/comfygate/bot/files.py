"""Pictures, clips and sounds that somebody sent, taken over as uploads of their account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import structlog
from aiogram.exceptions import TelegramAPIError, TelegramBadRequest
from aiogram.methods import GetFile
from aiogram.types import File, Message

from comfygate.bot.turn import House
from comfygate.domain.errors import PayloadTooLarge, ServerTrouble
from comfygate.domain.workflow import FileKind
from comfygate.gate import files
from comfygate.store.rows import AssetRow

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """A file in a message, as Telegram describes it."""

    file_id: str
    kind: FileKind
    size_bytes: int | None
    content_type: str | None


def sent_in(message: Message) -> Sent | None:
    """The file of a message that may go into a job, if it has one."""
    if message.photo:
        best = max(message.photo, key=lambda one: one.width * one.height)
        return Sent(best.file_id, FileKind.IMAGE, best.file_size, "image/jpeg")
    for kind, found in (
        (FileKind.VIDEO, message.video or message.animation or message.video_note),
        (FileKind.AUDIO, message.audio or message.voice),
    ):
        if found is not None:
            content_type = getattr(found, "mime_type", None)
            return Sent(found.file_id, kind, found.file_size, content_type)
    document = message.document
    if document is not None:
        family = (document.mime_type or "").partition("/")[0]
        if family in {"image", "video", "audio"}:
            return Sent(document.file_id, FileKind(family), document.file_size, document.mime_type)
    return None


async def taken(house: House, account_id: str, sent: Sent) -> AssetRow:
    """Bring a file over and store it. Raises PayloadTooLarge, ServerTrouble, and as `files.store_upload`."""
    most = house.rules.download_bytes_max
    if sent.size_bytes is not None and sent.size_bytes > most:
        raise too_large(sent.size_bytes, most)
    try:
        found: File = await house.bot(GetFile(file_id=sent.file_id))
    except TelegramBadRequest as error:
        if "too big" in error.message:
            raise too_large(sent.size_bytes or most + 1, most) from None
        raise ServerTrouble("Telegram does not give this file out; send it again") from None
    except TelegramAPIError as error:
        raise ServerTrouble(f"Telegram cannot be reached ({type(error).__name__})") from None
    minted = await files.store_upload(
        house.ctx,
        files.Upload(account_id, content_type=sent.content_type),
        _pieces(house, found.file_path or ""),
    )
    return minted.asset


def too_large(size_bytes: int, most: int) -> PayloadTooLarge:
    """The refusal of a file over the limit."""
    return PayloadTooLarge(
        f"the file has {size_bytes} bytes; the most is {most}",
        details={"size_bytes": size_bytes, "bytes_max": most},
    )


async def _pieces(house: House, path: str) -> AsyncIterator[bytes]:
    """The file's bytes. The address holds the bot's token: of an error only its class is told."""
    session = house.bot.session
    address = session.api.file_url(house.bot.token, path)
    try:
        async for piece in session.stream_content(address, timeout=120):
            yield piece
    except (aiohttp.ClientError, TimeoutError) as error:
        log.warning("telegram.file_not_read", error=type(error).__name__)
        raise ServerTrouble("the file could not be fetched from Telegram; send it again") from None
