"""Servers and lanes: what jobs run on, and in which order; pause, drain, remove."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from comfygate.cli import control_file
from comfygate.cli.operate import operate
from comfygate.cli.output import hint, local_time, print_json, say, table
from comfygate.cli.refusals import CommandError
from comfygate.cli.services import Services
from comfygate.cli.shared_options import AsJson, ask, example, quiet_settings, run, services_of
from comfygate.settings import Settings

servers = typer.Typer(help="The ComfyUI servers that jobs run on.")
lanes = typer.Typer(help="The lanes that jobs wait in.")

LOOK_SECONDS = 0.5
"""Between two looks whether a drained server is empty."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the server.")]
Lane = Annotated[str, typer.Argument(metavar="LANE", help="Name of the lane.")]


@servers.command(
    "add", epilog=example("comfygate servers add gpu1 http://127.0.0.1:8188 --lanes image,video")
)
def servers_add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name here; an existing one is changed.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="Address of ComfyUI, with any path prefix.")],
    lanes: Annotated[str, typer.Option(metavar="LANE,…", help="The lanes whose jobs it takes.")],
    slots: Annotated[int, typer.Option(help="Jobs of ours it runs at once.")] = 1,
    ahead: Annotated[
        int, typer.Option(help="1: one more job of ours may wait in ComfyUI; a VIP then waits for one more.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Add a ComfyUI server, or change the one of this name. A running service takes it up at once."""
    wanted = [lane.strip() for lane in lanes.split(",") if lane.strip()]
    answer = ask(ctx, "servers.add", name=name, url=url, lanes=wanted, slots=slots, ahead=ahead)
    if as_json:
        print_json(answer)
    else:
        say(f"Server {answer['name']} at {answer['url']} takes jobs of {', '.join(answer['lanes'])}.")


@servers.command("list", epilog=example("comfygate servers list"))
def servers_list(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show every server, and what the running services know of it."""
    answer = ask(ctx, "servers.list")
    if as_json:
        print_json(answer)
        return
    if not answer["servers"]:
        say("No servers yet. Add one: comfygate servers add gpu1 http://127.0.0.1:8188 --lanes image,video")
        return
    table(
        "Servers",
        ("name", "url", "lanes", "slots", "ahead", "state", "running", "version", "last error"),
        [
            (
                s["name"], s["url"], ",".join(s["lanes"]), s["slots"], s["ahead"], s["state"], s["running"],
                s["version"], s["last_error"],
            )
            for s in answer["servers"]
        ],
    )  # fmt: skip


@servers.command("drain", epilog=example("comfygate servers drain gpu1 --wait"))
def servers_drain(
    ctx: typer.Context,
    name: Name,
    wait: Annotated[bool, typer.Option("--wait", help="Return once no job of ours is on it.")] = False,
    wait_seconds: Annotated[float, typer.Option(min=0, help="How long to wait at most.")] = 3600.0,
    as_json: AsJson = False,
) -> None:
    """Give a server no new job; those on it go on to their end. It stays so until it is resumed."""
    settings, services = quiet_settings(ctx), services_of(ctx)
    answer: dict[str, Any] = run(
        ctx, lambda: _drain(services, settings, name, wait_seconds if wait else 0.0, wait=wait)
    )
    if as_json:
        print_json(answer)
    elif answer["running"]:
        say(f"Server {name} takes no new job; {answer['running']} of ours still run there.")
    else:
        say(f"Server {name} takes no new job, and none of ours is on it.")


async def _drain(
    services: Services, settings: Settings, name: str, seconds: float, *, wait: bool
) -> dict[str, Any]:
    """Drain, then look until the server is empty. Raises CommandError when the time is over before that."""
    answer = await operate(services, settings, "servers.drain", name=name)
    if not wait:
        return answer
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    told = 0
    while answer["running"]:
        if settings.sqlalchemy_url().startswith("sqlite") and control_file.read(settings.data_path) is None:
            raise CommandError(
                "out_of_reach",
                f"server {name} is drained, but no service runs to bring its {answer['running']} open jobs "
                "to their end; start 'comfygate serve', then wait again",
            )
        if loop.time() >= until:
            raise CommandError(
                "conflict", f"server {name} is drained, but {answer['running']} of our jobs still run there"
            )
        if answer["running"] != told:
            told = answer["running"]
            hint(f"waiting: {told} of our jobs on {name}")
        await asyncio.sleep(LOOK_SECONDS)
        listed = (await operate(services, settings, "servers.list"))["servers"]
        found = [server for server in listed if server["name"] == name]
        if not found:
            return {**answer, "running": 0}
        answer = found[0]
    return answer


@servers.command("resume", epilog=example("comfygate servers resume gpu1"))
def servers_resume(ctx: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Give a drained server jobs again."""
    answer = ask(ctx, "servers.resume", name=name)
    if as_json:
        print_json(answer)
    else:
        say(f"Server {name} takes jobs of {', '.join(answer['lanes'])} again; it is {answer['state']}.")


@servers.command("remove", epilog=example("comfygate servers remove gpu1"))
def servers_remove(ctx: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Forget a server. Refused while a job of ours is on it: drain it first."""
    answer = ask(ctx, "servers.remove", name=name)
    if as_json:
        print_json(answer)
    else:
        say(f"Server {name} at {answer['url']} is removed.")


@lanes.command("list", epilog=example("comfygate lanes list"))
def lanes_list(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show every lane: whether it is paused, how many jobs wait in it, and which servers have it."""
    answer = ask(ctx, "lanes.list")
    if as_json:
        print_json(answer)
        return
    table(
        "Lanes",
        ("name", "state", "since", "queued", "price", "servers"),
        [
            (
                lane["name"],
                lane["state"],
                local_time(lane["paused_at_ms"]),
                lane["depth"],
                "" if lane["price"] is None else lane["price"],
                ",".join(lane["servers"]),
            )
            for lane in answer["lanes"]
        ],
    )


@lanes.command("pause", epilog=example("comfygate lanes pause video"))
def lanes_pause(ctx: typer.Context, lane: Lane, as_json: AsJson = False) -> None:
    """Give no job of a lane to any server. Jobs are still taken in, and those that run go on."""
    answer = ask(ctx, "lanes.pause", lane=lane)
    if as_json:
        print_json(answer)
    else:
        say(f"Lane {lane} is paused since {local_time(answer['paused_at_ms'])}; {answer['depth']} jobs wait.")


@lanes.command("resume", epilog=example("comfygate lanes resume video"))
def lanes_resume(ctx: typer.Context, lane: Lane, as_json: AsJson = False) -> None:
    """Let a paused lane's jobs go to servers again."""
    answer = ask(ctx, "lanes.resume", lane=lane)
    if as_json:
        print_json(answer)
    else:
        say(f"Lane {lane} is open; {answer['depth']} jobs wait.")
