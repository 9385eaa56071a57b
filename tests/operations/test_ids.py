"""Ids are UUIDs that begin with their moment."""

import time
import uuid

from comfygate.app.wiring import ordered_id


def test_an_id_is_a_uuid_of_its_moment_and_no_two_are_alike() -> None:
    before = time.time_ns() // 1_000_000
    made = [ordered_id() for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    found = [uuid.UUID(one) for one in made]
    assert [str(one) for one in found] == made
    assert {(one.version, one.variant) for one in found} == {(7, uuid.RFC_4122)}
    moments = [one.int >> 80 for one in found]
    assert before <= moments[0] <= moments[-1] <= after
    assert moments == sorted(moments)
    assert len({one.int & (2**64 - 1) for one in found}) == len(made)
    drawn = [one.int for one in found]
    for bit in (*range(62), *range(64, 76)):
        assert len({number >> bit & 1 for number in drawn}) == 2, bit
