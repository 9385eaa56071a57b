"""`comfygate run`: one graph and its files in, the results in a folder, against any gateway."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from comfygate.cli import control_file
from comfygate.cli.gateway import Event, Gateway, gateway
from comfygate.cli.graph_inputs import assign, parse_given, read_graph, with_assets
from comfygate.cli.live_view import live_view
from comfygate.cli.output import hint, print_json, say
from comfygate.cli.refusals import CommandError, out_of_reach
from comfygate.cli.shared_options import AsJson, example, quiet_settings, run
from comfygate.settings import Settings

RUN_EXAMPLE: Final = example("comfygate run graph.json --input photo.png --out results")
GRAPH_BYTES_MAX: Final = 64 * 1024 * 1024
CALL_OFF_SECONDS_MAX: Final = 10.0
"""How long an interrupted command tries to have its job canceled."""


def run_graph(
    ctx: typer.Context,
    graph: Annotated[Path, typer.Argument(metavar="GRAPH", help="A workflow in API format, as JSON.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="A file to upload; NODE.FIELD=FILE says where it goes. May be given more than once.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results; nothing there is replaced.")] = Path(),
    url: Annotated[
        str | None, typer.Option(envvar="COMFYGATE_URL", help="The gateway; else the one running here.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="COMFYGATE_API_KEY", help="Better given by the variable.")
    ] = None,
    lane: Annotated[str | None, typer.Option(help="Instead of the one that the graph's nodes say.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run one graph on a gateway: upload, submit, follow, download. Ctrl-C asks for it to be canceled.

    A FILE goes to the input that names such a file, else to the file inputs in the order of their nodes.
    Exit code 7 if the job does not succeed; its credits are then refunded.
    """
    settings = quiet_settings(ctx)
    where, key = address(settings, url), key_of(api_key)
    parsed = read_graph(_load(graph), str(graph))
    chosen = assign(parsed, settings.file_inputs, parse_given(parsed, inputs or []))

    async def work() -> dict[str, Any]:
        async with gateway(where, key) as gate:
            assets: dict[Path, Any] = {}
            for path in dict.fromkeys(chosen.values()):
                assets[path] = await gate.upload(path)
            filled = with_assets(parsed.raw, {place: assets[path] for place, path in chosen.items()})
            with live_view() as view:
                submitting = gate.submit(filled, key=str(uuid.uuid4()), lane=lane)
                job = await finish(gate, submitting, heard=view.job(graph.stem))
            paths = [await gate.download(output, out) for output in job["outputs"]]
            return {"job": job, "paths": [str(path) for path in paths], "account": await gate.account()}

    report(run(ctx, work), as_json=as_json)


def report(done: Mapping[str, Any], *, as_json: bool) -> None:
    """What a job made, and what is left of the credits."""
    job, account = done["job"], done["account"]
    if as_json:
        print_json(
            {
                "job_id": job["id"],
                "status": job["status"],
                "outputs": done["paths"],
                "available": account["available"],
                "held": account["held"],
            }
        )
        return
    for path in done["paths"]:
        say(path)
    hint(f"{account['name']} has {account['available']} credits, {account['held']} held for jobs.")


async def finish(
    gate: Gateway, submission: Coroutine[Any, Any, dict[str, Any]], *, heard: Callable[[Event], None]
) -> dict[str, Any]:
    """Submit and follow to the end; the job. Raises CommandError `job_failed` unless it succeeded.

    When this is cancelled the job is asked to be canceled too, even if its acceptance is not known yet.
    """
    submitting = asyncio.ensure_future(submission)
    try:
        # Shielded: a request that is on its way is accepted and paid whether its answer is awaited or not.
        accepted = await asyncio.shield(submitting)
        heard(Event("status", {"status": accepted["status"], "queue_position": accepted["queue_position"]}))
        job = await gate.follow(accepted["id"], heard)
    except asyncio.CancelledError:
        await _call_off(gate, submitting)
        raise
    if job["status"] != "succeeded":
        error = job["error"] or {"code": job["status"], "message": f"the job was {job['status']}"}
        raise CommandError(
            "job_failed",
            f"job {job['id']} {_ended(job['status'])}: {error['message']}",
            "Credits refunded.",
            {"job_id": job["id"], "status": job["status"], "error": job["error"]},
        )
    return job


async def _call_off(gate: Gateway, submitting: asyncio.Future[dict[str, Any]]) -> None:
    try:
        async with asyncio.timeout(CALL_OFF_SECONDS_MAX):
            accepted = await submitting
            canceled = await gate.cancel(accepted["id"])
    except (CommandError, TimeoutError) as error:
        reason = str(error) or f"no answer within {CALL_OFF_SECONDS_MAX:g} s"
        hint(f"The job could not be canceled ({reason}) and may go on: see 'comfygate jobs list'.")
    else:
        hint(f"Job {accepted['id']} is {canceled['status']}.")


def _ended(status: str) -> str:
    return "failed" if status == "failed" else f"was not done ({status})"


def _load(path: Path) -> Any:
    try:
        if path.stat().st_size > GRAPH_BYTES_MAX:
            raise CommandError(
                "usage", f"GRAPH {path} has more than {GRAPH_BYTES_MAX} bytes: that is no graph"
            )
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise CommandError("not_found", f"GRAPH {path}: there is no such file") from None
    except OSError as error:
        raise CommandError("usage", f"GRAPH {path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise CommandError("invalid_workflow", f"GRAPH {path} is not JSON: {error}") from error


def address(settings: Settings, url: str | None) -> str:
    """The gateway that was named, else the one that runs from this base directory. Raises CommandError."""
    if url:
        return url
    found = control_file.read(settings.data_path)
    if found is None:
        raise out_of_reach(
            f"no gateway runs from {settings.base_path}; start one with 'comfygate serve', "
            "or give --url or COMFYGATE_URL"
        )
    return found.url


def key_of(api_key: str | None) -> str:
    """The API key that was given. Raises CommandError with the way to one."""
    if api_key:
        return api_key
    raise CommandError(
        "unauthorized",
        "no API key: set COMFYGATE_API_KEY or give --api-key",
        "On the gateway's machine 'comfygate keys add ACCOUNT' makes one; "
        "'comfygate accounts list' shows the accounts.",
    )
