"""Video nodes: really encoded and decoded with PyAV, one step a frame.

SaveVideo and SaveWEBM show their files under `images` with `animated: [true]` (recorded on 0.3.64).
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.stream import VideoStream
from PIL import Image

from comfygate.simulator.files import Folders
from comfygate.simulator.node import Call, Images, Input, NodeClass, Result
from comfygate.simulator.nodes_file import HIDDEN, files_of_kind, saved

_MODULE = "comfy_extras.nodes_video"
_WEBM_CODECS = {"vp9": "libvpx-vp9", "av1": "libsvtav1"}


@dataclass(frozen=True, slots=True)
class Video:
    """A VIDEO: frames and their rate, or a file that is decoded when somebody needs its frames."""

    rate: Fraction
    frames: Images = ()
    path: Path | None = None

    def pictures(self) -> Images:
        """All frames."""
        if self.path is None:
            return self.frames
        with av.open(self.path) as container:
            return tuple(_picture(frame) for frame in container.decode(video=0))


def _picture(frame: av.VideoFrame) -> Image.Image:
    picture: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
    return picture


def _create(inputs: Mapping[str, Any], call: Call) -> Result:
    if inputs.get("audio") is not None:
        raise ValueError("The simulator makes silent videos: leave the audio input unconnected.")
    return Result((Video(Fraction(inputs["fps"]), frames=inputs["images"]),))


def _metadata(call: Call) -> dict[str, str]:
    extra = {key: json.dumps(value) for key, value in (call.extra_pnginfo or {}).items()}
    return {**extra, "prompt": json.dumps(call.graph)}


@dataclass(frozen=True, slots=True)
class _Encoding:
    codec: str
    rate: Fraction
    pix_fmt: str = "yuv420p"
    bit_rate: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def _encode(path: Path, images: Images, how: _Encoding, call: Call) -> None:
    mux = {"movflags": "use_metadata_tags"} if path.suffix == ".mp4" else {}
    with av.open(path, mode="w", options=mux) as container:
        container.metadata.update(_metadata(call))
        stream = container.add_stream(how.codec, rate=how.rate, options=dict(how.options))
        assert isinstance(stream, VideoStream)  # noqa: S101 - PyAV types add_stream by literal names only
        stream.width, stream.height = images[0].size
        stream.pix_fmt = how.pix_fmt
        if how.bit_rate is not None:
            stream.bit_rate = how.bit_rate
        for number, picture in enumerate(images, start=1):
            frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]
            container.mux(stream.encode(frame))
            call.step(number, len(images), picture)
        container.mux(stream.encode(None))


def _save_video(inputs: Mapping[str, Any], call: Call) -> Result:
    video: Video = inputs["video"]
    pictures = video.pictures()
    width, height = pictures[0].size
    slot = call.folders.save_slot(inputs["filename_prefix"], "output", width, height)
    name = slot.file_name("mp4")
    even = tuple(one.crop((0, 0, width - width % 2, height - height % 2)) for one in pictures)
    _encode(slot.folder / name, even, _Encoding("h264", video.rate), call)
    return Result(ui={"images": [saved(name, slot.subfolder)], "animated": [True]})


def _save_webm(inputs: Mapping[str, Any], call: Call) -> Result:
    images: Images = inputs["images"]
    slot = call.folders.save_slot(inputs["filename_prefix"], "output", *images[0].size)
    name = slot.file_name("webm")
    av1 = inputs["codec"] == "av1"
    encoding = _Encoding(
        _WEBM_CODECS[inputs["codec"]],
        Fraction(round(inputs["fps"] * 1000), 1000),
        "yuv420p10le" if av1 else "yuv420p",
        0,
        {"crf": str(inputs["crf"]), **({"preset": "6"} if av1 else {})},
    )
    _encode(slot.folder / name, images, encoding, call)
    return Result(ui={"images": [saved(name, slot.subfolder)], "animated": [True]})


def _load_video(inputs: Mapping[str, Any], call: Call) -> Result:
    path = call.folders.annotated(inputs["file"])
    if path is None:
        raise FileNotFoundError(f"[Errno 2] No such file or directory: {inputs['file']!r}")
    with av.open(path) as container:
        rate = container.streams.video[0].average_rate or Fraction(1)
    return Result((Video(rate, path=path),))


def _components(inputs: Mapping[str, Any], call: Call) -> Result:
    video: Video = inputs["video"]
    return Result((video.pictures(), None, float(video.rate)))


def _known_video(folders: Folders, name: Any) -> str | None:
    return None if folders.annotated(str(name)) else f"Invalid video file: {name}"


def _modified(folders: Folders, inputs: Mapping[str, Any]) -> str:
    path = folders.annotated(str(inputs.get("file", "")))
    return str(path.stat().st_mtime) if path else ""


mimetypes.add_type("video/webm", ".webm")
mimetypes.add_type("image/webp", ".webp")

NODES: tuple[NodeClass, ...] = (
    NodeClass(
        "CreateVideo",
        _create,
        "image/video",
        (
            Input("images", "IMAGE", {"tooltip": "The images to create a video from."}),
            Input("fps", "FLOAT", {"default": 30.0, "min": 1.0, "max": 120.0, "step": 1.0}),
            Input("audio", "AUDIO", {"tooltip": "The audio to add to the video."}, optional=True),
        ),
        (("VIDEO", "VIDEO"),),
        display_name="Create Video",
        description="Create a video from images.",
        module=_MODULE,
        schema="v3",
    ),
    NodeClass(
        "SaveVideo",
        _save_video,
        "image/video",
        (
            Input("video", "VIDEO", {"tooltip": "The video to save."}),
            Input("filename_prefix", "STRING", {"default": "video/ComfyUI", "multiline": False}),
            Input("format", ("auto", "mp4"), {"default": "auto"}),
            Input("codec", ("auto", "h264"), {"default": "auto"}),
        ),
        display_name="Save Video",
        description="Saves the input images to your ComfyUI output directory.",
        module=_MODULE,
        output_node=True,
        schema="v3",
        hidden=HIDDEN,
    ),
    NodeClass(
        "SaveWEBM",
        _save_webm,
        "image/video",
        (
            Input("images", "IMAGE"),
            Input("filename_prefix", "STRING", {"default": "ComfyUI", "multiline": False}),
            Input("codec", tuple(_WEBM_CODECS)),
            Input("fps", "FLOAT", {"default": 24.0, "min": 0.01, "max": 1000.0, "step": 0.01}),
            Input("crf", "FLOAT", {"default": 32.0, "min": 0, "max": 63.0, "step": 1}),
        ),
        module=_MODULE,
        output_node=True,
        schema="v3",
        hidden=HIDDEN,
        experimental=True,
    ),
    NodeClass(
        "LoadVideo",
        _load_video,
        "image/video",
        (Input("file", lambda folders: files_of_kind(folders, "video"), {"video_upload": True}),),
        (("VIDEO", "VIDEO"),),
        display_name="Load Video",
        module=_MODULE,
        schema="v3",
        check={"file": _known_video},
        fingerprint=_modified,
    ),
    NodeClass(
        "GetVideoComponents",
        _components,
        "image/video",
        (Input("video", "VIDEO", {"tooltip": "The video to extract components from."}),),
        (("IMAGE", "images"), ("AUDIO", "audio"), ("FLOAT", "fps")),
        display_name="Get Video Components",
        description="Extracts all components from a video: frames, audio, and framerate.",
        module=_MODULE,
        schema="v3",
    ),
)
