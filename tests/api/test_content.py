"""Downloads: ranges, caching, file names, signed addresses, and bytes that are no longer there."""

from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from comfygate.simulator import Simulator
from tests.api.house import Client, Gateway, file_graph, png, reference

CONTENT = bytes(range(256)) * 8
SIZE = len(CONTENT)


@pytest.fixture
async def asset(ann: Client) -> dict[str, Any]:
    """An upload of 2048 bytes that are no picture."""
    return await ann.asset(CONTENT, "räw dätä\"'.bin", content_type="application/x-thing")


RANGES = [
    ("bytes=0-9", 206, 0, 10),
    ("bytes=0-0", 206, 0, 1),
    ("bytes=100-", 206, 100, SIZE),
    ("bytes=-5", 206, SIZE - 5, SIZE),
    ("bytes=-99999", 206, 0, SIZE),
    ("bytes=2000-99999", 206, 2000, SIZE),
    (f"bytes={SIZE - 1}-", 206, SIZE - 1, SIZE),
    ("bytes= 3-4", 206, 3, 5),
    # What RFC 9110 has ignored: other units, nonsense, several ranges, last before first.
    ("items=0-9", 200, 0, SIZE),
    ("bytes=9-1", 200, 0, SIZE),
    ("bytes=-", 200, 0, SIZE),
    ("bytes=0-1,5-6", 200, 0, SIZE),
    ("bytes=a-b", 200, 0, SIZE),
    ("", 200, 0, SIZE),
]


async def test_ranges(ann: Client, asset: dict[str, Any]) -> None:
    for header, status, start, end in RANGES:
        answer = await ann.http.get(f"/api/v2/assets/{asset['id']}/content", headers={"Range": header})
        assert answer.status_code == status, header
        assert answer.content == CONTENT[start:end]
        assert answer.headers["content-length"] == str(end - start)
        wanted = f"bytes {start}-{end - 1}/{SIZE}" if status == 206 else None
        assert answer.headers.get("content-range") == wanted


