"""`comfygate order`: one job of the catalogue, its files in and its results in a folder, at any gateway."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from comfygate.cli.gateway import gateway
from comfygate.cli.live_view import live_view
from comfygate.cli.output import hint
from comfygate.cli.refusals import CommandError
from comfygate.cli.run_command import address, finish, key_of, report
from comfygate.cli.shared_options import AsJson, example, quiet_settings, run

ORDER_EXAMPLE: Final = example("comfygate order restyle --style glow --input photo.png --out results")

Json = dict[str, Any]


def order_job(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="WORKFLOW", help="A workflow of the gateway's catalogue.")],
    style: Annotated[str | None, typer.Option(help="One of its styles, if it has any.")] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="FILE", help="A file to upload; NAME=FILE says for which input."),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter. May be given more than once."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results; nothing there is replaced.")] = Path(),
    url: Annotated[
        str | None, typer.Option(envvar="COMFYGATE_URL", help="The gateway; else the one running here.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="COMFYGATE_API_KEY", help="Better given by the variable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Order a job of the catalogue: upload, quote, submit, follow, download. Ctrl-C asks to cancel it.

    Exit code 7 if the job does not succeed; its credits are then refunded.
    """
    where, key = address(quiet_settings(ctx), url), key_of(api_key)

    async def work() -> Json:
        async with gateway(where, key) as gate:
            workflow = await gate.workflow(name)
            files = files_of(workflow, inputs or [])
            order: Json = {"style": style, "parameters": parameters_of(workflow, values or []), "inputs": {}}
            quoted = await gate.quote(name, order)
            hint(f"{name} costs {'nothing' if not quoted['charged'] else quoted['charged']}.")
            for given, path in files.items():
                order["inputs"][given] = (await gate.upload(path))["id"]
            with live_view() as view:
                submitting = gate.order(name, order, key=str(uuid.uuid4()))
                job = await finish(gate, submitting, heard=view.job(style or name))
            paths = [await gate.download(output, out) for output in job["outputs"]]
            return {"job": job, "paths": [str(path) for path in paths], "account": await gate.account()}

    report(run(ctx, work), as_json=as_json)


def files_of(workflow: Json, given: list[str]) -> dict[str, Path]:
    """Which file is for which input: by name, else in order. Raises CommandError."""
    known = [one["name"] for one in workflow["inputs"]]
    chosen: dict[str, Path] = {}
    unnamed: list[Path] = []
    for text in given:
        name, equals, rest = text.partition("=")
        named = bool(equals) and not Path(text).is_file()
        path = Path(rest if named else text)
        if not path.is_file():
            raise CommandError("not_found", f"--input {text!r}: there is no file {path}")
        if not named:
            unnamed.append(path)
        elif name not in known:
            raise CommandError("usage", f"--input {text!r}: {workflow['name']} takes {_list(known)}")
        else:
            chosen[name] = path
    free = [name for name in known if name not in chosen]
    if len(unnamed) > len(free):
        raise CommandError(
            "usage",
            f"--input: {len(unnamed)} files for {_list(free)}; {workflow['name']} takes {_list(known)}",
        )
    return chosen | dict(zip(free, unnamed, strict=False))


def _list(names: list[str]) -> str:
    return ", ".join(names) or "no files"


def parameters_of(workflow: Json, given: list[str]) -> Json:
    """Values as their parameters' types; the gateway checks the rest. Raises CommandError."""
    types = {one["name"]: one for one in workflow["parameters"]}
    values: Json = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise CommandError("usage", f"--set {text!r}: write NAME=VALUE")
        if name not in types:
            raise CommandError("usage", f"--set {text!r}: {workflow['name']} has {_list(list(types))}")
        values[name] = _typed(types[name], value)
    return values


def _typed(parameter: Json, text: str) -> Any:
    """The number, truth or choice that is meant; a text that is none goes as it is, to be refused by name."""
    match parameter["type"]:
        case "int" | "seed" | "float":
            for read in (int, float):
                try:
                    return read(text)
                except ValueError:
                    continue
            return text
        case "bool":
            return {"true": True, "yes": True, "false": False, "no": False}.get(text.lower(), text)
        case "choice":
            return next((one for one in parameter["choices"] if str(one) == text), text)
        case _:
            return text
