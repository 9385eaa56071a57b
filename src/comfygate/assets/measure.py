"""How large a picture is, by its header alone: nothing is decoded."""

from __future__ import annotations

import io
import warnings

from PIL import Image


def picture_pixels(content: bytes) -> int | None:
    """Width times height; None when this is no picture that Pillow knows."""
    try:
        with warnings.catch_warnings():
            # A huge picture is measured here, not opened: whoever asks has a limit.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as picture:
                return picture.width * picture.height
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
