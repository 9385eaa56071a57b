"""The table `[bot]` of `comfygate.toml`: the Telegram bot."""

from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from comfygate.settings.parts import DAY_SECONDS, MIB, Part, RealSecret, Seconds, TierName

WEBHOOK_WORD: Final = r"^[A-Za-z0-9_-]{1,256}$"
"""What Telegram takes as a webhook's secret."""
CREDITS_GIVEN_MAX: Final = 1_000_000_000
TelegramId = Annotated[int, Field(ge=1, lt=2**52)]
Credits = Annotated[int, Field(ge=0, le=CREDITS_GIVEN_MAX)]


def _address(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.query):
        message = "must be an http:// or https:// address without query"
        raise ValueError(message)
    return value.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]


class PackSettings(Part):
    """Credits that can be bought with Telegram Stars."""

    stars: int = Field(ge=1, le=10_000, description="What the pack costs, in Telegram Stars.")
    credits: int = Field(ge=1, le=CREDITS_GIVEN_MAX, description="What it brings, in credits.")


class BotSettings(Part):
    """The Telegram bot; it runs where a token is set."""

    token: RealSecret | None = Field(None, description="The bot's token from BotFather; unset, no bot runs.")
    api_url: Address = Field("", description="Address of a Bot API server of your own; empty for Telegram's.")
    webhook_url: Address = Field(
        "",
        description="Public address of this gateway for Telegram's calls, such as https://gate.example.org;"
        " empty: the bot asks for updates itself (long polling).",
    )
    webhook_secret: Annotated[str, StringConstraints(pattern=WEBHOOK_WORD)] | None = Field(
        None,
        repr=False,
        description="What Telegram says with each call to the webhook, 1 to 256 of A-Z a-z 0-9 _ -.",
    )
    admins: tuple[TelegramId, ...] = Field(
        (), description="Telegram ids of those who may operate the service from their chats."
    )
    tier: TierName = Field("regular", description="Tier of accounts made by the bot.")
    first_credits: Credits = Field(0, description="Credits that a new account is given, once a person.")
    checkin_credits: Credits = Field(0, description="Credits for /checkin, once a day (UTC); 0: no check-in.")
    referral_credits: Credits = Field(
        0, description="Credits for bringing somebody new, once that one accepted the terms; 0: no referrals."
    )
    packs: tuple[PackSettings, ...] = Field(
        (), max_length=12, description="What /topup offers: tables of stars and credits."
    )
    terms_url: Address = Field("", description="Where the terms of service are; empty: the bot's own words.")
    support: str = Field(
        "", max_length=100, description="Whom people write to about payments: an @name or an e-mail address."
    )
    groups: bool = Field(True, description="Whether the bot works in groups that it is added to.")
    album_max: int = Field(10, ge=1, le=10, description="Pictures of one album that are taken as one order.")
    download_bytes_max: int = Field(
        20 * MIB, ge=1, le=2000 * MIB, description="Largest file taken from Telegram, in bytes."
    )
    send_bytes_max: int = Field(
        50 * MIB, ge=1, le=2000 * MIB, description="Largest file sent to Telegram, in bytes; else a link."
    )
    messages_per_second: int = Field(
        20,
        ge=1,
        le=1000,
        description="Messages and edits sent in a second, to all chats together; bursts of ten come on top.",
    )
    broadcast_per_second: int = Field(
        10, ge=1, le=1000, description="Of these, messages of a broadcast, unless it names its own rate."
    )
    progress_seconds: Seconds = Field(
        3.0, description="Seconds between two edits that only show a running job's progress."
    )
    draft_seconds: int = Field(
        7 * DAY_SECONDS, ge=60, le=365 * DAY_SECONDS, description="Seconds an unfinished order is kept."
    )

    @model_validator(mode="after")
    def _webhook_is_whole(self) -> Self:
        if bool(self.webhook_url) != bool(self.webhook_secret):
            message = "webhook_url and webhook_secret go together: set both, or neither for long polling"
            raise ValueError(message)
        return self
