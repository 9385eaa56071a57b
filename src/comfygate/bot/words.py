"""The bot's texts, by language, from the files in `texts/`: none stand in the code.

A text is HTML as Telegram takes it; what is put into it is escaped, unless it is `Html` already. Where a text
differs by number it is a table of `one` and `other`, chosen by the value `n`.
"""

from __future__ import annotations

import html
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

LANGUAGES: Final = ("en", "zh")
DEFAULT: Final = "en"


class Html(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


@cache
def catalogue(language: str) -> Mapping[str, Any]:
    """Every text of a language by its key; keys of tables are joined by dots, but for `one` and `other`."""
    file = resources.files("comfygate.bot") / "texts" / f"{language}.toml"
    return dict(_flat("", tomllib.loads(file.read_text(encoding="utf-8"))))


def _flat(path: str, table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in table.items():
        key = f"{path}.{name}" if path else name
        if isinstance(value, dict) and not value.keys() <= {"one", "other"}:
            found += _flat(key, value)
        else:
            found.append((key, value))
    return found


class Words:
    """The texts of one language."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else DEFAULT
        self._texts = catalogue(self.language)

    def __call__(self, key: str, **values: object) -> Html:
        """The text under `key` with the values put in. Raises KeyError for a text that is not there."""
        text = self._texts[key]
        if isinstance(text, dict):
            text = text["one" if str(values.get("n")) == "1" and "one" in text else "other"]
        shown = {
            name: value if isinstance(value, Html) else html.escape(str(value), quote=False)
            for name, value in values.items()
        }
        return Html(str(text).format_map(shown))

    def has(self, key: str) -> bool:
        """Whether there is such a text."""
        return key in self._texts

    def plain(self, key: str, **values: object) -> str:
        """As a call, for places that show no HTML: buttons and short notices."""
        text = self(key, **{name: Html(value) for name, value in values.items()})
        return html.unescape(text)

    def of(self, names: Mapping[str, str]) -> str:
        """The name in this language, of a workflow, style, parameter or input of the catalogue."""
        return names.get(self.language) or names.get(DEFAULT) or ""


def language_for(chosen: str | None, telegrams: str | None) -> str:
    """The language to speak: what was chosen, else what their Telegram is set to, else English."""
    for wish in (chosen, telegrams):
        short = (wish or "").partition("-")[0].lower()
        if short in LANGUAGES:
            return short
    return DEFAULT


def cut(text: str, most: int) -> str:
    """At most so many characters, the end cut off visibly."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
