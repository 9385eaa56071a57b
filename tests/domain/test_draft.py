"""Drafts: literals become parameters, files inputs, and what cannot be mapped is said."""

from __future__ import annotations

from typing import Any

from comfygate.domain.draft import PARAMETERS_MAX, draft
from comfygate.domain.graph import parse_graph
from comfygate.settings.model import DEFAULT_TABLES

PRICES = {"image": 1, "video": 5}


def node(cls: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": cls, "inputs": inputs}


TEXT_TO_IMAGE = {
    "4": node("CheckpointLoaderSimple", ckpt_name="model.safetensors"),
    "5": node("EmptyLatentImage", width=512, height=768, batch_size=1),
    "6": node("CLIPTextEncode", text="a bridge", clip=["4", 1]),
    "7": node("CLIPTextEncode", text="blurry", clip=["4", 1]),
    "3": node(
        "KSampler", seed=5, steps=20, cfg=8.0, sampler_name="euler", scheduler="normal", denoise=1,
        model=["4", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0],
    ),
    "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
    "9": node("SaveImage", filename_prefix="x", images=["8", 0]),
}  # fmt: skip


def drafted(graph: dict[str, Any]) -> Any:
    return draft(
        "my-flow",
        parse_graph(graph, nodes_max=1000),
        file_inputs=DEFAULT_TABLES["file_inputs"],
        output_nodes=DEFAULT_TABLES["output_nodes"],
        prices=PRICES,
    )


def test_a_text_to_image_graph() -> None:
    found = drafted(TEXT_TO_IMAGE)
    parameters = found.manifest["parameters"]
    assert parameters["prompt"] == {
        "title": {"en": "Prompt"},
        "type": "text",
        "default": "a bridge",
        "chars_max": 4000,
        "sets": ["6.text"],
    }
    assert parameters["negative_prompt"]["sets"] == ["7.text"]
    assert parameters["seed"] == {"title": {"en": "Seed"}, "type": "seed", "sets": ["3.seed"]}
    assert (parameters["width"]["min"], parameters["width"]["max"], parameters["width"]["step"]) == (
        64,
        2048,
        8,
    )
    assert parameters["steps"]["default"] == 20
    assert (found.manifest["lane"], found.manifest["price"]) == ("image", 1)
    assert any("4.ckpt_name" in note and "must be on the servers" in note for note in found.notes)
    assert any("3.sampler_name" in note for note in found.notes)
    assert "filename_prefix" not in str(found.manifest)


def test_a_prompt_is_found_through_what_stands_between_it_and_the_sampler() -> None:
    graph = TEXT_TO_IMAGE | {
        "20": node("FluxGuidance", conditioning=["6", 0], guidance=3.5),
        "3": node("KSampler", seed=1, positive=["20", 0], negative=["7", 0]),
    }
    assert drafted(graph).manifest["parameters"]["prompt"]["sets"] == ["6.text"]


def test_files_become_inputs_and_the_lane_follows_the_save_node() -> None:
    found = drafted(
        {
            "1": node("LoadImage", image="a.png"),
            "2": node("LoadVideo", file="b.mp4"),
            "3": node("LoadLatent", latent="c.latent"),
            "4": node("SaveVideo", video=["2", 0], filename_prefix="x"),
        }
    )
    assert {name: one["kind"] for name, one in found.manifest["inputs"].items()} == {
        "picture": "image",
        "clip": "video",
    }
    assert (found.manifest["lane"], found.manifest["price"]) == ("video", 5)
    assert any("3.latent" in note for note in found.notes)


def test_names_never_clash_and_there_is_an_end_to_them() -> None:
    graph = {str(number): node("Blur", radius=number) for number in range(1, PARAMETERS_MAX + 20)}
    found = drafted(graph)
    parameters = found.manifest["parameters"]
    assert len(parameters) == PARAMETERS_MAX
    assert len({tuple(one["sets"]) for one in parameters.values()}) == PARAMETERS_MAX
    assert len([note for note in found.notes if "parameters already" in note]) == 19
    assert any("lane image is a guess" in note for note in found.notes)
