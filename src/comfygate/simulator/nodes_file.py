"""Nodes at a graph's edges: images loaded, saved and previewed, animated WebP, and text in and out."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import secrets
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageOps, ImageSequence
from PIL.PngImagePlugin import PngInfo

from comfygate.simulator.files import Folders, FolderType
from comfygate.simulator.node import Call, Images, Input, NodeClass, Result

HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
_EMPTY_MASK_PIXELS = 64
_EXIF_MODEL = 0x0110
_EXIF_MAKE = 0x010F
_WEBP_METHODS = {"default": 4, "fastest": 0, "slowest": 6}
_PREFIX_TIP = (
    "The prefix for the file to save. This may include formatting information such as %date:yyyy-MM-dd% or "
    "%Empty Latent Image.width% to include values from nodes."
)


def files_of_kind(folders: Folders, kind: str) -> list[str]:
    """Names of the input folder's top-level files of a MIME kind, `image` or `video`."""
    named = [(path.name, mimetypes.guess_type(path.name)[0] or "") for path in folders.input_files()]
    return [name for name, mime in named if mime.startswith(f"{kind}/")]


def _load(inputs: Mapping[str, Any], call: Call) -> Result:
    path = call.folders.annotated(inputs["image"])
    if path is None:
        raise FileNotFoundError(f"[Errno 2] No such file or directory: {inputs['image']!r}")
    pictures: list[Image.Image] = []
    masks: list[Image.Image] = []
    with Image.open(path) as opened:
        for frame in ImageSequence.Iterator(opened):
            turned = ImageOps.exif_transpose(frame)
            if turned.mode == "I":
                turned = turned.point(lambda value: value * (1 / 255))
            picture = turned.convert("RGB")
            if pictures and picture.size != pictures[0].size:
                continue
            pictures.append(picture)
            masks.append(_mask(turned))
            if opened.format == "MPO":
                break
    return Result((tuple(pictures), tuple(masks)))


def _mask(picture: Image.Image) -> Image.Image:
    if "A" in picture.getbands():
        return ImageChops.invert(picture.getchannel("A"))
    if picture.mode == "P" and "transparency" in picture.info:
        return ImageChops.invert(picture.convert("RGBA").getchannel("A"))
    return Image.new("L", (_EMPTY_MASK_PIXELS, _EMPTY_MASK_PIXELS))


def _known_image(folders: Folders, name: Any) -> str | None:
    return None if folders.annotated(str(name)) else f"Invalid image file: {name}"


def _digest(folders: Folders, inputs: Mapping[str, Any]) -> str:
    path = folders.annotated(str(inputs.get("image", "")))
    return hashlib.sha256(path.read_bytes()).hexdigest() if path else ""


def _png_info(call: Call) -> PngInfo:
    info = PngInfo()
    info.add_text("prompt", json.dumps(call.graph))
    for key, value in (call.extra_pnginfo or {}).items():
        info.add_text(key, json.dumps(value))
    return info


def _write_pngs(images: Images, prefix: str, type_: FolderType, level: int, call: Call) -> Result:
    slot = call.folders.save_slot(prefix, type_, *images[0].size)
    saved: list[dict[str, str]] = []
    for number, picture in enumerate(images):
        name = slot.file_name("png", number, number)
        picture.save(slot.folder / name, pnginfo=_png_info(call), compress_level=level)
        saved.append({"filename": name, "subfolder": slot.subfolder, "type": type_})
        call.step(number + 1, len(images), picture)
    return Result(ui={"images": saved})


def _save(inputs: Mapping[str, Any], call: Call) -> Result:
    return _write_pngs(inputs["images"], inputs["filename_prefix"], "output", 4, call)


def _preview(inputs: Mapping[str, Any], call: Call) -> Result:
    letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(5))
    return _write_pngs(inputs["images"], f"ComfyUI_temp_{letters}", "temp", 1, call)


