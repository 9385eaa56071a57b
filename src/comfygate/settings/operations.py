"""The tables `[metrics]` and `[traces]` of `comfygate.toml`: what operators watch the service by."""

from collections.abc import Mapping
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_core import from_json

from comfygate.settings.parts import Part, RealSecret

KEY_CHARACTERS_MIN = 16


def _endpoint(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment):
        message = "must be an http:// or https:// address, such as http://127.0.0.1:4318/v1/traces"
        raise ValueError(message)
    return value


class MetricsSettings(Part):
    """Prometheus metrics and where they are had. Never on the public address without a key."""

    enabled: bool = Field(
        False, description="Count, and serve /metrics: where `key` is set, where `port` is set, or both."
    )
    key: RealSecret | None = Field(
        None,
        description="Opens /metrics on the service's own address, as a bearer key of 16 characters or more;"
        " unset, it is not served there.",
    )
    host: str = Field(
        "127.0.0.1", min_length=1, description="Address that `port` listens on; not for the public."
    )
    port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="Another TCP port, with /metrics (no key asked), /healthz and /readyz; 0 lets the system"
        " choose, unset there is none. The roles dispatch and bot have no other.",
    )

    @field_validator("key")
    @classmethod
    def _long_enough(cls, key: RealSecret | None) -> RealSecret | None:
        if key is not None and len(key.get_secret_value()) < KEY_CHARACTERS_MIN:
            message = f"must have at least {KEY_CHARACTERS_MIN} characters"
            raise ValueError(message)
        return key

    @field_validator("port", mode="before")
    @classmethod
    def _empty_is_none(cls, port: Any) -> Any:
        return None if port == "" else port

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        if self.enabled and self.key is None and self.port is None:
            message = (
                "enabled needs a place to serve them: set metrics.port for an address of their own,"
                " or metrics.key to serve them beside the API"
            )
            raise ValueError(message)
        return self


class TracesSettings(Part):
    """OpenTelemetry traces; off without an endpoint. They need `pip install comfygate[traces]`."""

    endpoint: Annotated[str, AfterValidator(_endpoint)] = Field(
        "",
        description="Where spans are sent by OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces; empty:"
        " there are none.",
    )
    ratio: float = Field(1.0, ge=0, le=1, description="Part of all jobs that is traced, 0 to 1.")
    headers: Mapping[str, RealSecret] = Field(
        default_factory=dict, description="Headers sent along, such as a key of the collector."
    )

    @field_validator("headers", mode="before")
    @classmethod
    def _from_json(cls, headers: Any) -> Any:
        return from_json(headers) if isinstance(headers, str) else headers
