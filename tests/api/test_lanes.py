"""Choosing a lane, and what an account is told of lanes, credits and entries."""

from comfygate.simulator import Simulator
from tests.api.house import Client, Gateway, image_graph


async def test_a_lane_may_be_chosen_by_the_caller(ann: Client) -> None:
    job = await ann.run(image_graph(), params={"lane": "video"})
    assert job["status"] == "succeeded"
    assert await ann.balance() == (95, 0)
    refused = await ann.http.post("/api/v2/jobs", params={"lane": "audio"}, json={"workflow": image_graph()})
    assert refused.status_code == 422
    assert refused.json()["error"]["details"] == {"field": "lane"}
    assert "image, video" in refused.json()["error"]["message"]


async def test_lanes_show_depth_price_and_own_places_alone(ann: Client, ben: Client, sim: Simulator) -> None:
    sim.hold()
    running = await ann.submit(image_graph())
    await ann.until(running["id"], "running")
    theirs, mine = await ann.submit(image_graph()), await ben.submit(image_graph())
    (image, video) = (await ben.http.get("/gate/v1/lanes")).json()["lanes"]
    assert image == {
        "name": "image",
        "price": 1,
        "depth": 2,
        "servers_up": 1,
        "positions": {mine["id"]: 2},
    }
    assert (video["price"], video["depth"], video["positions"]) == (5, 0, {})
    (image, _) = (await ann.http.get("/gate/v1/lanes")).json()["lanes"]
    assert image["positions"] == {theirs["id"]: 1}


async def test_account_and_entries_page(house: Gateway) -> None:
    async with house.client(await house.add_account(tier="vip", credits=7)) as ann:
        account = (await ann.http.get("/gate/v1/account")).json()
        assert (account["name"], account["tier"], account["available"], account["held"]) == (
            "ann",
            "vip",
            7,
            0,
        )
        for _ in range(3):
            job = await ann.submit(image_graph())
            await ann.http.post(job["urls"]["cancel"])
        seen: list[tuple[str, str]] = []
        before: dict[str, int] = {}
        while True:
            page = (await ann.http.get("/gate/v1/entries", params={"limit": 3, **before})).json()
            seen += [(entry["kind"], entry["words"]) for entry in page["entries"]]
            if page["next_before"] is None:
                break
            before = {"before": page["next_before"]}
        pair = [("release", "credits refunded"), ("hold", "credits deducted")]
        assert seen == [*pair * 3, ("grant", "credits added")]
        for limit in ("0", "-1", "101", "9" * 30, "x"):
            assert (await ann.http.get("/gate/v1/entries", params={"limit": limit})).status_code == 422
        for value in ("0", "9" * 30):
            assert (await ann.http.get("/gate/v1/entries", params={"before": value})).status_code == 422


async def test_health_needs_no_key_and_tells_no_secret(house: Gateway, sim: Simulator) -> None:
    async with house.client() as nobody:
        alone = (await nobody.http.get("/api/v2/health")).json()
        assert (alone["status"], alone["servers"], alone["servers_up"]) == ("degraded", 0, 0)
        await house.add_server(sim)
        well = (await nobody.http.get("/api/v2/health")).json()
        assert (well["status"], well["servers"], well["servers_up"]) == ("ok", 1, 1)
        assert set(well) == {"status", "version", "servers", "servers_up", "screening"}
