"""A stand-in for the classifier, so that the paths of screening can be walked with harmless colours: pure red
counts as explicit, everything else as safe."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

from PIL import Image

from comfygate.domain.errors import ScreeningUnavailable
from tests.api.house import Gateway, png

RED = (255, 0, 0)
CYAN = (0, 255, 255)
"""Its negative."""
EXPLICIT, SAFE = 0.95, 0.05


class Colours:
    """A classifier of colours. `gone` takes it away, `seen` counts what it looked at; `previews`, if set, is
    what previews score."""

    model = "colours"

    def __init__(self) -> None:
        self.trouble = ""
        self.seen = 0
        self.looked = asyncio.Event()
        self.previews: float | None = None

    def gone(self, reason: str) -> None:
        self.trouble = reason

    async def ready(self) -> None:
        if self.trouble:
            raise ScreeningUnavailable(self.trouble, retry_after_seconds=30)

    async def score(self, source: Path | bytes, content_type: str, *, frames_max: int) -> float:
        await self.ready()
        self.seen += 1
        self.looked.set()
        if frames_max == 1 and self.previews is not None:
            return self.previews
        if content_type.startswith("video/"):
            return SAFE
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
            red, green, blue = picture.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
        return EXPLICIT if red > 200 and green < 60 and blue < 60 else SAFE


def with_colours(gateway: Gateway) -> Colours:
    """Have the gateway screen by colour."""
    assert gateway.ctx.eyes is not None
    gateway.ctx.eyes.classifier = found = Colours()
    return found


def red() -> bytes:
    return png(RED)


def cyan() -> bytes:
    return png(CYAN)
