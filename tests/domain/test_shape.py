"""The shape of a job: what makes it long counts, what it shows does not."""

from __future__ import annotations

from typing import Any

import pytest

from comfygate.domain.graph import Graph, parse_graph, workflow_digest
from comfygate.domain.shape import shape_digest


def graph(**inputs: Any) -> Graph:
    """One sampler, from the middle of a real graph, with these inputs."""
    sampler = {"seed": 7, "steps": 20, "cfg": 7.0, "sampler_name": "euler", "denoise": 1.0, "text": "a cat"}
    raw = {
        "3": {"class_type": "KSampler", "inputs": {**sampler, "latent_image": ["5", 0], **inputs}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
    }
    return parse_graph(raw, nodes_max=10)


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 8},
        {"cfg": 4.5},
        {"denoise": 0.4},
        {"text": "a dog, 1024 steps"},
        {"steps": 20.0},
        {"fps": 30},
        {"frame_rate": 24},
        {"enabled_frames": True},
    ],
)
def test_what_costs_no_time_changes_no_shape(changed: dict[str, Any]) -> None:
    assert shape_digest(graph(**changed)) == shape_digest(graph())


@pytest.mark.parametrize(
    "changed",
    [
        {"steps": 21},
        {"cfg": 1.0},
        {"sampler_name": "heun"},
        {"width": 512},
        {"video_frames": 14},
        {"tile_width": 256},
        {"scale_by": 2.0},
        {"upscale_factor": 4},
        {"megapixels": 1.5},
        {"amount": 8},
        {"multiplier": 2},
        {"num_frames": 81},
    ],
)
def test_what_costs_time_changes_it_and_not_the_workflow(changed: dict[str, Any]) -> None:
    assert shape_digest(graph(**changed)) != shape_digest(graph())
    assert workflow_digest(graph(**changed)) == workflow_digest(graph())


def test_the_same_numbers_in_another_node_are_another_shape() -> None:
    one = parse_graph({"1": {"class_type": "A", "inputs": {"steps": 4}}}, nodes_max=2)
    two = parse_graph({"2": {"class_type": "A", "inputs": {"steps": 4}}}, nodes_max=2)
    assert shape_digest(one) != shape_digest(two)
    assert len(shape_digest(one)) == 16