async def test_ranges_outside_the_file(ann: Client, asset: dict[str, Any]) -> None:
    for header in (f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0"):
        answer = await ann.http.get(f"/api/v2/assets/{asset['id']}/content", headers={"Range": header})
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{SIZE}")
        assert answer.json()["error"]["code"] == "range_not_satisfiable"


async def test_a_file_without_bytes(ann: Client) -> None:
    asset = await ann.asset(b"", "empty.bin", content_type="application/octet-stream")
    address = f"/api/v2/assets/{asset['id']}/content"
    whole = await ann.http.get(address)
    assert (whole.status_code, whole.content) == (200, b"")
    assert (await ann.http.get(address, headers={"Range": "bytes=0-"})).status_code == 416


async def test_resuming_only_the_same_bytes(ann: Client, asset: dict[str, Any]) -> None:
    address = f"/api/v2/assets/{asset['id']}/content"
    first = await ann.http.get(address)
    etag = first.headers["etag"]
    rest = await ann.http.get(address, headers={"Range": "bytes=1000-", "If-Range": etag})
    assert (rest.status_code, rest.content) == (206, CONTENT[1000:])
    other = await ann.http.get(address, headers={"Range": "bytes=1000-", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, CONTENT)
    same = await ann.http.get(address, headers={"If-None-Match": f'"x", {etag}'})
    assert (same.status_code, same.content) == (304, b"")


async def test_head_tells_all_but_the_bytes(ann: Client, asset: dict[str, Any]) -> None:
    answer = await ann.http.head(f"/api/v2/assets/{asset['id']}/content", headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(SIZE)
    assert answer.headers["accept-ranges"] == "bytes"


async def test_a_strangers_file_cannot_act_as_our_page(ann: Client, asset: dict[str, Any]) -> None:
    page = await ann.asset(b"<html><script>alert(1)</script>", "x.html", content_type="text/html")
    drawing = await ann.asset(
        b"<svg xmlns='http://www.w3.org/2000/svg'/>", "x.svg", content_type="image/svg+xml"
    )
    for thing in (page, drawing, asset):
        answer = await ann.http.get(f"/api/v2/assets/{thing['id']}/content")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert answer.headers["content-disposition"].startswith("attachment; ")
    picture = await ann.asset(png(), "x.html", content_type="text/html")
    answer = await ann.http.get(f"/api/v2/assets/{picture['id']}/content")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith("inline; ")


async def test_file_names_of_any_letters(ann: Client, asset: dict[str, Any]) -> None:
    answer = await ann.http.get(f"/api/v2/assets/{asset['id']}/content")
    assert answer.headers["content-type"] == "application/x-thing"
    plain, spelt = answer.headers["content-disposition"].removeprefix("attachment; ").split("; ")
    assert plain == 'filename="r_w d_t___.bin"'
    assert spelt == "filename*=UTF-8''r%C3%A4w%20d%C3%A4t%C3%A4%22%27.bin"


async def test_a_declared_type_that_no_header_can_carry(ann: Client) -> None:
    asset = await ann.asset(b"\x00\x01", "x.bin", content_type="te☃t/pläin\r\nX-Evil: 1")
    assert asset["content_type"] == "application/octet-stream"
    answer = await ann.http.get(f"/api/v2/assets/{asset['id']}/content")
    assert "x-evil" not in answer.headers


async def test_signed_addresses(lite: Gateway, ann: Client, asset: dict[str, Any]) -> None:
    again = (await ann.http.get(f"/api/v2/assets/{asset['id']}")).json()
    ends = datetime.fromisoformat(again["url_expires_at"])
    query = parse_qs(urlsplit(again["url"]).query)
    assert int(query["expires"][0]) == int(ends.timestamp())
    async with httpx.AsyncClient() as nobody:
        answer = await nobody.get(again["url"])
        assert (answer.status_code, answer.content) == (200, CONTENT)
        ranged = await nobody.get(again["url"], headers={"Range": "bytes=0-1"})
        assert (ranged.status_code, ranged.content) == (206, CONTENT[:2])
        other = await ann.asset(png())
        for address in (
            again["url"][:-1] + ("0" if again["url"][-1] != "0" else "1"),
            again["url"].replace("expires=", "expires=1"),
            again["url"].replace(asset["id"], other["id"]),
            f"{lite.url}/api/v2/assets/{asset['id']}/content?expires=9999999999&signature=",
            f"{lite.url}/api/v2/assets/{asset['id']}/content?expires=9999999999&signature=%C3%BC",
        ):
            refused = await nobody.get(address)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        # A signed address opens the bytes and nothing else.
        record = again["url"].replace("/content", "")
        assert (await nobody.get(record)).status_code == 401
        assert (await nobody.delete(record)).status_code == 401
        lone = await nobody.get(again["url"].split("&")[0])
        assert lone.status_code == 401


async def test_a_signed_address_ends(lite: Gateway, asset: dict[str, Any]) -> None:
    face = lite.http._server.config.app.state.face  # type: ignore[union-attr]
    past = 1_700_000_000
    signature = face.signer.sign(asset["id"], past)
    async with httpx.AsyncClient() as nobody:
        address = f"{lite.url}/api/v2/assets/{asset['id']}/content?expires={past}&signature={signature}"
        assert (await nobody.get(address)).status_code == 403


def lose(folder: Path) -> None:
    """Delete every file below."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()


async def test_lost_bytes_are_a_404_and_name_no_path(
    lite: Gateway, ann: Client, asset: dict[str, Any]
) -> None:
    lose(lite.settings.uploads_path)
    for method in ("GET", "HEAD"):
        answer = await ann.http.request(method, f"/api/v2/assets/{asset['id']}/content")
        assert answer.status_code == 404
        assert "uploads/" not in answer.text


async def test_an_asset_in_use_cannot_be_deleted(ann: Client, sim: Simulator) -> None:
    sim.hold()
    asset = await ann.asset(png())
    job = await ann.submit(file_graph(reference(asset)))
    refused = await ann.http.delete(f"/api/v2/assets/{asset['id']}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "asset_in_use")
    sim.release()
    await ann.ended(job["id"])
    assert (await ann.http.delete(f"/api/v2/assets/{asset['id']}")).status_code == 204
