"""The demo as people run it: two files that open and show what the graphs say, and books that balance."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image, ImageChops, ImageFilter, ImageOps, ImageStat

from comfygate.cli.picture import draw_photo
from tests.cli.conftest import Invoke
from tests.cli.rig import command, fresh_command


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures, 0 to 255."""
    return max(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean)


def frames(path: Path) -> list[Image.Image]:
    with av.open(path) as container:
        return [frame.to_image() for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]


async def test_the_demo_makes_a_picture_and_a_clip_and_stops(tmp_path: Path) -> None:
    shown, told = await asyncio.gather(
        fresh_command(tmp_path, "demo", "--out", str(tmp_path / "shown")),
        command(tmp_path, "demo", "--out", str(tmp_path / "told"), "--dir", str(tmp_path / "kept"), "--json"),
    )
    assert shown.code == 0, shown.err
    for text in ("Made ", "Credits before: 20, after: 14", "Ledger of demo", "The ledger balances"):
        assert text in shown.out
    for text in ("picture: running", "clip: running", "position 1", "picture: succeeded", "clip: succeeded"):
        assert text in shown.err
    done = told.json()
    assert (done["available_before"], done["ledger"]["available"], done["ledger"]["held"]) == (20, 14, 0)
    assert done["audit"]["balanced"]
    assert done["seconds"] < 60
    _check_picture(*map(Path, (done["photo"], done["outputs"][0])))
    _check_clip(*map(Path, (done["photo"], done["outputs"][1])))
    kept = await command(tmp_path / "kept", "ledger", "show", "demo", "--json")
    assert [e["kind"] for e in kept.json()["entries"]].count("capture") == 2


def _check_picture(photo: Path, made: Path) -> None:
    with Image.open(photo) as sent, Image.open(made) as found:
        assert found.format == "PNG"
        small = ImageOps.fit(sent.convert("RGB"), (512, 384), Image.Resampling.LANCZOS)
        wanted = ImageOps.invert(small).filter(ImageFilter.BoxBlur(2))
        assert found.size == wanted.size
        assert difference(found, wanted) < 2
        assert difference(found, small) > 30


def _check_clip(photo: Path, made: Path) -> None:
    pictures = frames(made)
    assert len(pictures) == 24
    with Image.open(photo) as sent:
        whole = sent.convert("RGB").resize((384, 288), Image.Resampling.LANCZOS)
    assert {picture.size for picture in pictures} == {(384, 288)}
    assert difference(pictures[0], whole) < 12
    assert difference(pictures[1], whole) > 12
    assert difference(pictures[3], ImageOps.invert(whole)) < 12
    assert difference(pictures[4], pictures[0]) < 12


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine", encoding="utf-8")
    ended = invoke("demo", "--dir", str(tmp_path / "full"), "--json")
    assert (ended.code, ended.error()["code"]) == (4, "conflict")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_a_folder_for_results_that_cannot_be(tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "file").write_bytes(b"")
    ended = invoke("demo", "--out", str(tmp_path / "file" / "out"))
    assert ended.code == 3
    assert "--out" in ended.err


def test_the_photo_is_the_same_for_the_same_seed_but_for_its_grain(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        draw_photo(tmp_path / name, seed=seed)
    pictures = [Image.open(tmp_path / name) for name in "abc"]
    same, other = difference(pictures[0], pictures[1]), difference(pictures[0], pictures[2])
    assert pictures[0].size == (768, 576)
    assert len(pictures[0].getcolors(1 << 24) or []) > 10_000
    assert same < other
    for picture in pictures:
        picture.close()


@pytest.mark.parametrize("name", ["picture", "clip"])
def test_the_samples_are_graphs_in_api_format(name: str) -> None:
    from comfygate.cli.demo import sample
    from comfygate.cli.graph_inputs import read_graph

    graph: Any = sample(name)
    assert read_graph(json.loads(json.dumps(graph)), name).nodes
