"""Who uses the world: account holders, strangers on the same servers, and the operator.

A holder whose gateway dies in the middle of a call does not know whether it was done, and asks again under
the same idempotency key. What each was told is kept, for the auditor to compare with the books.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from comfygate.domain.errors import GateError, IdempotencyKeyReuse, NotFound, StoreTrouble
from comfygate.gate import accounts, operate, views
from comfygate.gate.context import Context
from comfygate.gate.submit import Submission, cancel, submit
from tests.sim.clock import pause
from tests.sim.comfy_routes import handle
from tests.sim.comfy_server import SimServer
from tests.sim.process import Unknown

if TYPE_CHECKING:
    from tests.sim.world import World

R = TypeVar("R")
TIERS = ("regular", "vip", "black_gold", "regular")
TRIES_MAX = 40


@dataclass
class Request:
    """One wish to have a job made. `answer`: the job's id, or why not, or None while not known."""

    name: str
    job_id: str | None = None
    refused: bool = False
    made: bool = False
    """Whether the gate said that it was made, without naming it."""


@dataclass
class Holder:
    """A holder of an account."""

    name: str
    tier: str
    credits: int
    id: str = ""
    requests: list[Request] = field(default_factory=list)
    grants: dict[str, int] = field(default_factory=dict)
    """Amounts by reason."""
    granted: set[str] = field(default_factory=set)
    """Reasons of the grants that were confirmed."""


async def call(world: World, act: Callable[[Context], Awaitable[R]]) -> R:
    """Use whichever gateway is there, waiting for one."""
    process = await world.gateway()
    return await process.use(act)


async def live(world: World, holder: Holder) -> None:
    """One holder's actions, a little apart."""
    rng = random.Random(f"{holder.name}/{world.plan.seed}")  # noqa: S311 - no secret
    for number in range(world.plan.actions):
        await pause(rng.expovariate(1.0) * world.plan.storm_seconds / (world.plan.actions + 2))
        what = rng.random()
        if what < 0.7 or not holder.requests:
            await _submit(world, holder, f"{holder.name}-{number}", rng)
        elif what < 0.87:
            await _cancel(world, holder, rng)
        elif what < 0.95:
            await _top_up(world, holder, f"top-up {holder.name}-{number}", rng.randint(1, 10))
        else:
            await _peek(world, holder, rng)


def graph_of(name: str, rng: random.Random) -> dict[str, Any]:
    """A workflow whose files will say whose they are."""
    fate = rng.choice(("well",) * 12 + ("invalid", "half", "missing", "out of memory"))
    seconds = round(rng.uniform(0.2, 8.0), 2)
    graph: dict[str, Any] = {
        "1": {"class_type": "Sampler", "inputs": {"seconds": seconds, "request": name, "fate": fate}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "out"}},
    }
    if rng.random() < 0.3:
        graph["4"] = {"class_type": "LoadImage", "inputs": {"image": "photo.png"}}
        graph["1"]["inputs"]["image"] = ["4", 0]
    if rng.random() < 0.3:
        # The same words from many jobs: the same bytes, stored once.
        graph["5"] = {"class_type": "Note", "inputs": {"text": rng.choice(("yes", "no"))}}
    if rng.random() < 0.4 or fate == "half":
        kind = rng.choice(("SaveImage", "SaveVideo"))
        graph["3"] = {"class_type": kind, "inputs": {"images": ["1", 0], "filename_prefix": "more"}}
    return graph


async def _submit(world: World, holder: Holder, name: str, rng: random.Random) -> None:
    request = Request(name)
    holder.requests.append(request)
    graph = graph_of(name, rng)
    key = name if rng.random() < 0.8 else None
    for _ in range(TRIES_MAX):
        wanted = Submission(holder.id, graph, idempotency_key=key)
        try:
            view = await call(world, lambda ctx, wanted=wanted: submit(ctx, wanted))  # type: ignore[misc]
        except IdempotencyKeyReuse:
            request.made = True
            return
        except StoreTrouble as error:
            # 503: whether it was done is not known.
            world.note(f"{holder.name}: {name}: {error.message}")
        except GateError:
            request.refused = True
            return
        except Unknown:
            world.note(f"{holder.name}: does not know of {name}")
        except Exception as error:  # noqa: BLE001 - the store's trouble, as an HTTP caller's 500
            world.note(f"{holder.name}: {name}: {type(error).__name__}")
        else:
            request.job_id = view.job.id
            world.note(f"{holder.name}: submitted {name} as {world.alias(view.job.id)}")
            return
        if key is None:
            return
        await pause(1.0)


