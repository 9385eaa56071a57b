"""What a node class is: its inputs as /object_info tells them, and the function that runs it in a thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from PIL import Image

from comfygate.simulator.files import Folders

Images = tuple[Image.Image, ...]
"""An IMAGE: a batch of RGB pictures of one size. A MASK is a batch of L pictures."""

Step = Callable[[int, int, Image.Image | None], None]
"""Report (value, max, preview); raises Interrupted when the prompt was interrupted."""

Schema = Literal["v1", "v3"]
"""Which of ComfyUI's two ways of declaring a node this one uses; /object_info differs between them."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input; `type` is a wire type name, or the options of a combo, fixed or read from the folders."""

    name: str
    type: str | tuple[str, ...] | Callable[[Folders], list[str]]
    config: Mapping[str, Any] = field(default_factory=dict)
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """What a node may use besides its inputs."""

    folders: Folders
    graph: Mapping[str, Any]
    extra_pnginfo: Mapping[str, Any] | None
    step: Step
    load: Callable[[str], None] = lambda _name: None
    """Bring a model into memory."""


@dataclass(frozen=True, slots=True)
class Result:
    """A node's outputs, in order, and what it shows (`ui`), if anything."""

    outputs: tuple[Any, ...] = ()
    ui: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class NodeClass:
    """One class of node.

    `check` maps an input to a function that gives a complaint or None (ComfyUI's own input validation);
    `fingerprint` makes the cache notice a file that changed under an unchanged name.
    """

    name: str
    run: Callable[[Mapping[str, Any], Call], Result]
    category: str
    inputs: tuple[Input, ...]
    outputs: tuple[tuple[str, str], ...] = ()
    display_name: str = ""
    description: str = ""
    module: str = "nodes"
    output_node: bool = False
    schema: Schema = "v1"
    hidden: Mapping[str, str] = field(default_factory=dict)
    experimental: bool = False
    check: Mapping[str, Callable[[Folders, Any], str | None]] = field(default_factory=dict)
    fingerprint: Callable[[Folders, Mapping[str, Any]], str] | None = None

    def input(self, name: str) -> Input | None:
        """The declared input of that name."""
        return next((one for one in self.inputs if one.name == name), None)

    def spec(self, one: Input, folders: Folders) -> list[Any]:
        """An input as the wire tells it: `[type, config]`."""
        if isinstance(one.type, str):
            return [one.type, dict(one.config)]
        options = list(one.type) if isinstance(one.type, tuple) else one.type(folders)
        if self.schema == "v3":
            return ["COMBO", {"multiselect": False, "options": options, **one.config}]
        return [options, dict(one.config)]

    def options(self, one: Input, folders: Folders) -> list[str] | None:
        """The allowed values of a combo, or None for any other input."""
        if isinstance(one.type, str):
            return None
        return list(one.type) if isinstance(one.type, tuple) else one.type(folders)

    def info(self, folders: Folders) -> dict[str, Any]:
        """This class's entry of /object_info."""
        groups: dict[str, dict[str, Any]] = {"required": {}}
        for one in self.inputs:
            spec = self.spec(one, folders)
            if self.schema == "v1" and not spec[1]:
                spec = spec[:1]
            groups.setdefault("optional" if one.optional else "required", {})[one.name] = spec
        if self.hidden:
            groups["hidden"] = {
                name: [kind] if self.schema == "v3" else kind for name, kind in self.hidden.items()
            }
        info: dict[str, Any] = {
            "input": groups,
            "input_order": {group: list(members) for group, members in groups.items()},
            "output": [kind for kind, _ in self.outputs],
            "output_is_list": [False for _ in self.outputs],
            "output_name": [name for _, name in self.outputs],
        }
        if self.schema == "v3":
            info["output_tooltips"] = [None for _ in self.outputs]
        info |= {
            "name": self.name,
            "display_name": self.display_name or self.name,
            "description": self.description,
            "python_module": self.module,
            "category": self.category,
            "output_node": self.output_node,
        }
        if self.schema == "v3":
            info |= {"deprecated": False, "experimental": self.experimental, "api_node": False}
        return info
