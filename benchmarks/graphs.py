"""The jobs that are measured: three core nodes, with or without a picture that was uploaded for it."""

from __future__ import annotations

import io
import itertools
from typing import Any

from PIL import Image

Json = dict[str, Any]
NODES = 3
_colours = itertools.count(1)


def plain_graph() -> Json:
    """A picture from nothing, of a colour no other job has, so that no server answers it from its cache."""
    size = {"width": 64, "height": 48, "batch_size": 1, "color": next(_colours) % 0xFFFFFF}
    return _inverted({"class_type": "EmptyImage", "inputs": size})


def picture_graph(name: str) -> Json:
    """An uploaded picture, inverted."""
    return _inverted({"class_type": "LoadImage", "inputs": {"image": name}})


def _inverted(source: Json) -> Json:
    return {
        "1": source,
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "out", "images": ["2", 0]}},
    }


def picture(width: int = 64, height: int = 48) -> bytes:
    """A small PNG of a colour no other has."""
    number = next(_colours)
    file = io.BytesIO()
    colour = (number & 255, number >> 8 & 255, number >> 16 & 255)
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()
