"""Every setting of the service: one frozen object, read once, from `comfygate.toml` and `COMFYGATE_*`."""

from comfygate.settings.load import CLIENT_VARIABLES, config_path, load_settings
from comfygate.settings.model import Settings
from comfygate.settings.parts import (
    ComfySettings,
    DispatchSettings,
    LaneSettings,
    LimitSettings,
    LogSettings,
    RetentionSettings,
    ServerSecret,
    TierSettings,
)
from comfygate.settings.text import reference, template

__all__ = [
    "CLIENT_VARIABLES",
    "ComfySettings",
    "DispatchSettings",
    "LaneSettings",
    "LimitSettings",
    "LogSettings",
    "RetentionSettings",
    "ServerSecret",
    "Settings",
    "TierSettings",
    "config_path",
    "load_settings",
    "reference",
    "template",
]
