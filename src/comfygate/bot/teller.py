"""Tells chats of their jobs: one message a job, edited in place, then the results, then the balance.

What a message reads is made anew from the job each time, so nothing depends on having heard every event; the
outbox marks the jobs to which something happened, and after a crash every job whose end was not told is
looked at again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
from aiogram.methods import EditMessageText, SendMessage
from aiogram.types import LinkPreviewOptions

from comfygate.bot.courier import Courier, Fate
from comfygate.bot.keyboards import keyboard
from comfygate.bot.pacer import Haste
from comfygate.bot.parcels import Packed, Parcel, as_documents, method_for, packed
from comfygate.bot.rules import BotRules
from comfygate.bot.status import Facts, buttons_of, text_of
from comfygate.bot.words import Words
from comfygate.domain.errors import GateError, NotFound, ServerTrouble
from comfygate.domain.job import TERMINAL, JobState
from comfygate.gate import accounts, views
from comfygate.gate.context import Context, heard
from comfygate.gate.eta import eta_of
from comfygate.gate.live import ProgressEvent, StatusEvent, Watch
from comfygate.gate.views import JobView
from comfygate.store import telegram_orders as orders_store
from comfygate.store.rows import AssetRow
from comfygate.store.telegram_orders import ToldJob

DUE_SECONDS = 1.0
"""Between two looks at what the outbox marked; live events come sooner."""
LATER_SECONDS = 5.0
"""Before another try where Telegram or the store could not be reached."""
ETA_SECONDS = 10.0
"""An estimate is made anew at most so often for one job."""
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _State:
    """What is known of a job besides the store."""

    place: int | None = None
    again: bool = False
    progress: ProgressEvent | None = None
    seconds: tuple[float, float] | None = None
    seconds_at: float = float("-inf")
    edited_at: float = float("-inf")
    news: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Teller:
    """Follows every job that a chat is told about."""

    def __init__(self, ctx: Context, rules: BotRules, courier: Courier) -> None:
        self._ctx = ctx
        self._rules = rules
        self._courier = courier
        self._following: dict[str, asyncio.Task[None]] = {}
        self._states: dict[str, _State] = {}

    async def run(self) -> None:
        """Follow what is not told yet, and whatever the outbox marks, until cancelled."""
        try:
            for told in await self._ctx.store.read(orders_store.untold):
                self.follow(told)
            while True:
                for job_id in await self._ctx.store.run(orders_store.take_due):
                    await self._wake(job_id)
                await asyncio.sleep(DUE_SECONDS)
        finally:
            tasks = list(self._following.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def follow(self, told: ToldJob) -> None:
        """Tell about this job from now on."""
        if told.job_id not in self._following:
            task = asyncio.create_task(self._follow(told), name=f"tell {told.job_id}")
            self._following[told.job_id] = task
            task.add_done_callback(lambda _: self._forget(told.job_id))

    def _forget(self, job_id: str) -> None:
        self._following.pop(job_id, None)
        self._states.pop(job_id, None)

    async def _wake(self, job_id: str) -> None:
        if (state := self._states.get(job_id)) is not None:
            state.news.set()
            return
        told = await self._ctx.store.read(orders_store.get_told, job_id)
        if told is not None and told.told_at_ms is None:
            self.follow(told)

    async def _follow(self, told: ToldJob) -> None:
        state = self._states[told.job_id] = _State(place=told.place)
        while True:
            try:
                await self._tell(told, state)
            except NotFound:
                await self._ctx.store.run(orders_store.note_told, told.job_id, self._ctx.now_ms())
                return
            except GateError as error:
                log.warning("telegram.telling_waits", job=told.job_id, error=error.code)
            except Exception:
                # The end of a job is owed to its chat: after a bug it is tried again, as after trouble.
                log.exception("telegram.telling_broke", job=told.job_id)
            else:
                return
            await asyncio.sleep(LATER_SECONDS)
            found = await self._ctx.store.read(orders_store.get_told, told.job_id)
            told = found or told

    async def _tell(self, told: ToldJob, state: _State) -> None:
        """Until the end was told. Raises GateError, and NotFound for a job that is there no more."""
        ctx = self._ctx
        lane = (await views.get_job(ctx, told.job_id, None)).job.lane
        with ctx.live.watch(told.job_id, lane) as watch:
            listening = asyncio.create_task(self._listen(watch, state))
            try:
                while True:
                    state.news.clear()
                    view = await views.get_job(ctx, told.job_id, None)
                    if view.job.state in TERMINAL:
                        break
                    told = await self._show(told, view, state)
                    await self._news(view, state)
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
        if not await self._end(told):
            raise ServerTrouble("Telegram cannot be reached")

    async def _news(self, view: JobView, state: _State) -> None:
        """Wait for something new; between two edits that only show progress some time passes."""
        await heard(state.news, ETA_SECONDS)
        if view.job.state is JobState.RUNNING and state.progress is not None:
            loop = asyncio.get_running_loop()
            wait = state.edited_at + self._rules.progress_seconds - loop.time()
            while wait > 0:
                state.news.clear()
                if not await heard(state.news, wait) or not self._ctx.live.progress_of(view.job.id):
                    return
                wait = state.edited_at + self._rules.progress_seconds - loop.time()

    @staticmethod
    async def _listen(watch: Watch, state: _State) -> None:
        async for event in watch:
            if isinstance(event, StatusEvent):
                state.again = state.again or event.again
                if event.ends:
                    state.over.set()
                if event.status == "queued":
                    state.place = event.position if event.position is not None else state.place
            elif isinstance(event, ProgressEvent):
                state.progress = event
            else:
                continue
            state.news.set()

    async def _show(self, told: ToldJob, view: JobView, state: _State) -> ToldJob:
        """Bring the job's message up to date, if it reads anything else now."""
        facts = await self._facts(told, view, state)
        words = Words(told.language)
        if self._reads(words, facts) == told.shown:
            return told
        if told.message_id is None:
            return await self._show_now(told, facts, state)
        if not await self._turn(told.chat_id, state):
            return told
        try:
            # Time has passed: what is shown is as it is now.
            view = await views.get_job(self._ctx, told.job_id, None)
            if view.job.state in TERMINAL:
                return told
            return await self._show_now(told, await self._facts(told, view, state), state)
        finally:
            self._courier.turn_done()

    async def _show_now(self, told: ToldJob, facts: Facts, state: _State) -> ToldJob:
        place = facts.place if facts.status == "queued" else told.place
        told = await self._put(told, facts, haste=Haste.PROGRESS, turn=False, place=place)
        state.edited_at = asyncio.get_running_loop().time()
        return told

    async def _turn(self, chat_id: int, state: _State) -> bool:
        """Wait for a turn to show progress; False if the job ended first, which goes by a turn of its own."""
        turn = asyncio.create_task(self._courier.turn(chat_id, Haste.PROGRESS))
        over = asyncio.create_task(state.over.wait())
        ours = False
        try:
            done, _ = await asyncio.wait({turn, over}, return_when=asyncio.FIRST_COMPLETED)
            ours = over not in done
        finally:
            for task in (turn, over):
                task.cancel()
            await asyncio.gather(turn, over, return_exceptions=True)
            if not ours and not turn.cancelled():
                self._courier.turn_done()
        return ours

    async def _put(
        self, told: ToldJob, facts: Facts, *, haste: Haste, turn: bool, place: int | None
    ) -> ToldJob:
        """Show `facts` in the job's message; a new one where there is none any more."""
        words = Words(told.language)
        text, shown = text_of(words, facts), self._reads(words, facts)
        markup = keyboard(buttons_of(words, facts))
        message_id, fate = told.message_id, Fate.GONE
        if message_id is not None:
            fate = (
                await self._courier.edit(
                    told.chat_id,
                    EditMessageText(
                        chat_id=told.chat_id,
                        message_id=message_id,
                        text=text,
                        reply_markup=markup,
                        link_preview_options=NO_PREVIEW,
                    ),
                    haste=haste,
                    turn=turn,
                )
            ).fate
        ended = facts.status not in {"queued", "running", "canceling"}
        if message_id is None or (fate is Fate.GONE and ended):
            sent = await self._courier.once(
                f"job {told.job_id} {'end' if ended and message_id is not None else 'message'}",
                told.chat_id,
                SendMessage(
                    chat_id=told.chat_id, text=text, reply_markup=markup, link_preview_options=NO_PREVIEW
                ),
                haste=haste,
            )
            message_id, fate = sent.message_id or message_id, sent.fate
        if fate is Fate.LATER:
            return told
        return await self._note(told, message_id, shown, place)

    async def _note(self, told: ToldJob, message_id: int | None, shown: str, place: int | None) -> ToldJob:
        await self._ctx.store.run(orders_store.note_shown, told.job_id, message_id, shown, place)
        return ToldJob(
            told.job_id,
            told.chat_id,
            told.telegram_id,
            told.draft_id,
            told.language,
            message_id,
            shown,
            place,
        )

    @staticmethod
    def _reads(words: Words, facts: Facts) -> str:
        return text_of(words, facts)

    async def _facts(self, told: ToldJob, view: JobView, state: _State) -> Facts:
        job, ctx = view.job, self._ctx
        account = await accounts.get_account(ctx, job.account_id)
        place, came = None, False
        if view.status == "queued":
            place, came = await self._place(told, view)
        await self._estimate(view, state)
        return Facts(
            job_id=job.id,
            title=title_of(ctx, job.workflow_name, job.style, Words(told.language)),
            price=job.price,
            status=view.status,
            place=place,
            place_cap=ctx.rules.limits.position_cap,
            priority_came=came,
            again=job.attempt > 0 and view.status == "queued" and job.state is JobState.QUEUED,
            seconds=state.seconds if view.status == "queued" else None,
            progress=view.progress or state.progress,
            error_code=job.error.code if job.error else "",
            error_words=job.error.message if job.error else "",
            available=account.balance.available,
        )

    async def _place(self, told: ToldJob, view: JobView) -> tuple[int | None, bool]:
        """The place to show, and whether somebody with priority came. It never grows for another reason: a
        job that comes back to its own place before this one moves it back without being new."""
        place, shown = view.position, told.place
        if place is None or shown is None or place <= shown or shown == 0:
            return place, False
        came = await self._ctx.store.read(
            orders_store.came_before, told.job_id, self._ctx.rules.limits.position_cap
        )
        return (place, True) if came else (shown, False)

    async def _estimate(self, view: JobView, state: _State) -> None:
        now = asyncio.get_running_loop().time()
        if view.status != "queued" or now - state.seconds_at < ETA_SECONDS:
            return
        state.seconds_at = now
        eta = await eta_of(self._ctx, view.job.id, None)
        state.seconds = None if eta is None else (eta.ends.p50_ms / 1000, eta.ends.p90_ms / 1000)

    async def _end(self, told: ToldJob) -> bool:
        """Tell the end: results, then the last words with the balance. False to try again later."""
        ctx = self._ctx
        view = await views.get_job(ctx, told.job_id, None)
        facts = await self._facts(told, view, _State())
        if view.job.state is JobState.SUCCEEDED:
            sent = await self.deliver(told, view.outputs, f"job {told.job_id}", told.as_files)
            if sent is None:
                return False
            account = await accounts.get_account(ctx, view.job.account_id)
            facts = Facts(
                facts.job_id,
                facts.title,
                facts.price,
                facts.status,
                available=account.balance.available,
                doubtful=sent.doubtful,
                links=sent.links,
            )
        before = told.shown
        told = await self._put(told, facts, haste=Haste.RESULT, turn=True, place=told.place)
        if told.shown == before and before != self._reads(Words(told.language), facts):
            return False
        await ctx.store.run(orders_store.note_told, told.job_id, ctx.now_ms())
        return True

    async def deliver(
        self, told: ToldJob, outputs: Sequence[AssetRow], key: str, as_files: bool
    ) -> Delivered | None:
        """Send outputs, each part at most once for this key. None to try again later."""
        parts: Packed = packed(outputs, self._rules.send_bytes_max, as_files=as_files)
        doubtful = 0
        refused: list[AssetRow] = []
        for number, parcel in enumerate(parts.parcels):
            fate = await self._send(told, parcel, f"{key} part {number}")
            if fate is Fate.LATER:
                return None
            doubtful += fate is Fate.DOUBT
            refused += parcel.assets if fate is Fate.REFUSED else ()
        links = tuple(
            ((one.name or one.id).rpartition("/")[2], self._rules.link_to(one.id) or "")
            for one in (*refused, *parts.too_large)
        )
        return Delivered(doubtful, links)

    async def send_veiled(self, chat_id: int, parcel: Parcel, key: str) -> None:
        """Show an admin what screening holds, behind Telegram's veil."""
        method = method_for(self._ctx, parcel, chat_id, None, veiled=True)
        await self._courier.once(key, chat_id, method, cost=len(parcel.assets), upload=True)

    async def _send(self, told: ToldJob, parcel: Parcel, key: str) -> Fate:
        """One parcel; as files, if Telegram does not take it as pictures."""
        for attempt in (parcel, as_documents(parcel)):
            method = method_for(self._ctx, attempt, told.chat_id, told.message_id)
            cost = len(attempt.assets)
            sent = await self._courier.once(
                key, told.chat_id, method, haste=Haste.RESULT, cost=cost, upload=True
            )
            if sent.fate is not Fate.REFUSED:
                return sent.fate
            log.info("telegram.parcel_refused", job=told.job_id, kind=attempt.kind, words=sent.words)
        return Fate.REFUSED


@dataclass(frozen=True, slots=True)
class Delivered:
    """Outputs that were sent: how many parts are in doubt, and names with addresses of what could not be."""

    doubtful: int
    links: tuple[tuple[str, str], ...]


def title_of(ctx: Context, workflow: str, style: str, words: Words) -> str:
    """What was ordered, in the chat's language; its plain names once it left the catalogue."""
    found = ctx.shelf.now().workflows.get(workflow)
    if found is None:
        return " · ".join(name for name in (workflow, style) if name)
    named = found.styles.get(style)
    titles = [words.of(found.title.to_json())]
    if named is not None:
        titles.append(words.of(named.title.to_json()))
    return " · ".join(titles)
