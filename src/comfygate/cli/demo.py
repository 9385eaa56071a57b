"""`comfygate demo`: from nothing to a picture, a clip and the books, with a stand-in for ComfyUI.

All else is real: HTTP, the database, the queue, the credits, and what the stand-in draws.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from comfygate.cli.exit_codes import Exit
from comfygate.cli.files import fresh_file
from comfygate.cli.gateway import Gateway, gateway
from comfygate.cli.graph_inputs import Place, with_assets
from comfygate.cli.live_view import LiveView, live_view
from comfygate.cli.operate import operate
from comfygate.cli.operator_commands import show_audit, show_entries
from comfygate.cli.output import print_json, say
from comfygate.cli.refusals import CommandError, out_of_reach
from comfygate.cli.run_command import finish
from comfygate.cli.services import Services
from comfygate.cli.shared_options import AsJson, run, services_of
from comfygate.settings import Settings, load_settings

ACCOUNT: Final = "demo"
CREDITS: Final = 20
NODE_SECONDS: Final = 0.3
"""The stand-in takes this long a node, so that there is something to see."""
SECONDS_MAX: Final = 60.0
SAMPLES: Final = ("picture", "clip")
PHOTO_PLACE: Final = Place("1", "image")

Json = dict[str, Any]


def demo(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the results; nothing there is replaced.")] = Path(
        "demo-output"
    ),
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Keep the gateway's data in this empty folder; temporary if not given."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a picture and a clip from nothing, paid with credits, and stop. Needs no ComfyUI, no network."""
    services = services_of(ctx)
    services.configure_logs("error", "console")
    begun = time.monotonic()
    with _base(folder) as base:
        settings = load_settings(base_dir=base, environ={}, overrides={"host": "127.0.0.1", "port": 0})
        done: Json = run(ctx, lambda: _in_time(services, settings, out, talk=not as_json))
    done["seconds"] = round(time.monotonic() - begun, 1)
    if as_json:
        print_json(done)
    else:
        _report(done)
    if not done["audit"]["balanced"]:
        raise typer.Exit(Exit.NOT_BALANCED)


def sample(name: str) -> Json:
    """One of the graphs that come with the package: `picture` or `clip`."""
    text = resources.files("comfygate.cli").joinpath("samples", f"{name}.json").read_text(encoding="utf-8")
    graph: Json = json.loads(text)
    return graph


@contextmanager
def _base(folder: Path | None) -> Iterator[Path]:
    if folder is None:
        base = Path(tempfile.mkdtemp(prefix="comfygate-demo-"))
        try:
            yield base
        finally:
            shutil.rmtree(base, ignore_errors=True)
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CommandError("conflict", f"--dir {folder} is not an empty folder; name one that is new")
    folder.mkdir(parents=True, exist_ok=True)
    yield folder.absolute()


async def _in_time(services: Services, settings: Settings, out: Path, *, talk: bool) -> Json:
    try:
        async with asyncio.timeout(SECONDS_MAX):
            return await _play(services, settings, out, talk=talk)
    except TimeoutError as error:
        raise out_of_reach(
            f"the demo did not end within {SECONDS_MAX:g} s; this machine is very busy"
        ) from error


async def _play(services: Services, settings: Settings, out: Path, *, talk: bool) -> Json:
    # Its video libraries take long to load, which no other command should pay for.
    from comfygate.simulator import Simulator  # noqa: PLC0415

    simulator = Simulator(
        base_dir=settings.base_path / "simulator", node_seconds=NODE_SECONDS, steps=True, previews=True
    )
    async with simulator, services.hosted(settings) as house:
        await operate(
            services, settings, "servers.add",
            name="simulator", url=simulator.url, lanes=["image", "video"], slots=1,
        )  # fmt: skip
        made = await operate(services, settings, "accounts.add", name=ACCOUNT, credits=CREDITS)
        photo = await asyncio.to_thread(_photo, out)
        if talk:
            say(f"Gateway at {house.url}, with a stand-in for ComfyUI at {simulator.url}")
            say(f"Account {ACCOUNT!r} has {made['available']} credits. Sending {photo}")
        async with gateway(house.url, made["api_key"]) as gate:
            with live_view() as view:
                paths = await asyncio.gather(*(_one(gate, name, photo, out, view) for name in SAMPLES))
        return {
            "photo": str(photo),
            "outputs": [str(path) for found in paths for path in found],
            "available_before": made["available"],
            "ledger": await operate(services, settings, "ledger.show", account=ACCOUNT),
            "audit": await operate(services, settings, "ledger.audit"),
        }


def _photo(out: Path) -> Path:
    try:
        path, file = fresh_file(out, "photo.png")
    except OSError as error:
        raise CommandError("settings_invalid", f"--out {out} cannot be written ({error.strerror})") from error
    file.close()
    # As with the simulator: the imaging library is for this command alone.
    from comfygate.cli.picture import draw_photo  # noqa: PLC0415

    draw_photo(path)
    return path


async def _one(gate: Gateway, name: str, photo: Path, out: Path, view: LiveView) -> list[Path]:
    """Upload, submit, follow, download: what any client does."""
    asset = await gate.upload(photo)
    graph = with_assets(sample(name), {PHOTO_PLACE: asset})
    job = await finish(gate, graph, lane=None, heard=view.job(name))
    return [await gate.download(output, out) for output in job["outputs"]]


def _report(done: Json) -> None:
    say("")
    for path in done["outputs"]:
        say(f"Made {path}")
    ledger = done["ledger"]
    say(f"Credits before: {done['available_before']}, after: {ledger['available']}")
    show_entries(ledger)
    show_audit(done["audit"])
    say(f"The demo took {done['seconds']} s and has stopped.")
