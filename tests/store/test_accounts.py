"""Accounts, keys, grants and servers."""

import pytest

from comfygate.domain.credits import CREDITS_MAX, Balance
from comfygate.domain.errors import Conflict, InvalidRequest, NotFound
from comfygate.domain.job import Failed, JobError
from comfygate.store import accounts, ledger
from tests.store.world import NOW, World, fresh


def test_an_account_opens_with_its_credits_as_an_entry(world: World) -> None:
    made = world.run(accounts.add_account, "a-1", "studio", "vip", "digest", 50, NOW)
    assert (made.id, made.name, made.tier, made.balance) == ("a-1", "studio", "vip", Balance(50, 0))
    (entry,) = world.run(ledger.list_entries, "a-1", 10)
    assert (entry.kind, entry.amount, entry.reason, entry.job_id) == ("grant", 50, "opening credits", None)
    assert world.run(accounts.get_account, "studio") == made
    assert world.run(accounts.accounts_of_keys, ["digest"]) == {"digest": made}


def test_a_taken_name_leaves_nothing_behind(world: World) -> None:
    world.run(accounts.add_account, "a-1", "studio", "vip", "digest", 0, NOW)
    before = world.dump()
    with pytest.raises(Conflict, match="'studio' exists already"):
        world.run(accounts.add_account, "a-2", "studio", "vip", "other", 5, NOW)
    assert world.dump() == before


def test_an_impossible_opening_leaves_nothing_behind(world: World) -> None:
    before = world.dump()
    with pytest.raises(InvalidRequest):
        world.run(accounts.add_account, "a-1", "studio", "vip", "digest", CREDITS_MAX + 1, NOW)
    assert world.dump() == before


def test_unknown_accounts_and_keys(world: World) -> None:
    with pytest.raises(NotFound, match="'nobody'"):
        world.run(accounts.get_account, "nobody")
    assert world.run(accounts.accounts_of_keys, ["nothing"]) == {}
    with pytest.raises(NotFound, match="'nobody'"):
        world.run(ledger.grant, "nobody", 1, "gift", NOW)


def test_a_revoked_key_opens_nothing_and_the_others_still_do(world: World) -> None:
    account_id = world.account()
    world.run(accounts.add_key, account_id, "one", NOW)
    world.run(accounts.add_key, account_id, "two", NOW)
    world.sql("UPDATE api_keys SET revoked_at_ms = 1 WHERE digest = 'one'")
    found = world.run(accounts.accounts_of_keys, ["one", "two"])
    assert [(digest, account.id) for digest, account in found.items()] == [("two", account_id)]


def test_any_number_of_keys_is_looked_up_at_once(world: World) -> None:
    own = {fresh("digest"): world.account() for _ in range(33)}
    for digest, account_id in own.items():
        world.run(accounts.add_key, account_id, digest, NOW)
    found = world.run(accounts.accounts_of_keys, ["", *own, "nothing"])
    assert {digest: account.id for digest, account in found.items()} == own


def test_accounts_are_listed_by_name(world: World) -> None:
    for name in ("b", "a", "c"):
        world.run(accounts.add_account, fresh("id"), name, "vip", fresh("digest"), 0, NOW)
    assert [account.name for account in world.run(accounts.list_accounts)] == ["a", "b", "c"]


@pytest.mark.parametrize("amount", [0, -5, CREDITS_MAX + 1])
def test_impossible_grants_are_refused(world: World, amount: int) -> None:
    account_id = world.account()
    before = world.dump()
    with pytest.raises(InvalidRequest, match="amount is"):
        world.run(ledger.grant, account_id, amount, "gift", NOW)
    assert world.dump() == before


def test_a_grant_past_the_largest_balance_is_refused_in_words(world: World) -> None:
    account_id = world.account(credits=10)
    with pytest.raises(InvalidRequest, match="amount is"):
        world.run(ledger.grant, account_id, CREDITS_MAX - 9, "gift", NOW)
    world.run(ledger.grant, account_id, CREDITS_MAX - 10, "gift", NOW)
    assert world.balance(account_id) == Balance(CREDITS_MAX, 0)


def test_a_full_account_can_still_be_refunded(world: World) -> None:
    """What is held counts towards the largest balance, or a refund could find no room and the job no end."""
    account_id = world.account(credits=10)
    fence = world.running(account_id, price=4).fence
    with pytest.raises(InvalidRequest):
        world.run(ledger.grant, account_id, CREDITS_MAX - 9, "gift", NOW)
    world.run(ledger.grant, account_id, CREDITS_MAX - 10, "gift", NOW)
    world.settle(fence, Failed(JobError("x", "y")))
    assert world.balance(account_id) == Balance(CREDITS_MAX, 0)


def test_entries_are_read_page_by_page_newest_first(world: World) -> None:
    account_id, other = world.account(credits=1), world.account(credits=99)
    for amount in (2, 3, 4):
        world.run(ledger.grant, account_id, amount, f"gift {amount}", NOW + amount)
    first = world.run(ledger.list_entries, account_id, 3)
    assert [entry.amount for entry in first] == [4, 3, 2]
    assert first[0].reason == "gift 4"
    assert [entry.amount for entry in world.run(ledger.list_entries, account_id, 3, first[-1].id)] == [1]
    assert [entry.amount for entry in world.run(ledger.list_entries, other, 3)] == [99]


def test_a_server_is_added_and_changed_by_name(world: World) -> None:
    world.run(accounts.add_server, "gpu", "http://127.0.0.1:8188", 1, ("image",), NOW)
    world.run(accounts.add_server, "big", "https://127.0.0.1/x", 4, ("video", "image"), NOW)
    changed = world.run(accounts.add_server, "gpu", "http://127.0.0.1:9", 2, ("image", "video"), NOW + 1)
    assert (changed.url, changed.slots, changed.lanes, changed.created_at_ms) == (
        "http://127.0.0.1:9",
        2,
        ("image", "video"),
        NOW,
    )
    assert [server.name for server in world.run(accounts.list_servers)] == ["big", "gpu"]
    assert [server.ahead for server in world.run(accounts.list_servers)] == [0, 0]
    changed = world.run(accounts.add_server, "gpu", "http://127.0.0.1:9", 2, ("image",), NOW + 2, 1)
    assert (changed.ahead, changed.slots) == (1, 2)
    changed = world.run(accounts.add_server, "gpu", "http://127.0.0.1:9", 2, ("image",), NOW + 3)
    assert changed.ahead == 0, "an option that is left out has its default, as with slots"
