"""What a name in a graph must not be: a path out of its folder, an address, or a place of somebody else's.

Names are looked at as written, and as what is left when escapes are undone and look-alikes are read as what
they look like, since nobody knows which node undoes what.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

NAMESPACE: Final = "comfygate"
"""First folder of everything this gateway puts on a server."""
UNDONE_MAX: Final = 3
"""How often escapes are undone: `%25252e` is a dot three times over."""

ESCAPES_MAX: Final = 100
"""More of `%` in one name is nobody's honest name, and undoing them takes time."""

_ODD: Final = re.compile(r"[^ -~]|[\\%~:\[]|\.\s*\.|^\s*/|comfygate", re.IGNORECASE)
"""What is in every name that is refused."""
_TRAVERSAL: Final = re.compile(r"(^|[/\\])\s*\.{2,}\s*[/\\]|[/\\]\s*\.{2,}\s*$|^\s*\.\.\s*$")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_UNSEEN: Final = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]+")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_HOME: Final = re.compile(r"~[^/\\]*([/\\]|$)")
_SCHEME: Final = re.compile(r"(data|file|javascript|blob|hf|s3|gs):", re.IGNORECASE)
_ANNOTATED: Final = re.compile(r"\[(input|output|temp)\]\s*$", re.IGNORECASE)
_OVERLONG: Final = (
    (re.compile(r"%(c0%ae|e0%80%ae|f0%80%80%ae|u002e|uff0e)", re.IGNORECASE), "."),
    (re.compile(r"%(c0%af|e0%80%af|f0%80%80%af|u002f|u2215|uff0f)", re.IGNORECASE), "/"),
    (re.compile(r"%(c1%9c|e0%81%9c|u005c|uff3c)", re.IGNORECASE), r"\\"),
)
_LOOK_ALIKES: Final = {
    ord(char): plain for chars, plain in (("⁄∕⧸╱", "/"), ("∖⧵⧹╲", "\\"), ("․·", ".")) for char in chars
}
_OURS: Final = re.compile(rf"([.\s]*[/\\])*\s*{NAMESPACE}[.\s]*[/\\]", re.IGNORECASE)
_EMBEDDING: Final = re.compile(r"embedding:\s*([^\s,()<>|]+)", re.IGNORECASE)


class Place(StrEnum):
    """What kind of name a value is."""

    NAME = "name"
    """A model, a choice, or anything else that is no prose: folders are fine."""
    FILE = "file"
    """The name of one of the caller's uploads."""
    PREFIX = "prefix"
    """What the names of saved files begin with."""


def path_fault(text: str, place: Place) -> str | None:
    """Why this name is refused, as a reason code with words; None if it is harmless."""
    if not _ODD.search(text):
        return None
    if text.count("%") > ESCAPES_MAX:
        return f"escapes: a name with more than {ESCAPES_MAX} % is refused; write it plainly"
    if "\0" in text or (place is not Place.NAME and _CONTROL.search(text)):
        return "control_characters: a name holds characters that nobody can see"
    for form in _forms(text):
        fault = _fault_of(form, place)
        if fault is not None:
            return fault
    return None


def prompt_fault(text: str) -> str | None:
    """Why a text is refused: prose may say anything, but not name an embedding outside of its folder."""
    for found in _EMBEDDING.finditer(text) if "mbedding:" in text.casefold() else ():
        fault = path_fault(found[1], Place.NAME)
        if fault is not None:
            return f"{fault} (of an embedding)"
    return None


def _forms(text: str) -> list[str]:
    """The text as it is, and with escapes undone and look-alikes replaced; at most UNDONE_MAX times."""
    forms = [text]
    for _ in range(UNDONE_MAX):
        plain = forms[-1]
        for pattern, template in _OVERLONG if "%" in plain else ():
            plain = pattern.sub(template, plain)
        plain = _looks_like(unquote(plain, errors="replace"))
        if plain == forms[-1]:
            break
        forms.append(plain)
    return forms


def _looks_like(text: str) -> str:
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).translate(_LOOK_ALIKES)


def _fault_of(text: str, place: Place) -> str | None:
    bare = text.strip()
    if _SCHEME.match(bare) or "://" in bare:
        return "address_not_allowed: upload the file and refer to it as an asset"
    if bare.startswith(("/", "\\")) or _DRIVE.match(bare) or _HOME.match(bare):
        return "absolute_path: give a name relative to its folder"
    if _TRAVERSAL.search(bare):
        return "path_traversal: a name may not lead out of its folder"
    if _ANNOTATED.search(bare):
        return "foreign_folder: [input], [output] and [temp] name folders that are shared by all"
    if _OURS.match(bare):
        return f"foreign_prefix: the folder {NAMESPACE}/ is the gateway's own"
    return None
