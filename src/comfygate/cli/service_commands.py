"""init, serve, simulate, doctor, demo: the gateway itself, and what stands beside it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from comfygate.cli import doctor as checks
from comfygate.cli.demo import demo
from comfygate.cli.exit_codes import Exit
from comfygate.cli.findings import Finding
from comfygate.cli.output import print_json, say, table
from comfygate.cli.refusals import CommandError
from comfygate.cli.shared_options import AsJson, example, run, services_of
from comfygate.cli.signals import until_stopped
from comfygate.settings import config_path, load_settings, template

SIMULATOR_PORT: Final = 8188
NODE_SECONDS: Final = 0.5
FAULTS_HELP: Final = (
    "Something that goes wrong, always or by CHANCE (0 to 1); may be repeated. drop_sockets, "
    "silence_sockets, tell_twice (the events that end a prompt), answer_late[=SECONDS], "
    "answer_never[=PATH], answer_cut[=PATH], answer_status[=STATUS], restart (while a prompt runs), "
    "lie_in_node_errors, out_of_memory[=TIMES] (else until POST /free), poisoned_gpu (until a restart), "
    "hang[=CLASS], fail_node[=CLASS], full_disk."
)


def add_to(root: typer.Typer) -> None:
    """Put these commands into the tree."""
    root.command("init", epilog=example("comfygate init"))(init)
    root.command("serve", epilog=example("comfygate serve --host 0.0.0.0 --port 8190"))(serve)
    root.command("simulate", epilog=example("comfygate simulate --port 8188"))(simulate)
    root.command("doctor", epilog=example("comfygate doctor"))(doctor)
    root.command("demo", epilog=example("comfygate demo --out demo-output"))(demo)


def init(
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a commented comfygate.toml into the base directory (COMFYGATE_BASE_DIR, else here)."""
    path = config_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError:
        raise CommandError(
            "conflict", f"{path} is there already; edit it, or replace it with 'comfygate init --force'"
        ) from None
    except OSError as error:
        raise CommandError(
            "settings_invalid", f"{path} cannot be written ({error.strerror}); choose another base directory"
        ) from error
    if as_json:
        print_json({"path": str(path)})
        return
    say(f"Wrote {path}. Next:")
    say("  comfygate servers add gpu1 http://127.0.0.1:8188 --lanes image,video")
    say("  comfygate accounts add ann --credits 100")
    say("  comfygate serve")


def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of the settings'.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port to listen on; 0 lets the system choose.")
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(help="all, http (no dispatch), dispatch (no HTTP) or bot (Telegram alone); PostgreSQL."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the gateway until Ctrl-C or SIGTERM; a second one stops at once. Nothing is lost either way.

    With --json one line {"url", "pid"} is printed when it is ready ("url" is empty where nothing listens).
    Logs go to standard error.
    """
    given = {
        name: value for name, value in (("host", host), ("port", port), ("role", role)) if value is not None
    }
    settings = load_settings(overrides=given)
    services = services_of(ctx)
    services.configure_logs(settings.log.level, settings.log.format)

    def announce(url: str) -> None:
        if as_json:
            print_json({"url": url, "pid": os.getpid()})
        elif sys.stdout.isatty() and not url:
            say("Ready; this process gives work to servers and takes no requests. Ctrl-C stops in order.")
        elif sys.stdout.isatty():
            say(f"Ready at {url} (docs at {url}/docs). Ctrl-C stops in order, twice at once.")

    run(ctx, lambda: services.serve(settings, announce))


def simulate(
    ctx: typer.Context,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 lets the system choose.")
    ] = SIMULATOR_PORT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    speed: Annotated[
        float, typer.Option(min=0, help="1: half a second a node; 2: twice as fast; 0: no waiting at all.")
    ] = 1.0,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Where input and output files live; temporary if not given.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="NAME[=VALUE][:CHANCE]", help=FAULTS_HELP)
    ] = None,
    fault_seed: Annotated[int, typer.Option(help="The chances of --fault repeat with the same seed.")] = 0,
    journal: Annotated[
        Path | None,
        typer.Option(help="Append a JSON line here for every prompt received, started, finished or touched."),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="A checkpoint it has; may be repeated.")
    ] = None,
    model_load_seconds: Annotated[
        float, typer.Option(min=0, help="How long it takes to load another checkpoint than the last.")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Run a ComfyUI stand-in, which really runs core image and video nodes on the CPU, until Ctrl-C.

    With --json one line {"url"} is printed when it is ready. While it runs, its control routes (POST and
    DELETE /simulator/faults, GET /simulator/state, POST /simulator/restart) answer this machine.
    """
    # Its video libraries take long to load, which no other command should pay for.
    from comfygate.simulator import UnknownFaultError  # noqa: PLC0415
    from comfygate.simulator import serve as serve_simulator  # noqa: PLC0415

    services_of(ctx).configure_logs("warning", "console")

    def ready(url: str) -> None:
        if as_json:
            print_json({"url": url})
            return
        say(f"The simulator listens at {url}; Ctrl-C stops it. Use it with:")
        say(f"  comfygate servers add sim {url} --lanes image,video")

    async def work() -> None:
        served = serve_simulator(
            host=host, port=port, speed=speed or 1.0, base_dir=folder,
            node_seconds=NODE_SECONDS if speed else 0.0, ready=ready, switches=fault or (), seed=fault_seed,
            journal_path=journal, models=model or (), model_load_seconds=model_load_seconds,
        )  # fmt: skip
        await until_stopped(served)

    try:
        run(ctx, work)
    except UnknownFaultError as error:
        raise CommandError("invalid_request", f"--fault: {error}") from error
    except OSError as error:
        if journal is not None and error.filename is not None and str(error.filename) == str(journal):
            raise CommandError(
                "settings_invalid", f"--journal {journal} cannot be written ({error.strerror})"
            ) from error
        raise CommandError(
            "settings_invalid",
            f"port is {port}: it cannot be had on {host} ({error.strerror}); choose another with --port",
        ) from error


def doctor(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Look at settings, folders, database, ledger and every server, and say what to do about each fault.

    Changes nothing. Exit code 9 if there is a fault.
    """
    services_of(ctx).configure_logs("error", "console")
    found: list[Finding] = run(ctx, lambda: checks.look(services_of(ctx)))
    faults = sum(finding.grade == "fault" for finding in found)
    if as_json:
        print_json({"faults": faults, "findings": [finding.to_json() for finding in found]})
    else:
        table(
            f"comfygate doctor: {faults} fault{'' if faults == 1 else 's'}",
            ("", "what", "how it is", "what to do"),
            [(finding.grade, finding.subject, finding.says, finding.advice) for finding in found],
        )
    if faults:
        raise typer.Exit(Exit.FAULTS)
