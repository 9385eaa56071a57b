"""`comfygate workflows`: what the catalogue holds, whether it is right, and drafts from graphs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Final

import tomli_w
import typer

from comfygate.cli.exit_codes import Exit
from comfygate.cli.output import hint, print_json, say, table
from comfygate.cli.refusals import CommandError
from comfygate.cli.shared_options import AsJson, ask, example, quiet_settings
from comfygate.domain.draft import Draft, draft
from comfygate.domain.graph import Graph
from comfygate.gate.catalogue import MANIFEST, Unusable, load, load_graph
from comfygate.gate.manifest import House
from comfygate.gate.manifest_shape import Fault
from comfygate.settings import Settings

workflows = typer.Typer(help="The catalogue of workflows that accounts may order.")
NAME_SHAPE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

Json = dict[str, Any]


@workflows.command("list", epilog=example("comfygate workflows list"))
def workflows_list(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show every workflow with its styles and prices, and those that are refused with the reason."""
    answer = ask(ctx, "workflows.list")
    if as_json:
        print_json(answer)
        return
    if not answer["workflows"] and not answer["refused"]:
        say(f"No workflows in {answer['folder']}. Draft one: comfygate workflows import graph.json")
        return
    table(
        "Workflows",
        ("name", "title", "lane", "price", "styles", "inputs", "parameters"),
        [
            (
                one["name"],
                one["title"]["en"],
                one["lane"],
                _price(one["price"]),
                ", ".join(f"{style['name']} {_price(style['price'])}" for style in one["styles"]),
                ", ".join(given["name"] for given in one["inputs"]),
                ", ".join(given["name"] for given in one["parameters"]),
            )
            for one in answer["workflows"]
        ],
    )
    for refused in answer["refused"]:
        left = "; served as it was before" if refused["served"] else ""
        say(f"Refused: {refused['name']}{left}")
        for fault in refused["faults"]:
            say(f"- {Fault(**fault)}")


def _price(price: Json) -> str:
    if price["credits"] is None:
        return str(price["formula"])
    return "free" if price["credits"] == 0 else str(price["credits"])


@workflows.command("show", epilog=example("comfygate workflows show restyle"))
def workflows_show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the workflow.")],
    as_json: AsJson = False,
) -> None:
    """Show one workflow: what may be chosen, what it costs, and where in its graph choices go."""
    answer = ask(ctx, "workflows.show", name=name)
    if as_json:
        print_json(answer)
        return
    say(f"{answer['name']}: {answer['title']['en']} ({answer['title']['zh']})")
    say(answer["description"]["en"])
    say(f"lane {answer['lane']}, price {_price(answer['price'])}")
    if answer["tiers"]:
        say(f"for {', '.join(answer['tiers'])} only")
    table(
        "Styles",
        ("name", "title", "price"),
        [(one["name"], one["title"]["en"], _price(one["price"])) for one in answer["styles"]],
    )
    table(
        "Inputs and parameters",
        ("name", "type", "default", "from", "to", "choices", "sets"),
        [
            *((one["name"], one["kind"], "", "", "", "", " ".join(answer["sets"][one["name"]]))
              for one in answer["inputs"]),
            *(
                (
                    one["name"], one["type"], _shown(one["default"]), _shown(one["min"]), _shown(one["max"]),
                    ", ".join(map(str, one["choices"] or ())), " ".join(answer["sets"][one["name"]]),
                )
                for one in answer["parameters"]
            ),
        ],
    )  # fmt: skip


