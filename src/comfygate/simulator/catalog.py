"""Every node class the simulator runs, by its name on the wire."""

from __future__ import annotations

from collections.abc import Mapping

from comfygate.simulator import nodes_file, nodes_image, nodes_model, nodes_video
from comfygate.simulator.node import NodeClass

CATALOG: Mapping[str, NodeClass] = {
    node.name: node
    for node in (*nodes_file.NODES, *nodes_image.NODES, *nodes_video.NODES, *nodes_model.NODES)
}

MODEL_FOLDERS: tuple[str, ...] = (
    "checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision",
    "style_models", "embeddings", "diffusers", "vae_approx", "controlnet", "gligen", "upscale_models",
    "custom_nodes", "hypernetworks", "photomaker", "classifiers", "model_patches", "audio_encoders",
)  # fmt: skip
"""Answer of GET /models (recorded on 0.3.64); checkpoints alone may hold some here."""
