"""Pictures as torch prints tensors: execution_error quotes its inputs that way (recorded on 0.3.64)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

_FULL_ELEMENTS_MAX = 1000
_EDGE = 3


def tensor_text(images: Sequence[Image.Image]) -> str:
    """`tensor([[[[0.0000, ...` with four decimals; beyond 1000 elements only the edges of each dimension."""
    width, height = images[0].size
    bands = len(images[0].getbands())
    short = len(images) * width * height * bands > _FULL_ELEMENTS_MAX

    def value(picture: Image.Image, x: int, y: int) -> str:
        pixel = picture.getpixel((x, y))
        if not isinstance(pixel, tuple):
            return f"{(pixel or 0) / 255:.4f}"
        return "[" + ", ".join(f"{channel / 255:.4f}" for channel in pixel) + "]"

    row_join = ", " if bands == 1 else ",\n" + " " * 10
    pictures: list[Any] = []
    for picture in _edges(images, short=short):
        if picture is None:
            pictures.append("...")
            continue
        rows = []
        for y in _edges(range(height), short=short):
            if y is None:
                rows.append("...")
                continue
            cells = ["..." if x is None else value(picture, x, y) for x in _edges(range(width), short=short)]
            rows.append("[" + row_join.join(cells) + "]")
        pictures.append("[" + (",\n\n" + " " * 9).join(rows) + "]")
    return "tensor([" + (",\n\n\n" + " " * 8).join(pictures) + "])"


def _edges(items: Sequence[Any], *, short: bool) -> list[Any]:
    if not short or len(items) <= 2 * _EDGE:
        return list(items)
    return [*items[:_EDGE], None, *items[-_EDGE:]]
