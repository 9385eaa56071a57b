"""The example in examples/ runs as it stands."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from PIL import Image

from comfygate.simulator import Simulator
from tests.cli.rig import PATIENCE_SECONDS, environment

EXAMPLE = Path(__file__).parents[2] / "examples" / "library.py"


def list_pictures(folder: Path) -> list[Path]:
    return list(folder.glob("*.png"))


async def test_the_library_example_runs_and_every_callback_is_called(tmp_path: Path) -> None:
    async with Simulator() as sim:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLE), "--server", sim.url, "--out", str(tmp_path),
            env=environment(tmp_path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
        text = out.decode()
    assert process.returncode == 0, text
    for line in ("in the image lane", "started", "made ", "credits left: 9, held: 0"):
        assert line in text
    (made,) = list_pictures(tmp_path)
    with Image.open(made) as picture:
        assert picture.size == (512, 384)
