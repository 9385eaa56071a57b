"""`comfygate demo`: from nothing to a picture, a clip and the books, with a stand-in for ComfyUI.

All else is real: HTTP, the database, the queue, the credits, and what the stand-in draws.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
SAMPLE_CREDITS: Final = 100
NODE_SECONDS: Final = 0.3
"""The stand-in takes this long a node, so that there is something to see."""
SAMPLE_NODE_SECONDS: Final = 0.02
"""The same for samples of the catalogue, which have many nodes."""
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
    workflow: Annotated[
        str | None, typer.Option(help="Run this sample of the catalogue instead, in every style.")
    ] = None,
    style: Annotated[str | None, typer.Option(help="With --workflow: this style alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a picture and a clip from nothing, paid with credits, and stop. Needs no ComfyUI, no network.

    With --workflow: order that sample of the catalogue, once in every style, each at its own price.
    """
    services = services_of(ctx)
    services.configure_logs("error", "console")
    begun = time.monotonic()
    with _base(folder) as base:
        overrides = {"host": "127.0.0.1", "port": 0, "workflows_dir": samples_folder()}
        settings = load_settings(base_dir=base, environ={}, overrides=overrides)
        play = _Play(services, settings, out, workflow, style, talk=not as_json)
        done: Json = run(ctx, play.in_time)
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


def samples_folder() -> Path:
    """The catalogue that comes with the package: inside it when installed, beside `src` in a checkout."""
    packed = Path(__file__).parent / "catalogue"
    return packed if packed.is_dir() else Path(__file__).parents[3] / "workflows"


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


@dataclass(frozen=True, slots=True)
class _Play:
    """One showing of the demo."""

    services: Services
    settings: Settings
    out: Path
    workflow: str | None
    style: str | None
    talk: bool

    async def in_time(self) -> Json:
        try:
            async with asyncio.timeout(SECONDS_MAX):
                return await self._play()
        except TimeoutError as error:
            raise out_of_reach(
                f"the demo did not end within {SECONDS_MAX:g} s; this machine is very busy"
            ) from error

    async def _play(self) -> Json:
        # Its video libraries take long to load, which no other command should pay for.
        from comfygate.simulator import Simulator  # noqa: PLC0415

        services, settings = self.services, self.settings
        credits = CREDITS if self.workflow is None else SAMPLE_CREDITS
        simulator = Simulator(
            base_dir=settings.base_path / "simulator",
            node_seconds=NODE_SECONDS if self.workflow is None else SAMPLE_NODE_SECONDS,
            steps=True,
            previews=True,
        )
        async with simulator, services.hosted(settings) as house:
            await operate(
                services, settings, "servers.add",
                name="simulator", url=simulator.url, lanes=["image", "video"], slots=1,
            )  # fmt: skip
            made = await operate(services, settings, "accounts.add", name=ACCOUNT, credits=credits)
            photo = await asyncio.to_thread(_photo, self.out)
            if self.talk:
                say(f"Gateway at {house.url}, with a stand-in for ComfyUI at {simulator.url}")
                say(f"Account {ACCOUNT!r} has {made['available']} credits. Sending {photo}")
            async with gateway(house.url, made["api_key"]) as gate:
                with live_view() as view:
                    jobs = await (
                        self._samples(gate, photo, view) if self.workflow else self._two(gate, photo, view)
                    )
            return {
                "photo": str(photo),
                "jobs": jobs,
                "outputs": [path for job in jobs for path in job["outputs"]],
                "available_before": made["available"],
                "ledger": await operate(services, settings, "ledger.show", account=ACCOUNT),
                "audit": await operate(services, settings, "ledger.audit"),
            }

    async def _two(self, gate: Gateway, photo: Path, view: LiveView) -> list[Json]:
        """A picture and a clip by graphs of our own: what any client does."""
        return await asyncio.gather(*(self._graph(gate, name, photo, view) for name in SAMPLES))

    async def _graph(self, gate: Gateway, name: str, photo: Path, view: LiveView) -> Json:
        asset = await gate.upload(photo)
        graph = with_assets(sample(name), {PHOTO_PLACE: asset})
        submitting = gate.submit(graph, key=str(uuid.uuid4()), lane=None)
        job = await finish(gate, submitting, heard=view.job(name))
        return {"name": name, "outputs": await self._fetched(gate, job)}

    async def _samples(self, gate: Gateway, photo: Path, view: LiveView) -> list[Json]:
        """The sample in the style asked for, or in every style it has."""
        assert self.workflow is not None  # noqa: S101 - asked by `_play`
        entry = await gate.workflow(self.workflow)
        styles = [self.style] if self.style else [one["name"] for one in entry["styles"]] or [None]
        return [await self._ordered(gate, entry, style, photo, view) for style in styles]

    async def _ordered(
        self, gate: Gateway, entry: Json, style: str | None, photo: Path, view: LiveView
    ) -> Json:
        label = style or str(entry["name"])
        inputs = {one["name"]: (await gate.upload(photo))["id"] for one in entry["inputs"]}
        order: Json = {"style": style, "inputs": inputs}
        quoted = await gate.quote(entry["name"], order)
        submitting = gate.order(entry["name"], order, key=str(uuid.uuid4()))
        job = await finish(gate, submitting, heard=view.job(label))
        return {"name": label, "price": quoted["charged"], "outputs": await self._fetched(gate, job)}

    async def _fetched(self, gate: Gateway, job: Json) -> list[str]:
        return [str(await gate.download(output, self.out)) for output in job["outputs"]]


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


def _report(done: Json) -> None:
    say("")
    for job in done["jobs"]:
        cost = f" ({job['name']}, {job['price'] or 'free'})" if "price" in job else ""
        for path in job["outputs"]:
            say(f"Made {path}{cost}")
    ledger = done["ledger"]
    say(f"Credits before: {done['available_before']}, after: {ledger['available']}")
    show_entries(ledger)
    show_audit(done["audit"])
    say(f"The demo took {done['seconds']} s and has stopped.")
