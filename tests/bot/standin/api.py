"""A stand-in for Telegram's Bot API on a real port: the same wire, its limits and its errors."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from aiohttp import web

from tests.bot.standin.chats import Chat, Json
from tests.bot.standin.limits import Refused, Windows
from tests.bot.standin.methods import Methods
from tests.bot.standin.people import Person

TOKEN = "123456:TEST-token"
UNCOUNTED = {"getUpdates", "getMe", "setMyCommands", "deleteWebhook", "setWebhook"}


@dataclass
class Held:
    """A call that is stopped before or after its effect, until it is released."""

    method: str
    after_effect: bool
    saying: str = ""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: bool = False

    def wants(self, method: str, said: str) -> bool:
        """Whether it is this call that is to be stopped."""
        return self.method == method and self.saying in said and not self.arrived.is_set()

    async def reached(self) -> None:
        async with asyncio.timeout(30):
            await self.arrived.wait()

    def release(self) -> None:
        """Let the call go on."""
        self.go.set()

    def drop(self) -> None:
        """Let the call end without an effect that it did not have yet: its caller is dead."""
        self.dropped = True
        self.go.set()


class BotApi:
    """Telegram, for one bot."""

    def __init__(self, token: str = TOKEN, clock: Callable[[], float] = time.monotonic) -> None:
        self.token = token
        self.clock = clock
        self.windows = Windows(clock)
        self.chats: dict[int, Chat] = {}
        self.blocked: set[int] = set()
        self.files: dict[str, bytes] = {}
        self.queries: dict[str, int] = {}
        self.checkouts: dict[str, asyncio.Future[tuple[bool, str]]] = {}
        self.charges: dict[str, Json] = {}
        self.refunds: list[str] = []
        self.commands: dict[str, list[Json]] = {}
        self.calls: list[tuple[str, Json, float, int]] = []
        self.webhook: tuple[str, str] | None = None
        self.next_message = 100
        self._numbers = itertools.count(7000)
        self._pending: list[Json] = []
        self._news = asyncio.Condition()
        self._failures: deque[tuple[str, int | None, Refused | str]] = deque()
        self._held: list[Held] = []
        self._methods = Methods(self)
        self._poller = 0
        self._pushing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=200 * 1024 * 1024)
        app.router.add_route("*", "/bot{token}/{method}", self._call)
        app.router.add_get("/file/bot{token}/f/{file_id}", self._file)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for held in self._held:
            held.release()
        for task in self._pushing:
            task.cancel()
        await asyncio.gather(*self._pushing, return_exceptions=True)
        await self._runner.cleanup()

    def person(self, person_id: int, name: str, language: str = "en") -> Person:
        """Somebody with a private chat."""
        self.chats.setdefault(person_id, Chat(person_id))
        return Person(self, person_id, name, language)

    def group(self, chat_id: int) -> Chat:
        """A group that the bot is in."""
        return self.chats.setdefault(chat_id, Chat(chat_id))

    def new_message_id(self) -> int:
        self.next_message += 1
        return self.next_message

    @property
    def breaches(self) -> list[tuple[str, int, float]]:
        return self.windows.breaches

    def fail_next(self, method: str, what: Refused | str, chat: int | None = None) -> None:
        """Let the next such call fail: with a refusal; `close`, before any effect; `swallow`, after it."""
        self._failures.append((method, chat, what))

    def hold(self, method: str, *, after_effect: bool, saying: str = "") -> Held:
        """Stop the next such call, whose text says this, until it is released."""
        held = Held(method, after_effect, saying)
        self._held.append(held)
        return held

    async def push(self, update: Json) -> int:
        """A new update for the bot."""
        number = next(self._numbers)
        whole = {"update_id": number, **update}
        if self.webhook is not None:
            await self._deliver(whole)
            return number
        async with self._news:
            self._pending.append(whole)
            self._news.notify_all()
        return number

    def set_webhook(self, url: str, secret: str) -> None:
        self.webhook = (url, secret)

    async def _deliver(self, update: Json) -> None:
        assert self.webhook is not None
        url, secret = self.webhook
        async with aiohttp.ClientSession() as session:
            headers = {"X-Telegram-Bot-Api-Secret-Token": secret}
            async with session.post(url, json=update, headers=headers) as answer:
                assert answer.status == 200, await answer.text()

    async def updates_from(self, offset: int, seconds: float) -> list[Json]:
        """Long polling: confirms what is before `offset`, waits for more."""
        if self.webhook is not None:
            raise Refused(409, "Conflict: can't use getUpdates method while webhook is active")
        self._poller += 1
        mine = self._poller
        async with self._news:
            self._pending = [one for one in self._pending if one["update_id"] >= offset]
            self._news.notify_all()
            try:
                async with asyncio.timeout(min(seconds, 5.0)):
                    await self._news.wait_for(lambda: bool(self._pending) or self._poller != mine)
            except TimeoutError:
                return []
            if self._poller != mine:
                raise Refused(409, "Conflict: terminated by other getUpdates request")
            return self._pending[:100]

    async def _file(self, request: web.Request) -> web.Response:
        if request.match_info["token"] != self.token or request.match_info["file_id"] not in self.files:
            return web.Response(status=404)
        return web.Response(body=self.files[request.match_info["file_id"]])

    async def _call(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        if request.match_info["token"] != self.token:
            return web.json_response(Refused(401, "Unauthorized").to_json(), status=401)
        given = await _parameters(request)
        chat = int(given["chat_id"]) if "chat_id" in given else None
        failure = self._failure(name, chat)
        said = str(given.get("text", ""))
        held = next((one for one in self._held if one.wants(name, said)), None)
        if held is not None and not held.after_effect:
            await _stop(held)
            if held.dropped:
                return _cut(request)
        if failure == "close":
            return _cut(request)
        try:
            if isinstance(failure, Refused):
                raise failure
            body, status = {"ok": True, "result": await self._methods.call(name, given)}, 200
        except Refused as refused:
            body, status = refused.to_json(), refused.code
        if name not in UNCOUNTED:
            self.calls.append((name, given, self.clock(), status))
        if held is not None and held.after_effect:
            await _stop(held)
        if failure == "swallow":
            return _cut(request)
        return web.json_response(body, status=status)

    def _failure(self, name: str, chat: int | None) -> Refused | str | None:
        for one in list(self._failures):
            method, wanted, what = one
            if method == name and wanted in {None, chat}:
                self._failures.remove(one)
                return what
        return None


async def _stop(held: Held) -> None:
    held.arrived.set()
    await held.go.wait()


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _parameters(request: web.Request) -> dict[str, Any]:
    if request.content_type == "application/json":
        found: dict[str, Any] = await request.json()
        return found
    given: dict[str, Any] = dict(request.query)
    for name, value in (await request.post()).items():
        given[name] = (value.filename, value.file.read()) if isinstance(value, web.FileField) else value
    return given
