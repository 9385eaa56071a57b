"""Draws the picture that the demo sends: a landscape with light, edges and grain, as in a photo."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter

WIDTH: Final = 768
HEIGHT: Final = 576
HORIZON: Final = 330
SUN: Final = (560, 150, 46)
"""Left, top of its middle, and its radius, in pixels."""


def draw_photo(path: Path, *, seed: int = 7) -> None:
    """Write a PNG of 768 by 576 pixels to `path`; the same for the same seed but for its grain."""
    rng = random.Random(seed)  # noqa: S311 - hills, no secrets
    picture = _sky()
    picture = ImageChops.add(picture, _glow())
    for number, color in enumerate(((122, 132, 168), (84, 98, 132), (44, 62, 80))):
        _hills(picture, top=HORIZON - 90 + number * 45, height=70 - number * 12, color=color, rng=rng)
    _lake(picture)
    for _ in range(26):
        _tree(picture, rng)
    _grain(picture).save(path, format="PNG")


def _gradient(top: tuple[int, int, int], bottom: tuple[int, int, int], height: int) -> Image.Image:
    ramp = Image.linear_gradient("L").resize((WIDTH, height))
    return Image.composite(
        Image.new("RGB", (WIDTH, height), bottom), Image.new("RGB", (WIDTH, height), top), ramp
    )


def _sky() -> Image.Image:
    picture = Image.new("RGB", (WIDTH, HEIGHT))
    picture.paste(_gradient((58, 104, 178), (246, 196, 142), HORIZON + 60), (0, 0))
    return picture


def _glow() -> Image.Image:
    left, top, radius = SUN
    light = Image.new("RGB", (WIDTH, HEIGHT))
    pen = ImageDraw.Draw(light)
    for size, color in ((3.2, (40, 26, 10)), (1.9, (70, 52, 26)), (1.0, (255, 240, 200))):
        reach = radius * size
        pen.ellipse((left - reach, top - reach, left + reach, top + reach), fill=color)
    return light.filter(ImageFilter.GaussianBlur(9))


def _hills(
    picture: Image.Image, *, top: int, height: int, color: tuple[int, int, int], rng: random.Random
) -> None:
    waves = [(rng.uniform(0.5, 3.5), rng.uniform(0, math.tau), rng.uniform(0.2, 1.0)) for _ in range(4)]
    weight = sum(share for _, _, share in waves)
    ridge = [
        (x, top + height * sum(s * math.sin(f * math.tau * x / WIDTH + p) for f, p, s in waves) / weight)
        for x in range(0, WIDTH + 4, 4)
    ]
    ImageDraw.Draw(picture).polygon([*ridge, (WIDTH, HEIGHT), (0, HEIGHT)], fill=color)


def _lake(picture: Image.Image) -> None:
    depth = HEIGHT - HORIZON - 80
    mirror = picture.crop((0, HORIZON + 80 - depth, WIDTH, HORIZON + 80)).transpose(
        Image.Transpose.FLIP_TOP_BOTTOM
    )
    water = Image.blend(
        mirror.filter(ImageFilter.BoxBlur(4)), _gradient((70, 96, 128), (22, 38, 60), depth), 0.5
    )
    pen = ImageDraw.Draw(water)
    for y in range(6, depth, 11):
        pen.line((0, y, WIDTH, y), fill=(150, 160, 172) if y % 3 else (52, 72, 96))
    picture.paste(water.filter(ImageFilter.BoxBlur(1)), (0, HORIZON + 80))


def _tree(picture: Image.Image, rng: random.Random) -> None:
    foot, tall = rng.randrange(WIDTH), rng.randrange(36, 96)
    ground = HORIZON + 80 + rng.randrange(-6, 30)
    pen = ImageDraw.Draw(picture)
    green = (18 + rng.randrange(24), 50 + rng.randrange(36), 34 + rng.randrange(20))
    pen.rectangle((foot - 2, ground - tall // 4, foot + 2, ground), fill=(60, 44, 32))
    for part in range(3):
        top, half = ground - tall + part * tall // 5, tall // 6 + part * tall // 14
        pen.polygon([(foot, top), (foot - half, top + tall // 2), (foot + half, top + tall // 2)], fill=green)


def _grain(picture: Image.Image) -> Image.Image:
    noise = Image.effect_noise((WIDTH, HEIGHT), 22).convert("RGB")
    return Image.blend(picture, ImageChops.overlay(picture, noise), 0.6)
