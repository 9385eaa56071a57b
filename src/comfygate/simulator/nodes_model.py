"""Text to image with made-up models: the nodes of ComfyUI's first graph, on files without content.

What a picture shows is drawn from a hash of everything that went into it, so that the same order gives the
same picture and another seed or model another one. Loading a model takes the simulator's
`model_load_seconds`, unless it was the last one loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from PIL import Image

from comfygate.simulator.node import Call, Input, NodeClass, Result
from comfygate.simulator.nodes_image import RESOLUTION_MAX

CHECKPOINTS = "checkpoints"
_SAMPLERS = ("euler", "euler_ancestral", "heun", "dpmpp_2m", "dpmpp_sde", "ddim", "uni_pc")
_SCHEDULERS = ("normal", "karras", "exponential", "sgm_uniform", "simple", "ddim_uniform")
_TOLD = ("model", "seed", "steps", "cfg", "positive", "negative", "denoise")
_SIDE = {"min": 16, "max": RESOLUTION_MAX, "step": 8}


def _load(inputs: Mapping[str, Any], call: Call) -> Result:
    name = inputs["ckpt_name"]
    call.load(name)
    return Result((f"model {name}", f"clip {name}", f"vae {name}"))


def _encode(inputs: Mapping[str, Any], call: Call) -> Result:
    return Result((f"{inputs['clip']} says {inputs['text']}",))


def _empty_latent(inputs: Mapping[str, Any], call: Call) -> Result:
    return Result(((inputs["width"], inputs["height"], inputs["batch_size"], ""),))


def _sample(inputs: Mapping[str, Any], call: Call) -> Result:
    width, height, count, before = inputs["latent_image"]
    steps = int(inputs["steps"])
    for step in range(1, steps + 1):
        call.step(step, steps, None)
    said = [str(inputs[name]) for name in _TOLD]
    return Result(((width, height, count, "|".join([before, *said])),))


def _decode(inputs: Mapping[str, Any], call: Call) -> Result:
    width, height, count, said = inputs["samples"]
    return Result(
        (tuple(_drawn(f"{said}|{inputs['vae']}|{number}", width, height) for number in range(count)),)
    )


def _drawn(said: str, width: int, height: int) -> Image.Image:
    """A gradient between two colours of the hash."""
    digest = hashlib.sha256(said.encode()).digest()
    ramp = Image.linear_gradient("L").resize((width, height))
    ends = [Image.new("RGB", (width, height), tuple(digest[start : start + 3])) for start in (0, 3)]
    return Image.composite(ends[0], ends[1], ramp)


NODES: tuple[NodeClass, ...] = (
    NodeClass(
        "CheckpointLoaderSimple",
        _load,
        "loaders",
        (Input("ckpt_name", lambda folders: folders.models(CHECKPOINTS)),),
        (("MODEL", "MODEL"), ("CLIP", "CLIP"), ("VAE", "VAE")),
        display_name="Load Checkpoint",
    ),
    NodeClass(
        "CLIPTextEncode",
        _encode,
        "conditioning",
        (Input("text", "STRING", {"multiline": True, "dynamicPrompts": True}), Input("clip", "CLIP")),
        (("CONDITIONING", "CONDITIONING"),),
        display_name="CLIP Text Encode (Prompt)",
    ),
    NodeClass(
        "EmptyLatentImage",
        _empty_latent,
        "latent",
        (
            Input("width", "INT", {"default": 512, **_SIDE}),
            Input("height", "INT", {"default": 512, **_SIDE}),
            Input("batch_size", "INT", {"default": 1, "min": 1, "max": 4096}),
        ),
        (("LATENT", "LATENT"),),
        display_name="Empty Latent Image",
    ),
    NodeClass(
        "KSampler",
        _sample,
        "sampling",
        (
            Input("model", "MODEL"),
            Input("seed", "INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}),
            Input("steps", "INT", {"default": 20, "min": 1, "max": 10000}),
            Input("cfg", "FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01}),
            Input("sampler_name", _SAMPLERS),
            Input("scheduler", _SCHEDULERS),
            Input("positive", "CONDITIONING"),
            Input("negative", "CONDITIONING"),
            Input("latent_image", "LATENT"),
            Input("denoise", "FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01}),
        ),
        (("LATENT", "LATENT"),),
    ),
    NodeClass(
        "VAEDecode",
        _decode,
        "latent",
        (Input("samples", "LATENT"), Input("vae", "VAE")),
        (("IMAGE", "IMAGE"),),
        display_name="VAE Decode",
    ),
)
