"""The pages come from here alone, allow nothing else, and show no address of ours that is absolute."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from comfygate.web.pages import FOR_GOOD, HEADERS, files, pages, release
from tests.promises.rig import Gateway, gateway, settings_for

FOLDER = Path(__file__).parents[2] / "src/comfygate/web/pages"
SVG = "http://www.w3.org/2000/svg"


@pytest.fixture
async def house(tmp_path: Path, sqlite_url: str) -> AsyncIterator[Gateway]:
    async with gateway(settings_for(tmp_path / "gate", sqlite_url)) as started:
        yield started


async def test_pages_load_nothing_from_elsewhere(house: Gateway) -> None:
    assert {"sign-in.html", "studio.html"} <= set(pages())
    for name in pages():
        async with house.session.get(f"{house.house.url}/{name.removesuffix('.html')}") as answer:
            text = await answer.text()
            assert answer.status == 200
            policy = answer.headers["Content-Security-Policy"]
            assert answer.headers["Cache-Control"] == "no-cache"
            etag = answer.headers["ETag"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert not re.search(r"<style|style=|\son\w+=", text)
        for attributes, inside in re.findall(r"<script([^>]*)>([^<]*)", text):
            assert "src=" in attributes
            assert inside == ""
        parts = re.findall(r'(?:src|href)="([^"]+)"', text)
        assert len(parts) >= 4
        for address in parts:
            # Relative, so that they hold behind a path prefix.
            assert address.startswith(f"web/{release()}/")
            async with house.session.get(f"{house.house.url}/{address}") as part:
                assert (part.status, part.headers["Cache-Control"]) == (200, FOR_GOOD)
                assert part.headers.items() >= HEADERS.items()
        async with house.session.get(
            f"{house.house.url}/{name.removesuffix('.html')}", headers={"If-None-Match": etag}
        ) as again:
            assert again.status == 304


async def test_parts_that_are_not_there_and_those_of_an_older_release(house: Gateway) -> None:
    url = house.house.url
    for path in ("web/x/nothing.js", f"web/{release()}/studio.html", "web/x/..%2F..%2Fpages.py"):
        async with house.session.get(f"{url}/{path}") as answer:
            assert answer.status == 404
            assert (await answer.json())["error"]["code"] == "not_found"
    async with house.session.get(f"{url}/web/0123456789ab/shell/api.js") as older:
        assert (older.status, older.headers["Cache-Control"]) == (200, "no-store")
    async with house.session.get(f"{url}/me", allow_redirects=False) as moved:
        assert (moved.status, moved.headers["Location"]) == (307, "studio")


def own_scripts() -> Iterator[tuple[str, str]]:
    for name, content in files().items():
        if name.endswith((".js", ".css", ".html")) and not name.startswith("vendor/"):
            yield name, content.decode()


def test_own_files_name_no_host_and_make_no_html_of_strings() -> None:
    for name, text in own_scripts():
        assert "://" not in text.replace(SVG, ""), name
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|dangerously|document\.write|\beval\(", text
        )
        assert found == [], name
        for address in re.findall(r'(?:fetch|call|get|post|remove)\((?:"[A-Z]+", )?["`]([^"`$]+)', text):
            assert not address.startswith("/"), name


def test_what_is_vendored_is_what_was_published() -> None:
    told = json.loads((FOLDER / "vendor/vendored.json").read_text(encoding="utf-8"))
    assert set(told) == {
        path.name for path in (FOLDER / "vendor").iterdir() if path.suffix in {".js", ".css"}
    }
    for name, one in told.items():
        content = (FOLDER / "vendor" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == one["sha256"], name
        for licence in one["licences"]:
            assert (FOLDER / "vendor" / licence).stat().st_size > 500


Tree = dict[str, "Tree | str"]


def keys_of(tree: Tree, path: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, str):
            yield f"{path}{name}"
        elif set(value) <= {"zero", "one", "two", "few", "many", "other"}:
            assert "other" in value
            yield f"{path}{name}"
        else:
            yield from keys_of(value, f"{path}{name}.")


def texts(language: str) -> Tree:
    """The words of all pages together, as a page has them that learned those of another."""
    found: Tree = {}
    for path in sorted((FOLDER / "texts").glob(f"*{language}.json")):
        more: Tree = json.loads(path.read_text(encoding="utf-8"))
        assert not found.keys() & more.keys(), path.name
        found |= more
    return found


def test_every_text_is_there_in_both_languages_and_used() -> None:
    english, chinese = set(keys_of(texts("en"))), set(keys_of(texts("zh")))
    assert english == chinese
    scripts = "\n".join(text for name, text in own_scripts() if name.endswith(".js"))
    assert set(re.findall(r"\bt\(\"([a-z0-9_.]+)\"", scripts)) <= english
    named = set(re.findall(r'"([a-z_]+\.[a-z0-9_.]+)"', scripts))
    made = tuple(re.findall(r"`([a-z_]+\.[a-z_]*)\$\{", scripts))
    assert {key for key in english - named if not key.startswith(made)} == set()


def test_texts_are_filled_in_alike() -> None:
    def places(tree: Tree, key: str) -> set[str]:
        found: Tree | str = tree
        for part in key.split("."):
            assert isinstance(found, dict)
            found = found[part]
        text = found if isinstance(found, str) else json.dumps(found)
        return set(re.findall(r"\{(\w+)\}", text))

    english, chinese = texts("en"), texts("zh")
    for key in keys_of(english):
        assert places(english, key) == places(chinese, key), key
