"""What happens in this process, for the other replicas, and theirs for us: bells, statuses, progress,
cancels.

Every message is a wake-up or repeats what the database says, so a lost one costs time only: each loop polls,
each follower looks at its job after some seconds of silence. Messages are gathered for a moment and sent
together. With SQLite there is nobody else, and nothing is sent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import structlog

from comfygate.domain.errors import StoreTrouble
from comfygate.gate.context import CANCEL, HEALTH, OUTBOX, SERVERS, TELEGRAM, Context, lane_bell
from comfygate.gate.live import ProgressEvent, StatusEvent
from comfygate.store import notify
from comfygate.store.notify import PAYLOAD_BYTES_MAX, Listener

GATHER_SECONDS = 0.025
"""How long messages are gathered before they are sent."""
WAITING_MAX = 10_000
"""Messages that may wait while the database is away; what is more is not said."""

Json = dict[str, Any]

log = structlog.get_logger(__name__)


class Across:
    """This process's end of the line. `tell` is how a status heard is passed on to who watches here."""

    def __init__(self, ctx: Context, tell: Callable[[str, str, StatusEvent, str], None]) -> None:
        self._ctx = ctx
        self._tell = tell
        self._waiting: dict[tuple[str, str], Json] = {}
        self._more = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Until cancelled. Only where there can be others (`listen_url`)."""
        assert self._ctx.listen_url is not None  # noqa: S101 - see above
        listener = Listener(
            self._ctx.listen_url,
            heard=lambda payload: self._soon(self._heard, payload),
            connected=lambda: self._soon(self._wake_all),
        )
        ctx = self._ctx
        ctx.bells.on_ring, ctx.live.on_progress = self.rang, self.progressed
        listener.start()
        try:
            while True:
                await self._more.wait()
                await asyncio.sleep(GATHER_SECONDS)
                await self._send()
        finally:
            ctx.bells.on_ring = ctx.live.on_progress = None
            await asyncio.to_thread(listener.stop)

    def rang(self, topic: str) -> None:
        """A bell rang here."""
        if topic in {HEALTH, OUTBOX, SERVERS, TELEGRAM} or topic.startswith((lane_bell(""), CANCEL)):
            self._say(("bell", topic), {"bell": topic})

    def progressed(self, job_id: str, event: ProgressEvent) -> None:
        """A job got further here; a newer word takes the place of one not yet sent."""
        self._say(("progress", job_id), {"job": job_id, "progress": asdict(event)})

    def told(self, job_id: str, lane: str, event: StatusEvent, account_id: str) -> None:
        """This process told a status, as the one that reads the outbox."""
        status = {"job": job_id, "lane": lane, "status": event.status, "position": event.position}
        status["account"] = account_id
        self._say(("status", f"{job_id} {len(self._waiting)}"), {**status, "again": event.again})

    def _say(self, key: tuple[str, str], message: Json) -> None:
        if self._ctx.listen_url is None or len(self._waiting) >= WAITING_MAX:
            return
        self._waiting[key] = message
        self._more.set()

    async def _send(self) -> None:
        waiting, self._waiting = self._waiting, {}
        self._more.clear()
        payloads = list(_packed(self._ctx.owner, list(waiting.values())))
        try:
            await self._ctx.store.run(notify.call_out, payloads)
        except StoreTrouble as error:
            log.info("replicas.not_told", messages=len(waiting), error=error.message)

    def _soon(self, act: Callable[..., None], *given: Any) -> None:
        """Do it in the event loop, from the listener's thread; nothing once that is closed."""
        try:
            self._loop.call_soon_threadsafe(act, *given)
        except RuntimeError:
            log.debug("listener.too_late")

    def _heard(self, payload: str) -> None:
        try:
            said = json.loads(payload)
            if said["from"] == self._ctx.owner:
                return
            for message in said["said"]:
                self._take(message)
        except (ValueError, KeyError, TypeError) as error:
            # A replica of another version, or a stranger on the channel.
            log.warning("replicas.not_understood", error=repr(error))

    def _take(self, message: Mapping[str, Any]) -> None:
        match message:
            case {"bell": str(topic)}:
                signal = self._ctx.cancels.get(topic.removeprefix(CANCEL))
                if signal is not None:
                    signal.set()
                self._ctx.bells.ring(topic, from_outside=True)
            case {"job": str(job_id), "progress": dict(values)}:
                self._ctx.live.publish(job_id, ProgressEvent(**values), from_outside=True)
            case {"job": str(job_id), "lane": str(lane), "status": str(status), "position": place, **rest}:
                event = StatusEvent(status, place, again=bool(rest.get("again")))
                self._tell(job_id, lane, event, str(rest.get("account", "")))
            case _:
                log.debug("replicas.unknown_message", keys=sorted(message))

    def _wake_all(self) -> None:
        """Something may have been missed: whoever waits looks."""
        for topic in (HEALTH, OUTBOX, SERVERS, *map(lane_bell, self._ctx.rules.lanes)):
            self._ctx.bells.ring(topic, from_outside=True)
        self._ctx.live.doubt()


def goodbye(owner: str) -> str:
    """What a process says that stops and let its leases go: there are servers to take."""
    return _framed(owner, [json.dumps({"bell": SERVERS})])


def _packed(sender: str, messages: list[Json]) -> Iterator[str]:
    """The messages as payloads that PostgreSQL takes; one too large for that is left out."""
    frame = len(json.dumps({"from": sender, "said": []}))
    part: list[str] = []
    size = frame
    for message in messages:
        text = json.dumps(message)
        # json.dumps writes ASCII, so characters are bytes.
        if size + len(text) + 2 > PAYLOAD_BYTES_MAX and part:
            yield _framed(sender, part)
            part, size = [], frame
        if frame + len(text) <= PAYLOAD_BYTES_MAX:
            part.append(text)
            size += len(text) + 2
    if part:
        yield _framed(sender, part)


def _framed(sender: str, texts: list[str]) -> str:
    return f'{{"from": {json.dumps(sender)}, "said": [{", ".join(texts)}]}}'
