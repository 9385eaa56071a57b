"""Signing in with a real browser: by key and by link, in both languages, and out again."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.web.browser import browsing
from tests.web.chromium import PHONE, Studio

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_by_a_link_that_works_once(house: Studio) -> None:
    ann = await house.gateway.add_account("ann", credits=12)
    link = await house.link_for(ann)
    async with house.person() as (context, watched):
        page = await context.new_page()
        await page.goto(link)
        await page.get_by_role("heading", name="Welcome").wait_for()
        # Out of the address bar before anything happens.
        assert "#" not in page.url
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/studio")
        assert await page.locator("[data-credits]").text_content() == "12"
        assert await page.evaluate("document.cookie") == ""
        watched.allowed.add("404")
        other = await context.new_page()
        await other.goto(link)
        await other.get_by_role("button", name="Sign in").click()
        alert = other.get_by_role("alert")
        await alert.get_by_text("used before or has run out").wait_for()
        await other.get_by_label("API key").wait_for()


async def test_by_key_on_a_phone_in_chinese_and_signed_out_elsewhere(house: Studio) -> None:
    ben = await house.gateway.add_account("ben")
    async with house.person(locale="zh-CN", color_scheme="dark", **PHONE) as (context, watched):
        watched.allowed.add("401")
        page = await context.new_page()
        await page.goto(f"{house.url}/me")
        # Nobody is signed in yet: /me is the Studio now, and that leads here.
        await page.wait_for_url("**/sign-in")
        field = page.get_by_label("API 密钥", exact=True)
        await field.fill("cgk_wrong")
        await page.get_by_role("button", name="登录").click()
        await page.get_by_role("alert").get_by_text("API key").wait_for()
        await field.fill(ben.key)
        await page.get_by_role("button", name="登录").click()
        await page.wait_for_url("**/studio")
        await page.get_by_role("navigation", name="栏目").wait_for()
        await page.goto(f"{house.url}/studio#/account")
        await page.get_by_text("当前浏览器").wait_for()
        async with browsing(house.url) as desk:
            await desk.ask("POST", "/gate/v1/session", status=201, json={"api_key": ben.key})
            listed = await desk.ask("GET", "/gate/v1/sessions")
            assert [one["this"] for one in listed["sessions"]] == [True, False]
            mine = await desk.ask("GET", "/gate/v1/session")
            assert (mine["role"], mine["account"]["name"]) == ("user", "ben")
            await page.reload()
            await page.get_by_role("listitem").nth(1).wait_for()
            rows = page.locator("ul.list > li")
            assert await rows.count() == 2
            await rows.filter(has_not_text="当前浏览器").get_by_role("button", name="退出").click()
            await rows.nth(1).wait_for(state="detached")
            await desk.ask("GET", "/gate/v1/account", status=401)
        await page.get_by_role("button", name="退出", exact=True).click()
        await page.wait_for_url("**/sign-in")


async def test_tabs_follow_who_is_signed_in(house: Studio) -> None:
    """No page shows one account and acts as another, or stays open once it is signed out."""
    fay, gus = (
        await house.gateway.add_account("fay", credits=3),
        await house.gateway.add_account("gus", credits=7),
    )
    async with house.person() as (context, watched):
        watched.allowed.add("401")
        first = await house.signed_in(context, fay)
        second = await house.signed_in(context, gus)
        await expect(first.locator("[data-credits]")).to_have_text("7")
        await first.get_by_role("heading", name="gus").wait_for()
        await second.locator("summary").last.click()
        await second.get_by_role("button", name="Sign out").click()
        for page in (second, first):
            await page.wait_for_url("**/sign-in")


async def test_nobody_ends_the_session_of_another(house: Studio) -> None:
    cleo, dan = await house.gateway.add_account("cleo"), await house.gateway.add_account("dan")
    async with browsing(house.url) as hers, browsing(house.url) as his:
        await hers.ask("POST", "/gate/v1/session", status=201, json={"api_key": cleo.key})
        await his.ask("POST", "/gate/v1/session", status=201, json={"api_key": dan.key})
        (session,) = (await hers.ask("GET", "/gate/v1/sessions"))["sessions"]
        for wrong in (session["id"], "nonsense", "0" * 16, "%00"):
            refused = await his.ask("DELETE", f"/gate/v1/sessions/{wrong}", status=404)
            assert refused["error"]["code"] == "not_found"
        assert (await hers.ask("GET", "/gate/v1/session"))["account"]["id"] == cleo.id
        by_key = await cleo.call("GET", "/gate/v1/session")
        assert by_key["expires_at"] is None
        await hers.ask("DELETE", f"/gate/v1/sessions/{session['id']}", status=204)
        await hers.ask("GET", "/gate/v1/account", status=401)