def _save_webp(inputs: Mapping[str, Any], call: Call) -> Result:
    images: Images = inputs["images"]
    slot = call.folders.save_slot(inputs["filename_prefix"], "output", *images[0].size)
    exif = Image.Exif()
    exif[_EXIF_MODEL] = f"prompt:{json.dumps(call.graph)}"
    for offset, (key, value) in enumerate((call.extra_pnginfo or {}).items()):
        exif[_EXIF_MAKE - offset] = f"{key}:{json.dumps(value)}"
    name = slot.file_name("webp")
    images[0].save(
        slot.folder / name,
        save_all=True,
        append_images=list(images[1:]),
        duration=int(1000.0 / inputs["fps"]),
        exif=exif,
        lossless=inputs["lossless"],
        quality=inputs["quality"],
        method=_WEBP_METHODS[inputs["method"]],
    )
    call.step(1, 1, images[0])
    return Result(ui={"images": [saved(name, slot.subfolder)], "animated": [True]})


def saved(name: str, subfolder: str) -> dict[str, str]:
    """One output file as the wire names it."""
    return {"filename": name, "subfolder": subfolder, "type": "output"}


def _primitive(inputs: Mapping[str, Any], call: Call) -> Result:
    return Result((inputs["value"],))


def _preview_any(inputs: Mapping[str, Any], call: Call) -> Result:
    source = inputs["source"]
    if isinstance(source, str):
        text = source
    elif source is None:
        text = "None"
    elif isinstance(source, (bool, int, float)):
        text = str(source)
    else:
        text = shown(source)
    return Result(ui={"text": [text]})


def shown(value: Any) -> str:
    """A value as text, for PreviewAny and for the inputs an execution_error quotes."""
    if isinstance(value, tuple) and value and isinstance(value[0], Image.Image):
        width, height = value[0].size
        return f"tensor(<{len(value)}x{height}x{width}x{len(value[0].getbands())}>)"
    if isinstance(value, Path):
        return value.name
    return str(value)


NODES: tuple[NodeClass, ...] = (
    NodeClass(
        "LoadImage",
        _load,
        "image",
        (Input("image", lambda folders: files_of_kind(folders, "image"), {"image_upload": True}),),
        (("IMAGE", "IMAGE"), ("MASK", "MASK")),
        display_name="Load Image",
        check={"image": _known_image},
        fingerprint=_digest,
    ),
    NodeClass(
        "SaveImage",
        _save,
        "image",
        (
            Input("images", "IMAGE", {"tooltip": "The images to save."}),
            Input("filename_prefix", "STRING", {"default": "ComfyUI", "tooltip": _PREFIX_TIP}),
        ),
        display_name="Save Image",
        description="Saves the input images to your ComfyUI output directory.",
        output_node=True,
        hidden=HIDDEN,
    ),
    NodeClass(
        "PreviewImage",
        _preview,
        "image",
        (Input("images", "IMAGE"),),
        display_name="Preview Image",
        description="Saves the input images to your ComfyUI output directory.",
        output_node=True,
        hidden=HIDDEN,
    ),
    NodeClass(
        "SaveAnimatedWEBP",
        _save_webp,
        "image/animation",
        (
            Input("images", "IMAGE"),
            Input("filename_prefix", "STRING", {"default": "ComfyUI"}),
            Input("fps", "FLOAT", {"default": 6.0, "min": 0.01, "max": 1000.0, "step": 0.01}),
            Input("lossless", "BOOLEAN", {"default": True}),
            Input("quality", "INT", {"default": 80, "min": 0, "max": 100}),
            Input("method", tuple(_WEBP_METHODS)),
        ),
        module="comfy_extras.nodes_images",
        output_node=True,
        hidden=HIDDEN,
    ),
    NodeClass(
        "PrimitiveString",
        _primitive,
        "utils/primitive",
        (Input("value", "STRING", {"multiline": False}),),
        (("STRING", "STRING"),),
        display_name="String",
        module="comfy_extras.nodes_primitive",
        schema="v3",
    ),
    NodeClass(
        "PreviewAny",
        _preview_any,
        "utils",
        (Input("source", "*"),),
        display_name="Preview Any",
        module="comfy_extras.nodes_preview_any",
        output_node=True,
    ),
)
