"""Results on their way to a chat: albums of pictures and clips, files, and links to what is too large."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from aiogram import Bot
from aiogram.methods import SendAudio, SendDocument, SendMediaGroup, SendPhoto, SendVideo, TelegramMethod
from aiogram.types import (
    InputFile,
    InputMediaAudio,
    InputMediaDocument,
    InputMediaPhoto,
    InputMediaVideo,
    ReplyParameters,
)

from comfygate.gate import files
from comfygate.gate.context import Context
from comfygate.store.rows import AssetRow

ALBUM_MAX: Final = 10
PHOTO_BYTES_MAX: Final = 10 * 1024 * 1024
"""Larger pictures go as files (Bot API, sendPhoto)."""
PHOTO_TYPES: Final = frozenset({"image/jpeg", "image/png", "image/webp"})
VIDEO_TYPES: Final = frozenset({"video/mp4"})
AUDIO_TYPES: Final = frozenset({"audio/mpeg", "audio/mp4"})


class StoredFile(InputFile):
    """An asset's bytes, read from storage as they are sent; read anew if they are sent again."""

    def __init__(self, ctx: Context, asset: AssetRow, name: str) -> None:
        super().__init__(filename=name)
        self._ctx = ctx
        self._asset = asset

    async def read(self, bot: Bot) -> AsyncGenerator[bytes, None]:
        """Give the bytes."""
        async for piece in files.read_bytes(self._ctx, self._asset):
            yield piece


@dataclass(frozen=True, slots=True)
class Parcel:
    """What goes as one message or one album. `kind`: photo, video, audio or document."""

    kind: str
    assets: tuple[AssetRow, ...]


@dataclass(frozen=True, slots=True)
class Packed:
    """A job's outputs as they are sent, in order; `too_large` ones cannot be."""

    parcels: tuple[Parcel, ...]
    too_large: tuple[AssetRow, ...]


def packed(outputs: Sequence[AssetRow], bytes_max: int, *, as_files: bool = False) -> Packed:
    """Albums of up to ten: pictures and clips together, sounds and files each by themselves."""
    fit = [one for one in outputs if one.size_bytes <= bytes_max]
    found: list[Parcel] = []
    for family, members in groupby(fit, lambda one: _family(kind_of(one, as_files=as_files))):
        assets = tuple(members)
        starts = range(0, len(assets), ALBUM_MAX)
        found += [Parcel(family, assets[start : start + ALBUM_MAX]) for start in starts]
    return Packed(tuple(found), tuple(one for one in outputs if one.size_bytes > bytes_max))


def kind_of(asset: AssetRow, *, as_files: bool = False) -> str:
    """As what Telegram shows it."""
    if as_files:
        return "document"
    if asset.content_type in PHOTO_TYPES and asset.size_bytes <= PHOTO_BYTES_MAX:
        return "photo"
    if asset.content_type in VIDEO_TYPES:
        return "video"
    return "audio" if asset.content_type in AUDIO_TYPES else "document"


def _family(kind: str) -> str:
    return "visual" if kind in {"photo", "video"} else kind


def method_for(
    ctx: Context, parcel: Parcel, chat_id: int, reply_to: int | None, *, veiled: bool = False
) -> TelegramMethod[Any]:
    """The call that sends a parcel, as an answer to the job's message; `veiled` pictures show when tapped."""
    reply = (
        ReplyParameters(message_id=reply_to, allow_sending_without_reply=True)
        if reply_to is not None
        else None
    )
    as_files = parcel.kind == "document"
    sent = [(kind_of(one, as_files=as_files), StoredFile(ctx, one, _name(one))) for one in parcel.assets]
    if len(sent) > 1:
        return SendMediaGroup(
            chat_id=chat_id,
            media=[_MEDIA[kind](media=file, **_veil(kind, veiled)) for kind, file in sent],
            reply_parameters=reply,
        )
    kind, file = sent[0]
    match kind:
        case "photo":
            return SendPhoto(chat_id=chat_id, photo=file, reply_parameters=reply, has_spoiler=veiled or None)
        case "video":
            return SendVideo(
                chat_id=chat_id,
                video=file,
                reply_parameters=reply,
                supports_streaming=True,
                has_spoiler=veiled or None,
            )
        case "audio":
            return SendAudio(chat_id=chat_id, audio=file, reply_parameters=reply)
        case _:
            return SendDocument(
                chat_id=chat_id, document=file, reply_parameters=reply, disable_content_type_detection=True
            )


def _veil(kind: str, veiled: bool) -> dict[str, bool]:
    return {"has_spoiler": True} if veiled and kind in {"photo", "video"} else {}


_MEDIA: Final[dict[str, Any]] = {
    "photo": InputMediaPhoto,
    "video": InputMediaVideo,
    "audio": InputMediaAudio,
    "document": InputMediaDocument,
}


def _name(asset: AssetRow) -> str:
    """The file's own name, without the folders it had on the server."""
    return (asset.name or asset.file_path or asset.id).rpartition("/")[2]


def as_documents(parcel: Parcel) -> Parcel:
    """The same as files, for what Telegram does not take as a picture or clip."""
    return Parcel("document", parcel.assets)
