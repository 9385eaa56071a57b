"""The one frozen object that says how this service runs; `load_settings` fills it, nothing changes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from comfygate.settings.bot import BotSettings
from comfygate.settings.operations import MetricsSettings, TracesSettings
from comfygate.settings.parts import (
    DAY_SECONDS,
    ComfySettings,
    DispatchSettings,
    LaneName,
    LaneSettings,
    LimitSettings,
    LogSettings,
    NodePattern,
    RealSecret,
    RetentionSettings,
    ScreeningSettings,
    ServerHook,
    ServerName,
    ServerSecret,
    TierName,
    TierSettings,
    WatchdogSettings,
    is_placeholder,
)

DEFAULT_TABLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "lanes": {"image": {"price": 1}, "video": {"price": 5}},
    "tiers": {"regular": {"priority": 100}, "vip": {"priority": 100}, "black_gold": {"priority": 0}},
    "output_nodes": {
        "SaveImage": "image",
        "PreviewImage": "image",
        "SaveImageWebsocket": "image",
        "SaveAnimatedPNG": "image",
        "SaveSVGNode": "image",
        "PreviewAny": "image",
        "SaveAudio": "image",
        "SaveAudioMP3": "image",
        "SaveAudioOpus": "image",
        "PreviewAudio": "image",
        "SaveLatent": "image",
        "SaveGLB": "image",
        "SaveVideo": "video",
        "SaveWEBM": "video",
        "SaveAnimatedWEBP": "video",
        "VHS_VideoCombine": "video",
    },
    "file_inputs": {
        "LoadImage": ["image"],
        "LoadImageMask": ["image"],
        "LoadImageOutput": ["image"],
        "LoadVideo": ["file"],
        "LoadAudio": ["audio"],
        "LoadLatent": ["latent"],
        "Load3D": ["model_file"],
        "VHS_LoadVideo": ["video"],
        "VHS_LoadVideoFFmpeg": ["video"],
        "VHS_LoadAudioUpload": ["audio"],
    },
}
"""What the open tables hold before the file adds to them."""


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if value and (
        parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment
    ):
        message = "must be an http:// or https:// address without query, such as https://gate.example.org"
        raise ValueError(message)
    return value.rstrip("/")


def _path_prefix(value: str) -> str:
    if value and not value.startswith("/"):
        message = "must be empty or begin with a slash, such as /gate"
        raise ValueError(message)
    return value.rstrip("/")


class Settings(BaseSettings):
    """How this service runs. Frozen; directories and addresses are resolved by the properties."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True
    )

    base_dir: Path = Field(
        Path(),
        description="Folder that the other folders are relative to; the working directory unless given.",
    )
    data_dir: Path = Field(
        Path("data"), description="Folder of the database, the control channel and own secrets."
    )
    uploads_dir: Path = Field(Path("uploads"), description="Folder of the bytes that accounts upload.")
    results_dir: Path = Field(Path("results"), description="Folder of the bytes that jobs produce.")
    workflows_dir: Path = Field(Path("workflows"), description="Folder of the workflow catalogue.")
    database_url: SecretStr = Field(
        SecretStr(""),
        description="postgresql://user:password@host/name or sqlite:///file; empty for a file in data_dir.",
    )
    role: Literal["all", "http", "dispatch", "bot"] = Field(
        "all",
        description="all: everything in one process; http: takes requests and gives no work to servers;"
        " dispatch: gives work to servers and takes no requests; bot: the Telegram bot and nothing else."
        " Other than all needs PostgreSQL.",
    )
    host: str = Field(
        "127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for every interface."
    )
    port: int = Field(8190, ge=0, le=65_535, description="TCP port to listen on; 0 lets the system choose.")
    public_url: Annotated[str, AfterValidator(_web_address)] = Field(
        "", description="Address that clients use, when behind a proxy; empty to take it from each request."
    )
    root_path: Annotated[str, AfterValidator(_path_prefix)] = Field(
        "", description="Path prefix that a proxy strips before it forwards, such as /gate."
    )
    signing_secret: RealSecret | None = Field(
        None,
        description="Signs download addresses, 32 characters or more; unset, one is made and kept in data_dir"
        ". Replicas that share a database must share it.",
    )
    admin_key: RealSecret | None = Field(
        None,
        description="Opens /gate/v1/admin over HTTP, 32 characters or more; unset, that is not served.",
    )
    url_seconds: int = Field(
        3600, ge=1, le=7 * 86_400, description="Seconds a signed download address stays good."
    )
    code_seconds: int = Field(
        600, ge=30, le=DAY_SECONDS, description="Seconds a one-time code for linking or signing in is good."
    )
    session_seconds: int = Field(
        14 * DAY_SECONDS,
        ge=60,
        le=365 * DAY_SECONDS,
        description="Seconds somebody stays signed in on the web.",
    )
    lanes: Mapping[LaneName, LaneSettings] = Field(
        default_factory=dict, description="Classes of work, each with its own order, price and servers."
    )
    tiers: Mapping[TierName, TierSettings] = Field(
        default_factory=dict, description="What accounts can be; the tier gives priority and limits."
    )
    output_nodes: Mapping[str, LaneName] = Field(
        default_factory=dict,
        description="Node classes that save a result, and the lane that a graph with such a node goes to.",
    )
    file_inputs: Mapping[str, tuple[str, ...]] = Field(
        default_factory=dict, description="Node classes that load a file, and their fields that name one."
    )
    allowed_nodes: tuple[NodePattern, ...] = Field(
        (),
        description="Node classes that graphs may use besides ComfyUI's own harmless ones; NAME* for all that"
        " begin so; * for every class, which is safe only where every caller may do anything to the server.",
    )
    refused_nodes: tuple[NodePattern, ...] = Field(
        (),
        description="Node classes that callers' graphs may not use, whatever allows them; NAME* as above.",
    )
    node_prices: Mapping[str, Annotated[int, Field(ge=0, le=1_000_000_000)]] = Field(
        default_factory=dict,
        description="Credits that each node of a class adds to the price of a graph that an account sends.",
    )
    comfy: ComfySettings = Field(
        default_factory=ComfySettings, description="How ComfyUI servers are talked to."
    )
    dispatch: DispatchSettings = Field(
        default_factory=DispatchSettings, description="How jobs are handed to servers."
    )
    limits: LimitSettings = Field(default_factory=LimitSettings, description="A limit on everything.")
    screening: ScreeningSettings = Field(
        default_factory=ScreeningSettings, description="How pictures and clips are screened, in and out."
    )
    retention: RetentionSettings = Field(
        default_factory=RetentionSettings, description="How long bytes are kept; ledger and job rows stay."
    )
    server_secrets: Mapping[ServerName, ServerSecret] = Field(
        default_factory=dict,
        description="What a ComfyUI server wants to see, by the name it was added under.",
    )
    server_hooks: Mapping[ServerName, ServerHook] = Field(
        default_factory=dict,
        description="How a ComfyUI that hangs is started anew, by the name it was added under.",
    )
    watchdog: WatchdogSettings = Field(
        default_factory=WatchdogSettings, description="When a running job that says nothing is stopped."
    )
    bot: BotSettings = Field(default_factory=BotSettings, description="The Telegram bot.")
    log: LogSettings = Field(default_factory=LogSettings, description="What is logged and how.")
    metrics: MetricsSettings = Field(
        default_factory=MetricsSettings,
        description="Prometheus metrics and probes; see docs/reference/metrics.md.",
    )
    traces: TracesSettings = Field(
        default_factory=TracesSettings,
        description="OpenTelemetry traces, with `pip install comfygate[traces]`.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing by itself: `load_settings` brings file and environment together, with their names."""
        return (init_settings,)

    @model_validator(mode="before")
    @classmethod
    def _add_to_default_tables(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {**given, **{name: _joined(name, given.get(name, {})) for name in DEFAULT_TABLES}}

    @field_validator("signing_secret", "admin_key")
    @classmethod
    def _long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < 32:
            message = "must have at least 32 characters"
            raise ValueError(message)
        return secret

    @field_validator("database_url")
    @classmethod
    def _known_engine(cls, url: SecretStr) -> SecretStr:
        _check_database_url(url.get_secret_value())
        return url

    @model_validator(mode="after")
    def _lanes_exist(self) -> Self:
        if not self.lanes or not self.tiers:
            message = "lanes and tiers need at least one entry each"
            raise ValueError(message)
        for node, lane in self.output_nodes.items():
            if lane not in self.lanes:
                message = (
                    f"output_nodes.{node} names lane {lane!r}, which is none of {', '.join(self.lanes)};"
                    f" name one of these, or take the node out with {node} = false"
                )
                raise ValueError(message)
        for name, tier in self.tiers.items():
            unknown = sorted(tier.priorities.keys() - self.lanes.keys())
            if unknown:
                known = ", ".join(self.lanes)
                message = f"tiers.{name}.priorities names lane {unknown[0]!r}, which is none of {known}"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _bot_can_be(self) -> Self:
        if self.bot.tier not in self.tiers:
            message = f"bot.tier is {self.bot.tier!r}, which is none of {', '.join(self.tiers)}"
            raise ValueError(message)
        if self.role == "bot" and self.bot.token is None:
            message = "role is 'bot' and bot.token is not set: get one from BotFather"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _role_can_be(self) -> Self:
        if self.role != "all" and self.sqlalchemy_url().startswith("sqlite"):
            message = (
                f"role is {self.role!r}: SQLite is for one process, which does everything;"
                " set database_url to a PostgreSQL to split the roles"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _metrics_have_a_place(self) -> Self:
        if self.metrics.enabled and self.metrics.port is None and self.role in {"dispatch", "bot"}:
            message = f"role is {self.role!r}, which takes no requests: metrics.enabled needs metrics.port"
            raise ValueError(message)
        return self

    @property
    def base_path(self) -> Path:
        """The base directory, absolute."""
        return self.base_dir.expanduser().absolute()

    @property
    def data_path(self) -> Path:
        """The data directory, absolute."""
        return self._under_base(self.data_dir)

    @property
    def uploads_path(self) -> Path:
        """The uploads directory, absolute."""
        return self._under_base(self.uploads_dir)

    @property
    def results_path(self) -> Path:
        """The results directory, absolute."""
        return self._under_base(self.results_dir)

    @property
    def workflows_path(self) -> Path:
        """The workflow catalogue's directory, absolute."""
        return self._under_base(self.workflows_dir)

    def sqlalchemy_url(self) -> str:
        """Give the database's address for SQLAlchemy, with its driver, absolute file and password."""
        url = self.database_url.get_secret_value()
        if not url:
            return f"sqlite:///{(self.data_path / 'comfygate.db').as_posix()}"
        scheme, rest = url.split("://", 1)
        if scheme.startswith("sqlite"):
            return f"sqlite:///{self._under_base(Path(rest.removeprefix('/'))).as_posix()}"
        return f"postgresql+psycopg://{rest}"

    @property
    def database_address(self) -> str:
        """The database's address without its password, for people to read."""
        url = self.sqlalchemy_url()
        return url if url.startswith("sqlite") else _without_password(urlsplit(url))

    @property
    def public_base(self) -> str:
        """The address that clients use, with the path prefix once; '' where it is taken from each request."""
        if not self.public_url or self.public_url.endswith(self.root_path):
            return self.public_url
        return self.public_url + self.root_path

    def _under_base(self, path: Path) -> Path:
        return (self.base_path / path.expanduser()).absolute()


def _joined(table: str, given: Any) -> Any:
    """Lay a table of the file over its defaults; an entry of `false` takes the default out."""
    if not isinstance(given, Mapping):
        return given
    entries: dict[str, Any] = dict(DEFAULT_TABLES[table])
    for name, entry in given.items():
        if entry is False or (isinstance(entry, str) and entry.lower() == "false"):
            entries.pop(name, None)
        elif isinstance(entry, Mapping):
            default = entries.get(name, {})
            entries[name] = {**default, **entry}
        else:
            entries[name] = entry
    return entries


def _check_database_url(url: str) -> None:
    """Refuse, without echoing it, an address that is no SQLite file and no PostgreSQL database."""
    if not url:
        return
    parts = urlsplit(url)
    engine = parts.scheme.split("+", 1)[0]
    if engine == "sqlite":
        if not url.startswith("sqlite:///") or url in {"sqlite:///", "sqlite:///:memory:"}:
            message = "SQLite needs a file, such as sqlite:///data/comfygate.db; memory would lose paid jobs"
            raise ValueError(message)
        return
    if parts.scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        message = "must begin with postgresql:// or sqlite:///, or be empty for SQLite in data_dir"
        raise ValueError(message)
    passwords = [value for key, value in parse_qsl(parts.query, keep_blank_values=True) if key == "password"]
    if parts.password is not None:
        passwords.append(parts.password)
    if any(is_placeholder(password) for password in passwords):
        message = "its password is a placeholder or empty; set a real one or leave it out"
        raise ValueError(message)


def _without_password(parts: SplitResult) -> str:
    user, at, host = parts.netloc.rpartition("@")
    query = [(key, value) for key, value in parse_qsl(parts.query) if key not in {"password", "sslpassword"}]
    shown = f"{parts.scheme}://{user.split(':', 1)[0]}{at}{host}{parts.path}"
    return f"{shown}?{urlencode(query, safe='/')}" if query else shown
