"""A file of accounts is read whole or refused with every fault named by its line."""

from __future__ import annotations

import pytest

from comfygate.domain.accounts_file import Newcomer, read_accounts
from comfygate.domain.errors import InvalidRequest

GOOD = [Newcomer(7, "vip", 30), Newcomer(8, "regular", 0)]


@pytest.mark.parametrize(
    "text",
    [
        "telegram_id,tier,credits\n7,vip,30\n8,regular,0\n",
        "\ufefftelegram_id,tier,credits\r\n7,vip,30\r\n8,regular,0",
        'credits, tier ,telegram_id\n"30",vip,7\n0, regular ,8\n',
    ],
)
def test_files_as_programs_write_them(text: str) -> None:
    assert read_accounts(text) == GOOD


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the header is ''"),
        ("id,tier,credits\n", "it must be telegram_id,tier,credits"),
        ("telegram_id,tier,credits,name\n", "the header is"),
        ("telegram_id,tier,credits\nx,vip,1\n", "line 2: telegram_id is 'x'"),
        ("telegram_id,tier,credits\n7,vip,-1\n", "line 2: credits is '-1'"),
        ("telegram_id,tier,credits\n7,vip,1.5\n", "line 2: credits is '1.5'"),
        ("telegram_id,tier,credits\n7,vip,99999999999999999999\n", "line 2: credits is"),
        ("telegram_id,tier,credits\n7,,1\n", "line 2: tier is empty"),
        ("telegram_id,tier,credits\n7,vip,1\n7,vip,1\n", "line 3: 7 stands in line 2 already"),
        ("telegram_id,tier,credits\n7,vip,1,2\n", "line 2: it has more values"),
        ("telegram_id,tier,credits\n7,vip\n", "line 2: credits is ''"),
        ('telegram_id,tier,credits\n"7,vip,1\n', "no CSV file"),
    ],
)
def test_every_fault_is_named(text: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        read_accounts(text)
    assert words in refusal.value.message


def test_many_faults_are_counted() -> None:
    text = "telegram_id,tier,credits\n" + "x,vip,1\n" * 30
    with pytest.raises(InvalidRequest, match=r"line 21: .*and 10 more"):
        read_accounts(text)