async def _cancel(world: World, holder: Holder, rng: random.Random) -> None:
    request = rng.choice(holder.requests)
    if request.job_id is None:
        return
    job_id = request.job_id
    world.note(f"{holder.name}: cancels {world.alias(job_id)}")
    await _tried(world, lambda ctx: cancel(ctx, job_id, holder.id))


async def _top_up(world: World, holder: Holder, reason: str, amount: int) -> None:
    holder.grants[reason] = amount
    if await _tried(world, lambda ctx: accounts.grant(ctx, holder.id, amount, reason)):
        holder.granted.add(reason)


async def _peek(world: World, holder: Holder, rng: random.Random) -> None:
    """Look at one's own job, and at another's, which must look as if it were not there (I7)."""
    other = rng.choice([someone for someone in world.holders if someone is not holder])
    for request in other.requests[:1]:
        if (job_id := request.job_id) is not None:
            try:
                await call(world, lambda ctx, job_id=job_id: views.get_job(ctx, job_id, holder.id))  # type: ignore[misc]
            except (NotFound, Unknown) as error:
                world.note(f"{holder.name}: sees nothing of another's ({type(error).__name__})")
            except Exception as error:  # noqa: BLE001 - the store's trouble
                world.note(f"{holder.name}: {type(error).__name__}")
            else:
                world.fail(f"I7: {holder.name} saw job {world.alias(job_id)} of {other.name}")


async def _tried(world: World, act: Callable[[Context], Awaitable[Any]]) -> bool:
    """Do it once; whether it was confirmed."""
    try:
        await call(world, act)
    except Exception as error:  # noqa: BLE001 - refused, unknown, or the store's trouble
        world.note(f"not confirmed: {type(error).__name__}")
        return False
    return True


async def visit(world: World, server: SimServer) -> None:
    """Strangers use the same server, most politely."""
    weather, rng = world.weather, random.Random(f"strangers/{server.name}/{world.plan.seed}")  # noqa: S311
    number = 0
    while world.stormy:
        await pause(rng.expovariate(1.0 / weather.strangers_every))
        if not server.up or server.stalled:
            continue
        number += 1
        if rng.random() < weather.rude:
            path, body = rng.choice(
                ((("interrupt",), None), (("queue",), {"clear": True}), (("history",), {"clear": True}))
            )
            world.note(f"{server.name}: a stranger: POST /{path[0]} {body}")
            handle(server, "POST", path, None, body, ours=False)
            continue
        graph = {"1": {"class_type": "Sampler", "inputs": {"seconds": rng.uniform(0.1, 6.0)}}}
        prompt_id = f"foreign-{server.name}-{number}"
        handle(server, "POST", ("prompt",), None, {"prompt_id": prompt_id, "prompt": graph, "client_id": "x"},
               ours=False)  # fmt: skip


async def reconfigure(world: World, server: str, slots: int) -> None:
    """The operator changes how many jobs a server takes at once."""
    world.note(f"the operator gives {server} {slots} slots")
    made = world.servers[server]
    ahead = world.plan.ahead[list(world.servers).index(server)]
    made.ours_most = max(made.ours_most, slots + ahead)
    url, lanes = f"http://{server}:8188", list(world.lanes_of(server))
    await _tried(world, lambda ctx: operate.servers_add(ctx, server, url, lanes, slots, ahead))


async def after(seconds: float, act: Callable[[], Any]) -> None:
    """At a moment of the run, do something."""
    await pause(seconds)
    made = act()
    if asyncio.iscoroutine(made):
        await made
