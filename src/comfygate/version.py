"""The version, in one place that every layer may import."""

from typing import Final

VERSION: Final = "0.1.0"
