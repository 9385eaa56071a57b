"""Image nodes that need no files: each really computes its pixels with Pillow on 8-bit RGB batches.

ComfyUI computes on floats, so values may differ by rounding. Blur and sharpen use Pillow's filters in place
of a sampled kernel: a box when sigma >= 1 (the kernel is then nearly flat), a Gaussian below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Any

from PIL import Image, ImageChops, ImageFilter, ImageOps

from comfygate.simulator.node import Call, Images, Input, NodeClass, Result

RESOLUTION_MAX = 16384
_METHODS = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_IMAGE_OUT = (("IMAGE", "IMAGE"),)


def each(images: Iterable[Image.Image], call: Call, change: Callable[[Image.Image], Image.Image]) -> Images:
    """`change` applied to every picture, a step each."""
    batch = list(images)
    done: list[Image.Image] = []
    for number, picture in enumerate(batch, start=1):
        done.append(change(picture))
        call.step(number, len(batch), done[-1])
    return tuple(done)


def _empty(inputs: Mapping[str, Any], call: Call) -> Result:
    color = inputs["color"]
    rgb = ((color >> 16) & 0xFF, (color >> 8) & 0xFF, color & 0xFF)
    picture = Image.new("RGB", (inputs["width"], inputs["height"]), rgb)
    return Result((tuple([picture] * inputs["batch_size"]),))


def _invert(inputs: Mapping[str, Any], call: Call) -> Result:
    return Result((each(inputs["image"], call, ImageOps.invert),))


def fitted(
    picture: Image.Image, size: tuple[int, int], method: Image.Resampling, *, crop_center: bool
) -> Image.Image:
    """Resized to `size`, first cropped about its centre to that aspect when asked."""
    width, height = picture.size
    if crop_center:
        old, new = width / height, size[0] / size[1]
        x = round((width - width * (new / old)) / 2) if old > new else 0
        y = round((height - height * (old / new)) / 2) if old < new else 0
        picture = picture.crop((x, y, width - x, height - y))
    return picture.resize(size, method)


def _scale(inputs: Mapping[str, Any], call: Call) -> Result:
    images: Images = inputs["image"]
    width, height = inputs["width"], inputs["height"]
    if width == 0 and height == 0:
        return Result((images,))
    old_width, old_height = images[0].size
    size = (
        width or max(1, round(old_width * height / old_height)),
        height or max(1, round(old_height * width / old_width)),
    )
    method, center = _METHODS[inputs["upscale_method"]], inputs["crop"] == "center"
    return Result((each(images, call, partial(fitted, size=size, method=method, crop_center=center)),))


def _scale_by(inputs: Mapping[str, Any], call: Call) -> Result:
    images: Images = inputs["image"]
    width, height = images[0].size
    size = (max(1, round(width * inputs["scale_by"])), max(1, round(height * inputs["scale_by"])))
    method = _METHODS[inputs["upscale_method"]]
    return Result((each(images, call, partial(fitted, size=size, method=method, crop_center=False)),))


def _crop(inputs: Mapping[str, Any], call: Call) -> Result:
    images: Images = inputs["image"]
    width, height = images[0].size
    x, y = min(inputs["x"], width - 1), min(inputs["y"], height - 1)
    box = (x, y, min(x + inputs["width"], width), min(y + inputs["height"], height))
    return Result((each(images, call, lambda picture: picture.crop(box)),))


def _blurred(picture: Image.Image, radius: int, sigma: float) -> Image.Image:
    if sigma >= 1.0:
        return picture.filter(ImageFilter.BoxBlur(radius))
    return picture.filter(ImageFilter.GaussianBlur(sigma * radius))


def _blur(inputs: Mapping[str, Any], call: Call) -> Result:
    change = partial(_blurred, radius=inputs["blur_radius"], sigma=inputs["sigma"])
    return Result((each(inputs["image"], call, change),))


def _sharpen(inputs: Mapping[str, Any], call: Call) -> Result:
    radius, sigma, strength = inputs["sharpen_radius"], inputs["sigma"], inputs["alpha"] * 10

    def change(picture: Image.Image) -> Image.Image:
        return Image.blend(_blurred(picture, radius, sigma), picture, 1 + strength)

    return Result((each(inputs["image"], call, change),))


def _overlay(under: float, over: float) -> float:
    return 2 * under * over if under <= 0.5 else 1 - 2 * (1 - under) * (1 - over)


def _soft_light(under: float, over: float) -> float:
    if over <= 0.5:
        return under - (1 - 2 * over) * under * (1 - under)
    lifted = ((16 * under - 12) * under + 4) * under if under <= 0.25 else under**0.5
    return under + (2 * over - 1) * (lifted - under)


_FORMULAS: Mapping[str, Callable[[float, float], float]] = {
    "overlay": _overlay,
    "soft_light": _soft_light,
    "difference": lambda under, over: under - over,
}


@cache
def _table(mode: str) -> bytes:
    formula = _FORMULAS[mode]
    return bytes(
        min(255, max(0, round(formula(a / 255, b / 255) * 255))) for a in range(256) for b in range(256)
    )


def _mixed(under: Image.Image, over: Image.Image, mode: str) -> Image.Image:
    if mode == "normal":
        return over
    if mode == "multiply":
        return ImageChops.multiply(under, over)
    if mode == "screen":
        return ImageChops.screen(under, over)
    table = _table(mode)
    mixed = bytes(table[a << 8 | b] for a, b in zip(under.tobytes(), over.tobytes(), strict=True))
    return Image.frombytes("RGB", under.size, mixed)


def _blend(inputs: Mapping[str, Any], call: Call) -> Result:
    first: Images = inputs["image1"]
    second: Images = inputs["image2"]
    size = first[0].size
    count = max(len(first), len(second))
    done: list[Image.Image] = []
    for number in range(count):
        under, over = first[min(number, len(first) - 1)], second[min(number, len(second) - 1)]
        if over.size != size:
            over = fitted(over, size, Image.Resampling.BICUBIC, crop_center=True)
        done.append(Image.blend(under, _mixed(under, over, inputs["blend_mode"]), inputs["blend_factor"]))
        call.step(number + 1, count, done[-1])
    return Result((tuple(done),))


def _batch(inputs: Mapping[str, Any], call: Call) -> Result:
    first: Images = inputs["image1"]
    second: Images = inputs["image2"]
    size = first[0].size
    if second[0].size != size:
        second = tuple(fitted(one, size, Image.Resampling.BILINEAR, crop_center=True) for one in second)
    return Result((first + second,))


def _repeat(inputs: Mapping[str, Any], call: Call) -> Result:
    return Result((inputs["image"] * inputs["amount"],))


def _pixels(name: str, default: int, low: int) -> Input:
    return Input(name, "INT", {"default": default, "min": low, "max": RESOLUTION_MAX, "step": 1})


def _number(name: str, default: float, low: float, high: float, step: float) -> Input:
    return Input(name, "FLOAT", {"default": default, "min": low, "max": high, "step": step})


_POST = "comfy_extras.nodes_post_processing"
_EXTRA = "comfy_extras.nodes_images"
_RADIUS = {"default": 1, "min": 1, "max": 31, "step": 1}
_IMAGE_IN = Input("image", "IMAGE")

NODES: tuple[NodeClass, ...] = (
    NodeClass(
        "EmptyImage",
        _empty,
        "image",
        (
            _pixels("width", 512, 1),
            _pixels("height", 512, 1),
            Input("batch_size", "INT", {"default": 1, "min": 1, "max": 4096}),
            Input("color", "INT", {"default": 0, "min": 0, "max": 0xFFFFFF, "step": 1, "display": "color"}),
        ),
        _IMAGE_OUT,
    ),
    NodeClass("ImageInvert", _invert, "image", (_IMAGE_IN,), _IMAGE_OUT, display_name="Invert Image"),
    NodeClass(
        "ImageScale",
        _scale,
        "image/upscaling",
        (
            _IMAGE_IN,
            Input("upscale_method", tuple(_METHODS)),
            _pixels("width", 512, 0),
            _pixels("height", 512, 0),
            Input("crop", ("disabled", "center")),
        ),
        _IMAGE_OUT,
        display_name="Upscale Image",
    ),
    NodeClass(
        "ImageScaleBy",
        _scale_by,
        "image/upscaling",
        (_IMAGE_IN, Input("upscale_method", tuple(_METHODS)), _number("scale_by", 1.0, 0.01, 8.0, 0.01)),
        _IMAGE_OUT,
        display_name="Upscale Image By",
    ),
    NodeClass(
        "ImageCrop",
        _crop,
        "image/transform",
        (
            _IMAGE_IN,
            _pixels("width", 512, 1),
            _pixels("height", 512, 1),
            _pixels("x", 0, 0),
            _pixels("y", 0, 0),
        ),
        _IMAGE_OUT,
        display_name="Image Crop",
        module=_EXTRA,
    ),
    NodeClass(
        "ImageBlur",
        _blur,
        "image/postprocessing",
        (_IMAGE_IN, Input("blur_radius", "INT", _RADIUS), _number("sigma", 1.0, 0.1, 10.0, 0.1)),
        _IMAGE_OUT,
        display_name="Image Blur",
        module=_POST,
    ),
    NodeClass(
        "ImageSharpen",
        _sharpen,
        "image/postprocessing",
        (
            _IMAGE_IN,
            Input("sharpen_radius", "INT", _RADIUS),
            _number("sigma", 1.0, 0.1, 10.0, 0.01),
            _number("alpha", 1.0, 0.0, 5.0, 0.01),
        ),
        _IMAGE_OUT,
        display_name="Image Sharpen",
        module=_POST,
    ),
    NodeClass(
        "ImageBlend",
        _blend,
        "image/postprocessing",
        (
            Input("image1", "IMAGE"),
            Input("image2", "IMAGE"),
            _number("blend_factor", 0.5, 0.0, 1.0, 0.01),
            Input("blend_mode", ("normal", "multiply", "screen", "overlay", "soft_light", "difference")),
        ),
        _IMAGE_OUT,
        display_name="Image Blend",
        module=_POST,
    ),
    NodeClass(
        "ImageBatch",
        _batch,
        "image",
        (Input("image1", "IMAGE"), Input("image2", "IMAGE")),
        _IMAGE_OUT,
        display_name="Batch Images",
    ),
    NodeClass(
        "RepeatImageBatch",
        _repeat,
        "image/batch",
        (_IMAGE_IN, Input("amount", "INT", {"default": 1, "min": 1, "max": 4096})),
        _IMAGE_OUT,
        module=_EXTRA,
    ),
)
