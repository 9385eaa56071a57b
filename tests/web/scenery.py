"""Draws landscapes to order: what the pages' tests send, and what their screenshots and examples show.

`python -m tests.web.scenery` writes the catalogue's example pictures: the scene through each workflow that
needs no model, run by the simulator.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

SIZE = (960, 720)
SKIES = {
    "dusk": ((38, 32, 84), (236, 120, 96), (255, 206, 138)),
    "noon": ((60, 132, 214), (150, 204, 240), (228, 242, 250)),
    "night": ((8, 12, 40), (34, 44, 96), (92, 92, 150)),
}
EXAMPLE_SIZE = (640, 480)


def _between(one: tuple[int, int, int], other: tuple[int, int, int], part: float) -> tuple[int, int, int]:
    mixed = [round(a + (b - a) * part) for a, b in zip(one, other, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def _ridge(rng: random.Random, width: int, base: float, rough: float) -> list[tuple[float, float]]:
    """A line of hills by halving: points from left to right."""
    points = [(0.0, base), (float(width), base + rng.uniform(-rough, rough) / 2)]
    while len(points) < 200:
        finer: list[tuple[float, float]] = []
        for (x1, y1), (x2, y2) in itertools.pairwise(points):
            finer += [(x1, y1), ((x1 + x2) / 2, (y1 + y2) / 2 + rng.uniform(-rough, rough))]
        points, rough = [*finer, points[-1]], rough * 0.52
    return points


def scene(sky: str = "dusk", seed: int = 3, size: tuple[int, int] = SIZE) -> Image.Image:
    """Mountains over a lake, the same for the same seed."""
    rng = random.Random(seed)  # noqa: S311 - a picture, not a secret
    width, height = size
    top, middle, low = SKIES[sky]
    picture = Image.new("RGB", size)
    draw = ImageDraw.Draw(picture)
    horizon = int(height * 0.66)
    for y in range(horizon):
        part = y / horizon
        colour = _between(top, middle, part * 2) if part < 0.5 else _between(middle, low, part * 2 - 1)
        draw.line([(0, y), (width, y)], fill=colour)
    x, r = width * rng.uniform(0.55, 0.8), height * 0.075
    sun = height * 0.38
    glow = Image.new("L", size, 0)
    ImageDraw.Draw(glow).ellipse([x - 3 * r, sun - 3 * r, x + 3 * r, sun + 3 * r], fill=120)
    glow = glow.filter(ImageFilter.GaussianBlur(r * 1.3))
    picture.paste(Image.new("RGB", size, _between(low, (255, 255, 255), 0.5)), (0, 0), glow)
    draw = ImageDraw.Draw(picture)
    draw.ellipse([x - r, sun - r, x + r, sun + r], fill=_between(low, (255, 255, 255), 0.75))
    for layer in range(4):
        shade = _between(_between(middle, top, 0.35), (14, 16, 34), 0.2 + layer * 0.24)
        line = _ridge(rng, width, height * (0.44 + layer * 0.075), height * (0.16 - layer * 0.025))
        draw.polygon([*line, (width, horizon), (0, horizon)], fill=shade)
    mirrored = picture.crop((0, 0, width, horizon)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    lake = mirrored.crop((0, 0, width, height - horizon)).filter(ImageFilter.GaussianBlur(2.5))
    picture.paste(Image.blend(lake, Image.new("RGB", lake.size, top), 0.35), (0, horizon))
    draw = ImageDraw.Draw(picture)
    for _ in range(70):
        wave_y = rng.uniform(horizon + 4, height)
        wave_x, long = rng.uniform(0, width), rng.uniform(20, 120)
        draw.line([(wave_x, wave_y), (wave_x + long, wave_y)], fill=_between(top, low, rng.uniform(0.2, 0.8)))
    for _ in range(26):
        foot = rng.uniform(0.86, 1.02) * height
        tree_x, tall = (
            rng.choice([rng.uniform(0, 0.3), rng.uniform(0.72, 1)]) * width,
            rng.uniform(0.12, 0.24) * height,
        )
        for step in range(6):
            half, up = tall * 0.16 * (1 - step / 7), foot - tall * step / 6.5
            draw.polygon(
                [(tree_x - half, up), (tree_x + half, up), (tree_x, up - tall * 0.3)], fill=(12, 14, 26)
            )
    return picture


def png(sky: str = "dusk", seed: int = 3, size: tuple[int, int] = SIZE) -> bytes:
    """The scene as a file."""
    file = io.BytesIO()
    scene(sky, seed, size).save(file, "PNG")
    return file.getvalue()


def _webp(picture: Image.Image, path: Path) -> None:
    picture.convert("RGB").resize(EXAMPLE_SIZE, Image.Resampling.LANCZOS).save(
        path, "WEBP", quality=72, method=6
    )


async def _write(root: Path) -> None:
    import tempfile

    import av

    from comfygate.simulator import Simulator
    from tests.promises.rig import gateway, settings_for

    with tempfile.TemporaryDirectory() as folder:
        settings = settings_for(Path(folder), "", {"workflows_dir": str(root)})
        async with Simulator() as sim, gateway(settings) as house:
            await house.add_server("one", sim.url, "image", "video")
            ann = await house.add_account("ann", credits=1000)
            asset = await ann.upload(png())
            for name in ("restyle", "camera", "upscale"):
                entry = await ann.call("GET", f"/gate/v1/workflows/{name}")
                for style in [one["name"] for one in entry["styles"]] or [None]:
                    order = {"inputs": {"picture": asset["id"]}, **({"style": style} if style else {})}
                    job = await ann.call("POST", f"/gate/v1/workflows/{name}/jobs", status=201, json=order)
                    done = await ann.end(job["id"])
                    content = await ann.content(done["outputs"][0])
                    if name == "camera":
                        with av.open(io.BytesIO(content), "r") as clip:
                            *_, last = clip.decode(video=0)
                            picture = last.to_image()  # type: ignore[no-untyped-call]
                    else:
                        picture = Image.open(io.BytesIO(content))
                    _webp(picture, root / name / (f"example.{style}.webp" if style else "example.webp"))


if __name__ == "__main__":
    asyncio.run(_write(Path(__file__).parents[2] / "workflows"))
