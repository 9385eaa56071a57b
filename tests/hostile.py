"""Graphs that somebody might send to get at what is not theirs, each with the place where it is refused."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

Graph = dict[str, Any]
ASSET = {"__type": "core/ASSET", "info": {"id": "00000000-0000-4000-8000-000000000000"}}


@dataclass(frozen=True)
class Hostile:
    """One graph. `node` and `field` are what the refusal must name; no node: it names the field `workflow`
    or the whole request. `body` is sent as it is, where the graph cannot be built from JSON's own values."""

    name: str
    graph: Graph
    node: str | None
    field: str
    reason: str
    body: bytes | None = None


def node(class_type: str, **inputs: Any) -> Graph:
    return {"class_type": class_type, "inputs": inputs}


HARMLESS: Graph = {
    "1": node("EmptyImage", width=16, height=16, batch_size=1, color=0),
    "2": node("ImageInvert", image=["1", 0]),
    "3": node("SaveImage", images=["2", 0], filename_prefix="out"),
}


def with_node(name: str, hostile: Graph, field: str, reason: str) -> Hostile:
    """The hostile node beside the harmless graph."""
    return Hostile(name, {**copy.deepcopy(HARMLESS), "9": hostile}, "9", field, reason)


def _files() -> list[Hostile]:
    names = {
        "up and out": ("../../etc/passwd", "path_traversal"),
        "up and out, Windows": ("..\\..\\Windows\\win.ini", "path_traversal"),
        "up and out in the middle": ("a/../../b.png", "path_traversal"),
        "dots and blanks": ("a/.. /b.png", "path_traversal"),
        "escaped": ("%2e%2e%2fpasswd", "path_traversal"),
        "escaped three times": ("%25252e%25252e%25252fpasswd", "path_traversal"),
        "overlong": ("%c0%ae%c0%ae%c0%afpasswd", "path_traversal"),
        "look-alike dots": ("\u2025/\u2025/passwd", "path_traversal"),
        "full-width": ("\uff0e\uff0e\uff0fpasswd", "path_traversal"),
        "look-alike slash": ("..\u2215passwd", "path_traversal"),
        "hidden between dots": (".\u200b./passwd", "path_traversal"),
        "absolute": ("/etc/passwd", "absolute_path"),
        "absolute, escaped": ("%2Fetc%2Fpasswd", "absolute_path"),
        "absolute after a blank": (" /etc/passwd", "absolute_path"),
        "a drive": ("C:\\Users\\me\\key.png", "absolute_path"),
        "a drive's own folder": ("c:key.png", "absolute_path"),
        "another machine": ("\\\\host\\share\\x.png", "absolute_path"),
        "a device": ("\\\\?\\C:\\x.png", "absolute_path"),
        "home": ("~/.ssh/id_rsa", "absolute_path"),
        "somebody's home": ("~root/.ssh/id_rsa", "absolute_path"),
        "file address": ("file:///etc/passwd", "address_not_allowed"),
        "web address": ("https://example.org/x.png", "address_not_allowed"),
        "metadata address": ("HTTP://169.254.169.254/latest", "address_not_allowed"),
        "bucket": ("s3://bucket/x.png", "address_not_allowed"),
        "inline": ("data:image/png;base64,AAAA", "address_not_allowed"),
        "results of others": ("other.png [output]", "foreign_folder"),
        "previews of others": ("other.png [temp]", "foreign_folder"),
        "shared inputs": ("other.png [input]", "foreign_folder"),
        "another account": ("comfygate/other-account/job/x.png", "foreign_prefix"),
        "another account, Windows": ("ComfyGate\\other-account\\job\\x.png", "foreign_prefix"),
        "another account, by way of here": ("./comfygate/other-account/x.png", "foreign_prefix"),
        "a zero byte": ("x.png\0.txt", "control_characters"),
        "a link": (["1", 0], "file_by_link"),
        "a wrapped name": ({"__value__": "other.png"}, "not_a_file"),
        "a list": (["other.png"], "not_a_file"),
        "a number": (7, "not_a_file"),
    }
    return [
        with_node(f"load {name}", node("LoadImage", image=value), "image", reason)
        for name, (value, reason) in names.items()
    ]


