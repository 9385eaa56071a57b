"""First bytes decide, then the name; and real files of every kind that a workflow makes are known."""

import io

import av
import pytest
from PIL import Image

from comfygate.assets import output_kind, sniff


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, kind)
    return out.getvalue()


def clip(container: str, codec: str) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        video = file.add_stream(codec, rate=8)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        for _ in range(2):
            frame = av.VideoFrame(32, 32, "yuv420p")
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
    return out.getvalue()


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "bmp", "tiff"])
def test_pictures_made_by_pillow(kind: str) -> None:
    assert sniff(picture(kind), "anything.txt") == f"image/{kind}"


@pytest.mark.parametrize(
    ("container", "codec", "content_type"),
    [
        ("mp4", "mpeg4", "video/mp4"),
        ("mov", "mpeg4", "video/quicktime"),
        ("webm", "libvpx-vp9", "video/webm"),
        ("matroska", "mpeg4", "video/x-matroska"),
    ],
)
def test_clips_made_by_pyav(container: str, codec: str, content_type: str) -> None:
    data = clip(container, codec)
    assert sniff(data[:4096], "x") == content_type
    assert output_kind(content_type, "x") == "video"


@pytest.mark.parametrize(
    ("head", "name", "content_type"),
    [
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "a", "audio/wav"),
        (b"ID3\x04\x00", "a", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "a", "audio/mpeg"),
        (b"fLaC\x00", "a", "audio/flac"),
        (b"OggS\x00\x02" + b"\x00" * 22 + b"OpusHead", "a", "audio/ogg"),
        (b"\x00\x00\x00\x20ftypM4A ", "a", "audio/mp4"),
        (b"\x00\x00\x00\x20ftypavif", "a", "image/avif"),
        (b'{"a": 1}', "a", "application/json"),
        (b"[1, 2", "a", "application/json"),
        (b"PK\x03\x04", "a", "application/zip"),
        ((2).to_bytes(8, "little") + b'{"', "x.latent", "application/x-safetensors"),
        (b"glTF\x02\x00\x00\x00", "a", "model/gltf-binary"),
        (b"hello", "a.TXT", "text/plain"),
        ("grüße".encode()[:3], "a.txt", "text/plain"),
        (b"\x00\x01", "a.txt", "application/octet-stream"),
        (b"\x00\x01", "a.mp4", "video/mp4"),
        (b"\x00\x01", "", "application/octet-stream"),
        (b"", "", "application/octet-stream"),
        (b"BMW is a car", "a.txt", "text/plain"),
        (b"\xff\xff\xff\xff", "a", "application/octet-stream"),
    ],
)
def test_other_kinds(head: bytes, name: str, content_type: str) -> None:
    assert sniff(head, name) == content_type


@pytest.mark.parametrize("name", ["page.html", "page.htm", "page.svg", "page.xhtml", "page.js"])
def test_bytes_of_strangers_never_become_a_page(name: str) -> None:
    assert sniff(b"<script>alert(1)</script>", name) == "application/octet-stream"


@pytest.mark.parametrize(
    ("content_type", "name", "kind"),
    [
        ("image/png", "a.png", "image"),
        ("audio/flac", "a.flac", "audio"),
        ("text/plain; charset=utf-8", "a.txt", "text"),
        ("application/json", "a.json", "text"),
        ("application/x-safetensors", "ComfyUI_00001_.latent", "latent"),
        ("application/x-safetensors", "a.safetensors", "file"),
        ("model/gltf-binary", "a.glb", "file"),
        ("application/octet-stream", "a", "file"),
    ],
)
def test_output_kinds(content_type: str, name: str, kind: str) -> None:
    assert output_kind(content_type, name) == kind
