"""The texts: both languages say the same things, and every text that is asked for is there."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from comfygate.bot.words import LANGUAGES, Words, catalogue, language_for
from tests.bot.standin.limits import checked_text

SOURCES = Path(__file__).parents[2] / "src" / "comfygate" / "bot"
ASKED = re.compile(r'words(?:\.plain)?\(\s*"([a-z_]+\.[a-z_]+)"')


def forms(text: object) -> list[str]:
    return list(text.values()) if isinstance(text, dict) else [str(text)]


def names_in(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_texts_with_the_same_values() -> None:
    one, other = (catalogue(language) for language in LANGUAGES)
    assert one.keys() == other.keys()
    for key in one:
        assert {frozenset(names_in(form)) for form in forms(one[key])} >= {
            frozenset(names_in(form)) for form in forms(other[key])
        } or key == "why.in_line", key


def test_every_text_that_the_code_asks_for_is_there_and_no_text_stands_in_it() -> None:
    asked = {key for file in SOURCES.glob("*.py") for key in ASKED.findall(file.read_text(encoding="utf-8"))}
    assert len(asked) > 60
    assert asked <= catalogue("en").keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_html_that_telegram_takes(language: str) -> None:
    for key, text in catalogue(language).items():
        for form in forms(text):
            checked_text(form)
            assert len(form) < 3000, key


def test_what_people_wrote_is_escaped() -> None:
    assert Words("en")("job.title", title="<b>&") == "🎨 <b>&lt;b&gt;&amp;</b>"
    assert Words("en").plain("price.n", n=1) == "1 credit"
    assert Words("en").plain("button.default", value="<&>") == "Default: <&>"


def test_the_language_is_the_chosen_one_else_telegrams_else_english() -> None:
    assert language_for(None, "zh-hans") == "zh"
    assert language_for("en", "zh-hans") == "en"
    assert language_for(None, "pt-br") == "en"
    assert language_for(None, None) == "en"