def _classes() -> list[Hostile]:
    names = (
        "LoadImageFromUrl", "LoadImageFromHttp", "VHS_LoadVideoPath", "VHS_LoadImagesPath",
        "LoadImageDataSetFromFolder", "SaveImageDataSetToFolder", "LoadImageFromPath", "Image Save",
        "ExecutePython", "PythonScript", "ShellCommand", "GLSLShader", "ComfyMathExpression", "RegexReplace",
        "CheckpointSave", "LoraSave", "TrainLoraNode", "WebcamCapture", "RecordAudio", "Load3D",
        "KlingTextToVideoNode", "OpenAIDalle3", "WanTextToVideoApi", "HTTPRequest", "LoadImagе",
        "loadimage", "__import__", "SaveImage ", "X" * 5000,
    )  # fmt: skip
    return [
        with_node(f"class {name[:40]!r}", node(name, image="x"), "class_type", "node_not_allowed")
        for name in names
    ]


def _names() -> list[Hostile]:
    def saving(prefix: Any) -> Graph:
        return node("SaveImage", images=["1", 0], filename_prefix=prefix)

    return [
        with_node("save up and out", saving("../../../root/x"), "filename_prefix", "path_traversal"),
        with_node("save to a path", saving("/var/www/x"), "filename_prefix", "absolute_path"),
        with_node("save to a drive", saving("D:\\x"), "filename_prefix", "absolute_path"),
        with_node("save as another", saving("comfygate/other/x"), "filename_prefix", "foreign_prefix"),
        with_node("save wrapped", saving({"__value__": "../x"}), "filename_prefix", "path_traversal"),
        with_node("save with a date", saving("%date:yyyy%/../../x"), "filename_prefix", "path_traversal"),
        with_node(
            "model by path", node("CheckpointLoaderSimple", ckpt_name="/m/x.ckpt"), "ckpt_name", "absolute"
        ),
        with_node(
            "model up and out", node("VAELoader", vae_name="..\\..\\x.pt"), "vae_name", "path_traversal"
        ),
        with_node(
            "model by address",
            node("LoraLoaderModelOnly", lora_name="https://example.org/x"),
            "lora_name",
            "address_not_allowed",
        ),
        Hostile(
            "model by link",
            {
                **HARMLESS,
                "8": node("PrimitiveString", value="../../x"),
                "9": node("DiffusersLoader", model_path=["8", 0]),
            },
            "9",
            "model_path",
            "model_by_link",
        ),
        with_node("in a list", node("ImageBlur", extra=[["a", "../../b"], 1]), "extra", "path_traversal"),
        with_node(
            "in an object", node("ImageBlur", extra={"a": {"b": "/etc/passwd"}}), "extra", "absolute_path"
        ),
        with_node(
            "embedding up and out",
            node("CLIPTextEncode", text="a cat, (embedding:../../secret:1.2)", clip=["1", 0]),
            "text",
            "path_traversal",
        ),
        with_node("a folder's name", node("ImageBlur", folder="/etc"), "folder", "absolute_path"),
    ]