def _shown(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 40 else text[:39] + "…"


@workflows.command("check", epilog=example("comfygate workflows check"))
def workflows_check(
    ctx: typer.Context,
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER]…", help="Folders of single workflows; else the whole catalogue."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check manifests and graphs without serving them. Exit code 9 if one cannot be used."""
    settings = quiet_settings(ctx)
    paths = folders or _catalogue(settings)
    good: list[str] = []
    faults: list[Fault] = []
    for path in paths:
        try:
            good.append(load(path, house_of(settings), nodes_max=settings.limits.graph_nodes_max).name)
        except Unusable as refusal:
            faults += refusal.faults
    if as_json:
        print_json({"good": good, "faults": [fault.to_json() for fault in faults]})
    else:
        for fault in faults:
            say(str(fault))
        bad = len(paths) - len(good)
        say(f"{len(good)} of {len(paths)} workflows can be used" + (f"; {bad} cannot." if bad else "."))
    if faults:
        raise typer.Exit(Exit.FAULTS)


def _catalogue(settings: Settings) -> list[Path]:
    folder = settings.workflows_path
    if not folder.is_dir():
        raise CommandError(
            "not_found", f"workflows_dir {folder} is not there; make it, or name folders to check"
        )
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._")


def house_of(settings: Settings) -> House:
    """What manifests may name."""
    return House(frozenset(settings.lanes), frozenset(settings.tiers))


@workflows.command("import", epilog=example("comfygate workflows import graph.json --name portrait"))
def workflows_import(
    ctx: typer.Context,
    graph: Annotated[Path, typer.Argument(metavar="GRAPH", help="A graph in API format, as JSON.")],
    name: Annotated[str | None, typer.Option(help="Its name here; else the file's.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the catalogue to write to; else workflows_dir.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draft a workflow from a graph: literals become parameters, nodes that load a file become inputs.

    Nothing that is there is replaced. What could not be mapped is said, and stays as it is in the graph.
    """
    settings = quiet_settings(ctx)
    wanted = name or _name_of(graph)
    if NAME_SHAPE.fullmatch(wanted) is None:
        raise CommandError(
            "usage", f"--name {wanted!r}: give 1 to 64 of a-z 0-9 - _, a letter or digit first"
        )
    try:
        found = load_graph(graph, nodes_max=settings.limits.graph_nodes_max, unwrap=True)
    except Unusable as refusal:
        raise CommandError(refusal.code, str(refusal)) from None
    drafted = draft(
        wanted,
        found,
        file_inputs=settings.file_inputs,
        output_nodes=settings.output_nodes,
        prices={lane: one.price for lane, one in settings.lanes.items()},
    )
    folder = (out or settings.workflows_path) / wanted
    _write(folder, found, drafted)
    load(folder, house_of(settings), nodes_max=settings.limits.graph_nodes_max)
    _report(folder, drafted, as_json=as_json)


def _name_of(graph: Path) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", graph.stem.lower()).strip("-_")[:64] or "workflow"


def _write(folder: Path, graph: Graph, drafted: Draft) -> None:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise CommandError("conflict", f"{folder} is there already; choose another --name") from None
    except OSError as error:
        raise CommandError("usage", f"{folder} cannot be made ({error.strerror})") from error
    notes = "".join(f"# - {note}\n" for note in drafted.notes)
    head = "# Drafted from a graph: look at titles, price and bounds before you serve it.\n"
    if notes:
        head += "# What stays as the graph has it:\n" + notes
    text = head + "\n" + tomli_w.dumps(drafted.manifest)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    shown = json.dumps(graph.raw, indent=2, ensure_ascii=False) + "\n"
    (folder / "graph.json").write_text(shown, encoding="utf-8")


def _report(folder: Path, drafted: Draft, *, as_json: bool) -> None:
    manifest = drafted.manifest
    parameters, inputs = list(manifest.get("parameters", ())), list(manifest.get("inputs", ()))
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "lane": manifest["lane"],
                "price": manifest["price"],
                "parameters": parameters,
                "inputs": inputs,
                "notes": drafted.notes,
            }
        )
        return
    say(f"Drafted {folder / MANIFEST}: lane {manifest['lane']}, price {manifest['price']}.")
    say(f"Inputs: {', '.join(inputs) or 'none'}. Parameters: {', '.join(parameters) or 'none'}.")
    for note in drafted.notes:
        say(f"- {note}")
    hint("Look at titles, price and bounds, then: comfygate workflows check")
