"""What a camera writes goes; pixels, colour profile and orientation stay, and nothing is encoded anew."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from comfygate.assets.decoding import Unreadable
from comfygate.assets.metadata import plan
from comfygate.assets.seen import Kept, Piece, Zeros, size_of
from tests.assets.drawn import GPS, MAKE, ORIENTATION, PROFILE, SECRET, XMP, clip, encoded, exif, landscape

TYPES = ("image/jpeg", "image/png", "image/webp", "video/mp4")


def cleaned(data: bytes, content_type: str, *, output: bool = False) -> bytes:
    """The file as a plan leaves it."""
    pieces = plan(data, content_type, output=output)
    if pieces is None:
        return data
    made = b"".join(_bytes(data, piece) for piece in pieces)
    assert len(made) == size_of(pieces)
    return made


def _bytes(data: bytes, piece: Piece) -> bytes:
    match piece:
        case Kept(start, end):
            return data[start:end]
        case Zeros(count):
            return bytes(count)
        case bytes():
            return piece


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


@pytest.fixture
def picture(tmp_path: Path) -> Image.Image:
    return landscape(tmp_path)


def photo(picture: Image.Image, form: str, orientation: int = 6) -> bytes:
    """As a phone makes it."""
    how = {"exif": exif(orientation), "icc_profile": PROFILE}
    if form == "PNG":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Comment", SECRET.decode())
        texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
        return encoded(picture, form, pnginfo=texts, **how)
    if form == "JPEG":
        return encoded(picture, form, xmp=XMP, comment=SECRET, progressive=True, **how)
    return encoded(picture, form, xmp=XMP, lossless=True, **how)


@pytest.mark.parametrize(
    ("form", "content_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")]
)
@pytest.mark.parametrize("output", [False, True])
def test_metadata_goes_and_the_picture_stays(
    picture: Image.Image, form: str, content_type: str, output: bool
) -> None:
    before = photo(picture, form)
    assert SECRET in before
    after = cleaned(before, content_type, output=output)
    if not output:
        assert SECRET not in after
    left = opened(after)
    assert left.tobytes() == opened(before).tobytes()
    assert left.info["icc_profile"] == PROFILE
    found = left.getexif()
    assert dict(found) == {ORIENTATION: 6}
    assert GPS not in found
    assert MAKE not in found
    assert b"xmpmeta" not in after
    assert cleaned(after, content_type, output=output) == after


@pytest.mark.parametrize(("form", "content_type"), [("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
def test_the_usual_orientation_needs_no_exif(picture: Image.Image, form: str, content_type: str) -> None:
    after = cleaned(photo(picture, form, orientation=1), content_type)
    assert b"Exif" not in after
    assert dict(opened(after).getexif()) == {}


@pytest.mark.parametrize(
    ("form", "content_type"),
    [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp"), ("GIF", "image/gif")],
)
def test_what_has_no_metadata_stays_as_it_is(picture: Image.Image, form: str, content_type: str) -> None:
    plain = encoded(picture, form)
    assert cleaned(plain, content_type) == plain
    assert plan(plain, content_type, output=True) is None


def test_animations_keep_their_frames(picture: Image.Image) -> None:
    frames = [picture.crop((n * 10, 0, n * 10 + 64, 64)) for n in range(5)]
    for form, content_type in (("WEBP", "image/webp"), ("PNG", "image/png")):
        data = encoded(frames[0], form, save_all=True, append_images=frames[1:], exif=exif())
        left = opened(cleaned(data, content_type))
        assert left.n_frames == 5  # type: ignore[attr-defined]
        assert SECRET not in cleaned(data, content_type)


def test_what_stands_behind_the_picture_goes(picture: Image.Image) -> None:
    behind = photo(picture, "JPEG")
    for form, content_type in (("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")):
        plain = encoded(picture, form)
        assert cleaned(plain + behind, content_type) == plain


def test_comfyui_s_own_words_stay_in_an_output_and_go_from_an_upload(picture: Image.Image) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("prompt", '{"1": {}}')
    data = encoded(picture, "PNG", pnginfo=texts)
    assert cleaned(data, "image/png", output=True) == data
    assert b"prompt" not in cleaned(data, "image/png")


def test_a_clip_s_own_words_are_blanked_in_place(picture: Image.Image, tmp_path: Path) -> None:
    import av

    path = clip(picture, tmp_path / "clip.mp4", title=SECRET.decode(), location="+51.5007-000.1246/")
    before = path.read_bytes()
    assert SECRET in before
    after = cleaned(before, "video/mp4")
    assert len(after) == len(before)
    assert SECRET not in after
    assert b"51.5007" not in after
    path.write_bytes(after)
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 60
    assert plan(before, "video/mp4", output=True) is None


@pytest.mark.parametrize("content_type", TYPES)
def test_what_is_not_built_as_its_type_says_is_refused_by_name(content_type: str) -> None:
    for data in (b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIHDR", b"\xff\xd8\xff\xe1\xff\xff", b"RIFF", b"x" * 9):
        try:
            plan(data, content_type, output=False)
        except Unreadable as error:
            assert str(error)  # noqa: PT017 - either answer is right, a crash is not


@given(st.sampled_from(TYPES), st.binary(max_size=200))
def test_no_bytes_at_all_break_it(content_type: str, tail: bytes) -> None:
    starts = {
        "image/jpeg": b"\xff\xd8",
        "image/png": b"\x89PNG\r\n\x1a\n",
        "image/webp": b"RIFF\x40\0\0\0WEBP",
    }
    data = starts.get(content_type, b"") + tail
    try:
        assert len(cleaned(data, content_type)) <= len(data) + 100
    except Unreadable as error:
        assert str(error)  # noqa: PT017 - see above


def test_a_thousand_pieces_are_bearable_and_a_million_are_not() -> None:
    box = struct.pack(">I4s", 8, b"udta")
    assert plan(box * 1000, "video/mp4", output=False)
    with pytest.raises(Unreadable, match="too many"):
        plan(box * 20_000, "video/mp4", output=False)