def _structure() -> list[Hostile]:
    ring = {
        "1": node("ImageInvert", image=["2", 0]),
        "2": node("ImageInvert", image=["3", 0]),
        "3": node("ImageInvert", image=["1", 0]),
        "4": node("SaveImage", images=["1", 0], filename_prefix="out"),
    }
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    return [
        Hostile("a ring", ring, "1", "image", "cycle"),
        with_node("oneself", node("ImageInvert", image=["9", 0]), "image", "self_link"),
        with_node("no such node", node("ImageInvert", image=["77", 0]), "image", "broken_link"),
        with_node("no such output", node("ImageInvert", image=["1", 9]), "image", "broken_link"),
        with_node("an output below nothing", node("ImageInvert", image=["1", -1]), "image", "broken_link"),
        with_node("a link in floats", node("ImageInvert", image=["9", 0.0]), "image", "broken_link"),
        with_node(
            "a wrapped link", node("ImageInvert", image={"__value__": ["9", 0]}), "image", "broken_link"
        ),
        with_node("deep nesting", node("ImageBlur", extra=deep), "extra", "nested_too_deep"),
        with_node("prototype", node("ImageBlur", __proto__={"x": 1}), "__proto__", "bad_field_name"),
        with_node("prototype inside", node("ImageBlur", extra={"constructor": 1}), "extra", "bad_key"),
        with_node("unseen field", node("ImageBlur", **{"a\u0007": 1}), "'a\\x07'", "bad_field_name"),
        with_node("class with a bell", node("Save\u0007Image"), "class_type", "missing_class_type"),
        with_node(
            "class that is none", {"class_type": None, "inputs": {}}, "class_type", "missing_class_type"
        ),
        Hostile("many nodes", {str(n): node("ImageBlur") for n in range(2001)}, None, "", "2001 nodes"),
        Hostile("ten megabytes", {"1": node("PrimitiveString", value="x" * 10_000_000)}, None, "", "bytes"),
        Hostile("a bell in an id", {"\u0007": node("ImageBlur")}, None, "", "node id"),
        Hostile("doubled keys", {}, None, "", "twice", b'{"workflow": {"1": {}, "1": {}}}'),
        Hostile(
            "no number at all",
            {},
            None,
            "",
            "NaN",
            b'{"workflow": {"1": {"class_type": "A", "inputs": {"a": NaN}}}}',
        ),
        Hostile(
            "infinite",
            {},
            None,
            "workflow",
            "JSON",
            b'{"workflow": {"1": {"class_type": "ImageBlur", "inputs": {"a": 1e999}}}}',
        ),
        Hostile(
            "bottomless",
            {},
            None,
            "",
            "nested",
            b'{"workflow": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
        ),
    ]


def _numbers() -> list[Hostile]:
    def empty(**changed: Any) -> Graph:
        return node("EmptyImage", **{"width": 16, "height": 16, "batch_size": 1, "color": 0, **changed})

    def by_link(value: Any) -> Graph:
        return {**HARMLESS, "8": node("PrimitiveInt", value=value), "9": empty(width=["8", 0])}

    return [
        with_node("many pixels", empty(width=16384, height=16384), "width", "limits.pixels_max"),
        with_node("a long side", empty(width=100_000), "width", "over_limit"),
        with_node("a long side in text", empty(width="1_00_000"), "width", "over_limit"),
        with_node("a long side, wrapped", empty(height={"__value__": 10**9}), "height", "over_limit"),
        Hostile("a long side by link", by_link(10**9), "9", "width", "over_limit"),
        with_node("a huge batch", empty(batch_size=100_000), "batch_size", "limits.batch_max"),
        with_node(
            "many copies", node("RepeatImageBatch", image=["1", 0], amount=9999), "amount", "batch_max"
        ),
        with_node("many frames", node("EmptyLTXVLatentVideo", length=10**6), "length", "limits.batch_max"),
        with_node(
            "many rounds", node("StartLoop", num_iterations=10**7), "num_iterations", "limits.batch_max"
        ),
        with_node("many steps", node("KSampler", steps=10_000), "steps", "limits.steps_max"),
        with_node(
            "many megapixels", node("ImageScaleToTotalPixels", megapixels=1e6), "megapixels", "pixels_max"
        ),
        with_node("beyond 64 bits", node("KSampler", seed=2**70), "seed", "number_too_large"),
        with_node(
            "beyond 64 bits, inside", node("KSampler", seed={"a": [-(2**70)]}), "seed", "number_too_large"
        ),
    ]


CASES: tuple[Hostile, ...] = (*_files(), *_classes(), *_names(), *_structure(), *_numbers())


def body_of(case: Hostile) -> bytes:
    """The request's body."""
    return case.body or json.dumps({"workflow": case.graph}).encode()
