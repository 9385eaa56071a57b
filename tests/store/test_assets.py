"""Bytes are shared by hash, records are one account's own, and nothing that is needed is dropped."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from comfygate.domain.errors import AssetInUse, BlobNotFound, NotFound
from comfygate.domain.job import Failed, JobError
from comfygate.store import assets, jobs
from comfygate.store.rows import BlobRow
from tests.store.world import DAY_MS, NOW, TIERS, Waiter, World, blob, fresh, new_job, output, takes


def test_the_same_bytes_are_kept_once_and_who_had_them_is_not_told(world: World) -> None:
    mine, theirs = world.account(), world.account()
    first, new_to_me = world.upload(mine, blob("x"))
    second, new_to_them = world.upload(theirs, blob("x"))
    third, new_again = world.upload(mine, blob("x"))
    assert (new_to_me, new_to_them, new_again) == (True, True, False)
    assert first.key == second.key == third.key
    assert len({first.id, second.id, third.id}) == 3
    assert world.run(assets.stored_bytes) == 10


def test_the_key_that_counts_is_the_first(world: World) -> None:
    first, second = BlobRow("blake3:x", "k1", 5), BlobRow("blake3:x", "k2", 5)
    assert world.run(assets.keep_blob, first, NOW) == "k1"
    assert world.run(assets.keep_blob, second, NOW) == "k1"
    assert world.run(assets.known_keys, ["k1", "k2", "k3"]) == {"k1"}
    assert world.run(assets.known_keys, []) == set()


def test_a_file_name_means_the_newest_upload_of_it(world: World) -> None:
    account_id = world.account()
    world.upload(account_id, blob("a"), now_ms=NOW)
    newest, _ = world.upload(account_id, blob("b"), now_ms=NOW + 2)
    world.upload(account_id, blob("c"), now_ms=NOW + 1)
    world.upload(account_id, blob("d"), now_ms=NOW + 3, file_path="other.png")
    found = world.run(assets.find_by_path, account_id, "photo.png", NOW + 5)
    assert found == newest
    assert world.run(assets.find_by_path, account_id, "PHOTO.png", NOW) is None
    assert world.run(assets.find_by_path, world.account(), "photo.png", NOW) is None


def test_an_output_is_not_an_upload_of_that_name(world: World) -> None:
    account_id = world.account()
    world.succeed(world.running(account_id).fence, output("photo.png"))
    assert world.run(assets.find_by_path, account_id, "photo.png", NOW + 9) is None


def test_by_hash_one_finds_ones_own_only(world: World) -> None:
    mine, theirs = world.account(), world.account()
    world.upload(mine, blob("x"))
    newest, _ = world.upload(mine, blob("x"), now_ms=NOW + 1)
    assert world.run(assets.find_by_hash, mine, "blake3:x", NOW + 2) == newest
    answers = []
    for asked in ("blake3:x", "blake3:nothing"):
        with pytest.raises(BlobNotFound) as refused:
            world.run(assets.find_by_hash, theirs, asked, NOW + 2)
        answers.append(str(refused.value))
    assert answers[0] == answers[1]


def test_anothers_asset_and_no_asset_look_the_same(world: World) -> None:
    mine, theirs = world.account(), world.account()
    asset, _ = world.upload(mine)
    for asset_id in (asset.id, "no-such-asset"):
        with pytest.raises(NotFound, match=f"^no asset with the id '{asset_id}'$"):
            world.run(assets.get_asset, asset_id, theirs, NOW)
        with pytest.raises(NotFound, match=f"^no asset with the id '{asset_id}'$"):
            world.run(assets.delete_asset, asset_id, theirs, NOW)
    assert world.run(assets.get_asset, asset.id, mine, NOW) == asset
    assert world.run(assets.get_asset, asset.id, None, NOW) == asset


def test_an_asset_ends_at_its_time_to_the_millisecond(world: World) -> None:
    account_id = world.account()
    asset, _ = world.upload(account_id, expires_at_ms=NOW + 10)
    world.run(assets.get_asset, asset.id, account_id, NOW + 9)
    with pytest.raises(NotFound):
        world.run(assets.get_asset, asset.id, account_id, NOW + 10)
    with pytest.raises(BlobNotFound):
        world.run(assets.find_by_hash, account_id, asset.hash, NOW + 10)
    assert world.run(assets.find_by_path, account_id, "photo.png", NOW + 10) is None
    assert world.run(assets.assets_by_id, [asset.id]) == {asset.id: asset}


def test_a_life_is_extended_never_shortened(world: World) -> None:
    account_id = world.account()
    asset, _ = world.upload(account_id, expires_at_ms=NOW + 10)
    for asked, expected in ((NOW + 20, NOW + 20), (NOW + 5, NOW + 20)):
        world.run(assets.extend, asset.id, asked)
        assert world.run(assets.get_asset, asset.id, account_id, NOW).expires_at_ms == expected


def queued(world: World, account_id: str, asset_id: str) -> None:
    world.submit(account_id, inputs=takes(asset_id))


def claimed(world: World, account_id: str, asset_id: str) -> None:
    queued(world, account_id, asset_id)
    world.claimed()


def canceling(world: World, account_id: str, asset_id: str) -> None:
    attempt = world.running(account_id, inputs=takes(asset_id))
    world.run(jobs.cancel, attempt.fence.job_id, account_id, NOW)


@pytest.mark.parametrize("arrange", [queued, claimed, canceling], ids=lambda fn: fn.__name__)
def test_what_an_unfinished_job_takes_is_neither_deleted_nor_pruned(
    world: World, arrange: Callable[[World, str, str], None]
) -> None:
    account_id = world.account()
    asset, _ = world.upload(account_id)
    arrange(world, account_id, asset.id)
    before = world.dump()
    with pytest.raises(AssetInUse):
        world.run(assets.delete_asset, asset.id, account_id, NOW)
    assert world.run(assets.prune_expired, NOW + 10 * DAY_MS, 100) == 0
    assert world.run(assets.drop_unreferenced_blobs, NOW + DAY_MS, 100) == []
    assert world.dump() == before


def test_once_the_job_has_ended_its_input_may_go(world: World) -> None:
    account_id = world.account()
    asset, _ = world.upload(account_id)
    attempt = world.running(account_id, inputs=takes(asset.id))
    world.settle(attempt.fence, Failed(JobError("x", "y")))
    world.run(assets.delete_asset, asset.id, account_id, NOW)
    with pytest.raises(NotFound):
        world.run(assets.get_asset, asset.id, account_id, NOW)
    assert world.run(jobs.inputs_of, attempt.fence.job_id) == takes(asset.id), "the job's row stays"
    assert world.run(assets.drop_unreferenced_blobs, NOW, 100) == [asset.key]


def test_pruning_takes_the_oldest_due_up_to_its_limit(world: World) -> None:
    account_id = world.account()
    made = [world.upload(account_id, blob(fresh("x")), expires_at_ms=NOW + at)[0].id for at in (3, 1, 2, 9)]
    assert world.run(assets.prune_expired, NOW + 3, 2) == 2
    left = set(world.run(assets.assets_by_id, made))
    assert left == {made[0], made[3]}
    assert world.run(assets.prune_expired, NOW + 3, 100) == 1
    assert world.run(assets.prune_expired, NOW + 3, 100) == 0


def test_expired_outputs_go_and_the_job_stays(world: World) -> None:
    account_id = world.account()
    attempt = world.running(account_id)
    world.succeed(attempt.fence, output())
    expires = world.job(attempt.fence.job_id).expires_at_ms
    assert world.run(assets.prune_expired, expires, 100) == 1
    assert world.run(assets.outputs_of, [attempt.fence.job_id]) == {}
    assert world.job(attempt.fence.job_id).state == "succeeded"
    world.assert_books_balance()


def test_bytes_go_only_when_nothing_refers_to_them(world: World) -> None:
    account_id, other = world.account(), world.account()
    shared, _ = world.upload(account_id, blob("shared"))
    theirs, _ = world.upload(other, blob("shared"))
    alone, _ = world.upload(account_id, blob("alone"))
    world.run(assets.delete_asset, shared.id, account_id, NOW)
    world.run(assets.delete_asset, alone.id, account_id, NOW)
    assert world.run(assets.drop_unreferenced_blobs, NOW - 1, 100) == [], "too young to be dropped"
    assert world.run(assets.drop_unreferenced_blobs, NOW, 100) == [alone.key]
    assert world.run(assets.get_asset, theirs.id, other, NOW).key == theirs.key
    world.run(assets.delete_asset, theirs.id, other, NOW)
    assert world.run(assets.drop_unreferenced_blobs, NOW, 100) == [theirs.key]
    assert world.run(assets.stored_bytes) == 0


def test_dropping_keeps_to_its_limit(world: World) -> None:
    for _ in range(3):
        world.run(assets.keep_blob, blob(fresh("x")), NOW)
    assert len(world.run(assets.drop_unreferenced_blobs, NOW, 2)) == 2
    assert len(world.run(assets.drop_unreferenced_blobs, NOW, 2)) == 1


def test_dropped_bytes_may_come_back_under_a_new_key(world: World) -> None:
    assert world.run(assets.keep_blob, BlobRow("blake3:x", "k1", 5), NOW) == "k1"
    world.run(assets.drop_unreferenced_blobs, NOW, 10)
    assert world.run(assets.keep_blob, BlobRow("blake3:x", "k2", 5), NOW) == "k2"


@pytest.mark.postgresql
class TestAssetsBesideOthers:
    """Uploads, submissions, deletions and pruning in open transactions, on PostgreSQL."""

    def test_bytes_being_dropped_are_kept_anew(self, pg_world: World) -> None:
        pg_world.run(assets.keep_blob, BlobRow("blake3:x", "k1", 5), NOW)
        with pg_world.open() as one:
            # what the pruner has done half-way: the row is locked, not yet deleted
            one.exec_driver_sql("SELECT 1 FROM blobs FOR UPDATE")
            keeping = Waiter(pg_world, lambda conn: assets.keep_blob(conn, BlobRow("blake3:x", "k2", 5), NOW))
            keeping.until_blocked()
            one.exec_driver_sql("DELETE FROM blobs")
            one.commit()
        assert keeping.done() == "k2"

    def test_bytes_being_kept_are_not_dropped(self, pg_world: World) -> None:
        account_id = pg_world.account()
        pg_world.run(assets.keep_blob, BlobRow("blake3:x", "k1", 5), NOW)
        with pg_world.open() as one:
            assets.add_upload(
                one, "a", account_id, BlobRow("blake3:x", "k2", 5), content_type="image/png",
                file_path=None, tags=(), now_ms=NOW, expires_at_ms=NOW + DAY_MS,
            )  # fmt: skip
            assert pg_world.run(assets.drop_unreferenced_blobs, NOW, 10) == []
            one.commit()
        assert pg_world.run(assets.drop_unreferenced_blobs, NOW, 10) == []
        assert pg_world.run(assets.get_asset, "a", account_id, NOW).key == "k1"

    def test_an_input_is_not_deleted_under_a_submission(self, pg_world: World) -> None:
        account_id = pg_world.account()
        asset, _ = pg_world.upload(account_id)
        with pg_world.open() as one:
            self.submit(one, account_id, asset.id)
            deleting = Waiter(pg_world, lambda conn: assets.delete_asset(conn, asset.id, account_id, NOW))
            deleting.until_blocked()
            one.commit()
        with pytest.raises(AssetInUse):
            deleting.done()
        assert pg_world.run(assets.get_asset, asset.id, account_id, NOW) == asset

    def test_an_extended_asset_is_not_pruned(self, pg_world: World) -> None:
        account_id = pg_world.account()
        asset, _ = pg_world.upload(account_id, expires_at_ms=NOW + 1)
        with pg_world.open() as one:
            assets.extend(one, asset.id, NOW + DAY_MS)
            pruning = Waiter(pg_world, lambda conn: assets.prune_expired(conn, NOW + 1, 10))
            pruning.until_blocked()
            one.commit()
        assert pruning.done() == 0
        assert pg_world.run(assets.get_asset, asset.id, account_id, NOW + 2).id == asset.id

    def submit(self, conn: Connection, account_id: str, asset_id: str) -> None:
        jobs.submit(conn, new_job(account_id, inputs=takes(asset_id)), TIERS, 60)
