"""Refunds in the corners: a server that is really gone, a half-run graph, cancels that cross."""

from comfygate.gate import operate
from comfygate.simulator import Simulator
from tests.api.house import Client, Gateway, file_graph, image_graph, node, png, reference

REFUNDED = [("grant", 10), ("hold", 1), ("release", 1)]


async def refunded(lite: Gateway, client: Client) -> bool:
    """Whether the account has everything back, once, and the books balance."""
    audit = await operate.ledger_audit(lite.ctx)
    return (
        await client.entries() == REFUNDED
        and await client.balance() == (10, 0)
        and audit["balanced"]
        and audit["held"] == 0
    )


async def test_refund_when_the_server_is_down_after_all_retries(lite: Gateway, sim: Simulator) -> None:
    async with lite.client(await lite.add_account(credits=10)) as ann:
        sim.fail_next("/prompt", "close", times=99, method="POST")
        job = await ann.run(image_graph())
        assert (job["status"], job["error"]["code"]) == ("failed", "server_unreachable")
        assert "127.0.0.1" not in job["error"]["message"]
        assert await refunded(lite, ann)


async def test_refund_after_exactly_two_retries(lite: Gateway, sim: Simulator) -> None:
    async with lite.client(await lite.add_account(credits=10)) as ann:
        asset = await ann.asset(png())
        sim.fail_next("/upload/image", "close", times=99, method="POST")
        job = await ann.run(file_graph(reference(asset)))
        assert (job["status"], job["error"]["code"]) == ("failed", "server_unreachable")
        assert await refunded(lite, ann)
        assert len([seen for seen in sim.requests if seen.path == "/upload/image"]) == 3


async def test_refund_when_a_part_of_the_graph_was_dropped(lite: Gateway, sim: Simulator) -> None:
    """ComfyUI would run the rest and call it success."""
    graph = image_graph()
    graph["4"] = node("EmptyImage", width="wide", height=8, batch_size=1, color=0)
    graph["5"] = node("SaveImage", images=["4", 0], filename_prefix="lost")
    sim.hold()
    async with lite.client(await lite.add_account(credits=10)) as ann:
        made = await ann.submit(graph)
        (sent,) = [
            await sim.requested("POST", "/prompt"),
        ]
        job = await ann.ended(made["id"])
        assert (job["status"], job["error"]["code"], job["outputs"]) == ("failed", "invalid_workflow", [])
        assert await refunded(lite, ann)
        stops = [seen.json for seen in sim.requests if seen.path in {"/interrupt", "/queue"} and seen.json]
        named = [stop.get("prompt_id") or stop.get("delete") for stop in stops]
        assert sent.json["prompt_id"] in named or [sent.json["prompt_id"]] in named


async def test_refund_when_canceled_while_queued_or_running(lite: Gateway, sim: Simulator) -> None:
    sim.hold()
    async with lite.client(await lite.add_account(credits=10)) as ann:
        running = await ann.submit(image_graph())
        await ann.until(running["id"], "running")
        waiting = await ann.submit(image_graph())
        assert await ann.balance() == (8, 2)
        for job in (waiting, running, waiting, running):
            assert (await ann.http.post(job["urls"]["cancel"])).status_code == 200
        assert (await ann.ended(running["id"]))["status"] == "canceled"
        assert await ann.balance() == (10, 0)
        kinds = sorted(kind for kind, _ in await ann.entries())
        assert kinds == ["grant", "hold", "hold", "release", "release"]


async def test_a_late_cancel_changes_nothing(lite: Gateway) -> None:
    async with lite.client(await lite.add_account(credits=10)) as ann:
        job = await ann.run(image_graph())
        answer = await ann.http.post(job["urls"]["cancel"])
        assert answer.json()["status"] == "succeeded"
        assert await ann.entries() == [("grant", 10), ("hold", 1), ("capture", 1)]
