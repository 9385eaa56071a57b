"""What somebody does to jobs they have: look, ask why, cancel, get the results once more."""

from __future__ import annotations

from datetime import UTC, datetime

from comfygate.bot import ordering
from comfygate.bot.keyboards import Button, said
from comfygate.bot.teller import title_of
from comfygate.bot.turn import Turn
from comfygate.bot.words import Html
from comfygate.domain.errors import NotFound
from comfygate.gate import submit, views
from comfygate.gate.views import JobView
from comfygate.gate.why import reason_of
from comfygate.store import telegram_orders as orders_store

SHOWN = 10
ENDED = frozenset({"succeeded", "failed", "canceled", "expired"})
MARKS = {
    "queued": "⏳", "running": "⚙", "canceling": "✋", "succeeded": "✅", "failed": "⚠", "canceled": "✖",
    "expired": "⌛",
}  # fmt: skip


async def listed(turn: Turn) -> None:
    """The newest jobs of the account."""
    page = await views.list_jobs(turn.house.ctx, turn.owner.id, statuses=[], limit=SHOWN, cursor=None)
    if not page.jobs:
        await turn.say(turn.words("job.none"), [[Button(turn.words.plain("button.menu"), said("m"))]])
        return
    lines = [turn.words("job.list"), *(_row(turn, view) for view in page.jobs)]
    await turn.say(Html("\n".join(lines)))


def _row(turn: Turn, view: JobView) -> Html:
    when = datetime.fromtimestamp(view.job.created_at_ms / 1000, UTC).strftime("%m-%d %H:%M")
    return turn.words("job.row", mark=MARKS[view.status], title=_title(turn, view), when=when)


def _title(turn: Turn, view: JobView) -> str:
    name, style = view.job.workflow_name, view.job.style
    return title_of(turn.house.ctx, name, style, turn.words) or view.job.id[-8:]


async def cancel(turn: Turn) -> None:
    """Drop the open order, else offer the jobs that can still be canceled."""
    if await ordering.drop_open(turn):
        return
    statuses = ["queued", "running"]
    page = await views.list_jobs(turn.house.ctx, turn.owner.id, statuses=statuses, limit=SHOWN, cursor=None)
    if not page.jobs:
        await turn.say(turn.words("job.nothing_to_cancel"))
        return
    rows = [[Button(f"✖ {_title(turn, view)}", said("jc", view.job.id))] for view in page.jobs]
    await turn.say(turn.words("job.pick_to_cancel"), rows)


async def pressed(turn: Turn, verb: str, job_id: str) -> None:
    """A button under a job's message was pressed; another account's job is as good as none."""
    ctx, words = turn.house.ctx, turn.words
    try:
        view = await views.get_job(ctx, job_id, turn.owner.id)
    except NotFound:
        await turn.notice(words.plain("job.gone"))
        return
    match verb:
        case "jw":
            await turn.notice(await _why(turn, view), alert=True)
        case "jc":
            await _cancel(turn, view)
        case "jn":
            told = await ctx.store.read(orders_store.get_told, job_id)
            if told is None or told.telegram_id != turn.user.id:
                await turn.notice(words.plain("order.stale"))
                return
            await ordering.once_more(turn, told)
        case _:
            await _send(turn, view, as_files=verb == "jf")


async def _why(turn: Turn, view: JobView) -> str:
    _, reason = await reason_of(turn.house.ctx, view.job.id, turn.owner.id)
    key = f"why.{reason.code}"
    return turn.words.plain(key if turn.words.has(key) else "why.other", why=reason.sentence)


async def _cancel(turn: Turn, view: JobView) -> None:
    if view.status in ENDED:
        await turn.notice(turn.words.plain("job.ended_already"))
        return
    after = await submit.cancel(turn.house.ctx, view.job.id, turn.owner.id)
    ended = after.status in ENDED and after.status != "canceled"
    await turn.notice(turn.words.plain("job.ended_already" if ended else "job.cancel_asked"))


async def _send(turn: Turn, view: JobView, *, as_files: bool) -> None:
    told = await turn.house.ctx.store.read(orders_store.get_told, view.job.id)
    if told is None or not view.outputs:
        await turn.notice(turn.words.plain("job.gone"))
        return
    await turn.notice(turn.words.plain("job.sending_again"))
    sent = await turn.house.teller.deliver(told, view.outputs, f"update {turn.update_id}", as_files)
    for name, address in sent.links if sent is not None else ():
        shown = turn.words("job.link", name=name, address=Html(address.replace("&", "&amp;")))
        await turn.say(shown if address else turn.words("job.too_large", name=name))
