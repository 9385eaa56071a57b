"""Conversations that end in a job: what is made of what, with which settings, at which price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aiogram.types import Message

from comfygate.bot.drafting import (
    Open,
    next_open,
    orders_of,
    takes,
    text_parameter,
    typed,
    with_files,
    with_workflow,
    without_first,
)
from comfygate.bot.files import sent_in, taken
from comfygate.bot.panels import panel, short
from comfygate.bot.turn import Turn
from comfygate.domain.errors import GateError, IdempotencyKeyReuse, InsufficientCredits, StoreTrouble
from comfygate.domain.workflow import FileKind, Kind, Order, Parameter, Workflow
from comfygate.gate import ordering
from comfygate.store import telegram_orders as orders_store
from comfygate.store.telegram_orders import Draft, ToldJob


async def menu(turn: Turn) -> None:
    """Begin an order anew."""
    draft = Draft(_name(turn), turn.chat_id, turn.user.id)
    await _present(turn, draft, anew=True)


def _name(turn: Turn) -> str:
    """What a draft is called that this update begins: the same if it has to be answered once more, so that
    the buttons that were sent lead to it still."""
    return f"{turn.update_id:x}"


async def _draft(turn: Turn) -> Draft | None:
    return await turn.house.ctx.store.read(orders_store.open_draft, turn.chat_id, turn.user.id)


def _workflow(turn: Turn, draft: Draft) -> Workflow | None:
    return turn.house.ctx.shelf.now().workflows.get(draft.workflow)


async def _present(turn: Turn, draft: Draft, *, view: str = "", page: int = 0, anew: bool = False) -> None:
    """Keep the draft and show it: in its message, or (`anew`) in a new one at the end of the chat."""
    ctx = turn.house.ctx
    shown = await panel(ctx, turn.owner, draft, turn.words, view=view, page=page)
    # First what it is, then how it looks: a crash in between shows an older look of it.
    await ctx.store.run(orders_store.save_draft, draft, ctx.now_ms())
    if anew or draft.message_id is None:
        before = draft.message_id
        message_id = await turn.say(shown.text, shown.rows)
        draft = replace(draft, message_id=message_id if message_id is not None else before)
        await ctx.store.run(orders_store.save_draft, draft, ctx.now_ms())
        if before is not None and message_id is not None:
            await turn.remove(before)
    else:
        await turn.notice()
        await turn.show(draft.message_id, shown.text, shown.rows)


async def files_came(turn: Turn, messages: Sequence[Message]) -> None:
    """Pictures or clips came, one or an album: they go into the order, or begin one."""
    house, found = turn.house, [one for one in map(sent_in, messages) if one is not None]
    if not found:
        await turn.say(turn.words("order.not_wanted"))
        return
    draft = await _draft(turn) or Draft(_name(turn), turn.chat_id, turn.user.id)
    workflow = _workflow(turn, draft)
    kind = found[0].kind
    if (workflow is None and kind is not FileKind.IMAGE) or (
        workflow is not None and not takes(workflow, kind)
    ):
        await turn.say(turn.words("order.not_wanted"))
        return
    most = house.rules.album_max
    if len(found) > most:
        await turn.say(turn.words("order.too_many", n=most))
    same = [one for one in found if one.kind is kind][:most]
    assets = [await taken(house, turn.owner.id, one) for one in same]
    draft = with_files(draft, workflow, [one.id for one in assets], kind)
    caption = next((one.caption for one in messages if one.caption), None)
    if workflow is not None and caption:
        draft = _with_text(draft, text_parameter(workflow), caption)
    await _present(turn, draft, anew=True)


def _with_text(draft: Draft, parameter: Parameter | None, text: str) -> Draft:
    """The text goes into the parameter. Raises InvalidRequest."""
    if parameter is None:
        return draft
    return replace(draft, chosen={**draft.chosen, parameter.name: typed(parameter, text)}, asked="")


async def text_came(turn: Turn, text: str) -> None:
    """Something was written that is no command: the value that was asked for, or the one text there is."""
    draft = await _draft(turn)
    workflow = _workflow(turn, draft) if draft is not None else None
    if draft is None or workflow is None:
        if turn.private:
            await turn.say(turn.words("order.text_not_needed"))
        return
    need, name = next_open(draft, workflow)
    parameter = workflow.parameters[name] if need is Open.VALUE else text_parameter(workflow)
    if need in {Open.STYLE, Open.FILE} or parameter is None:
        await turn.say(turn.words("order.text_not_needed"))
        return
    await _present(turn, _with_text(draft, parameter, text), anew=True)


async def pressed(turn: Turn, verb: str, draft_id: str, rest: Sequence[str]) -> None:
    """A button of an order was pressed. One of another person's, or of a draft that is gone, does nothing."""
    ctx = turn.house.ctx
    draft = await ctx.store.read(orders_store.draft_of, draft_id, turn.user.id)
    if draft is None or draft.chat_id != turn.chat_id or draft.state == "dropped":
        await turn.notice(turn.words.plain("order.stale"))
        return
    if draft.state == "placed":
        await turn.notice(turn.words.plain("order.placed_before"))
        return
    pressed_on = turn.callback.message if turn.callback is not None else None
    if pressed_on is not None and draft.message_id is None:
        draft = replace(draft, message_id=pressed_on.message_id)
    workflow = _workflow(turn, draft)
    argument = rest[0] if rest else ""
    match verb:
        case "x":
            await _drop(turn, draft)
        case "ok" if workflow is not None and next_open(draft, workflow)[0] is Open.NOTHING:
            await _place(turn, draft)
        case "wp" if argument.isdecimal() and len(argument) < 5:
            await _present(turn, draft, page=int(argument))
        case "e":
            await _present(turn, replace(draft, asked=""), view="settings")
        case _:
            changed = _changed(turn, draft, workflow, verb, rest)
            if changed is None:
                await turn.notice(turn.words.plain("order.stale"))
                return
            await _present(turn, changed, view="settings" if verb == "v" and draft.asked else "")


def _changed(
    turn: Turn, draft: Draft, workflow: Workflow | None, verb: str, rest: Sequence[str]
) -> Draft | None:
    """The draft after a choice; None for a choice that there is not."""
    mark = rest[0] if rest else ""
    if verb == "wb":
        loose = [one for ids in draft.files.values() for one in ids]
        return replace(draft, workflow="", style="", chosen={}, files={"": loose} if loose else {}, asked="")
    if verb == "w":
        listed = ordering.listed_for(turn.house.ctx, turn.owner.tier)
        found = next((one for one in listed if short(one.name) == mark), None)
        return with_workflow(draft, found) if found is not None else None
    if workflow is None:
        return None
    if verb == "b":
        return replace(draft, asked="")
    if verb == "sb":
        return replace(draft, style="", chosen={}, asked="")
    if verb == "s":
        names = ordering.styles_for(workflow, turn.owner.tier)
        style = next((name for name in names if short(name) == mark), None)
        return replace(draft, style=style, asked="") if style is not None else None
    parameter = next((one for one in workflow.parameters.values() if short(one.name) == mark), None)
    if parameter is None:
        return None
    if verb == "p":
        return replace(draft, asked=parameter.name)
    return _valued(draft, parameter, rest[1]) if verb == "v" and len(rest) == 2 else None


def _valued(draft: Draft, parameter: Parameter, choice: str) -> Draft | None:
    """The draft with the tapped value: `d` for what it is by itself, else a number of the choices."""
    chosen = dict(draft.chosen)
    if choice == "d":
        chosen.pop(parameter.name, None)
        if parameter.default is not None:
            chosen[parameter.name] = parameter.default
    elif parameter.kind is Kind.BOOL and choice in {"0", "1"}:
        chosen[parameter.name] = choice == "1"
    elif parameter.kind is Kind.CHOICE and choice.isdecimal() and int(choice) < len(parameter.choices):
        chosen[parameter.name] = parameter.choices[int(choice)]
    else:
        return None
    return replace(draft, chosen=chosen, asked="")


async def _drop(turn: Turn, draft: Draft) -> None:
    ctx = turn.house.ctx
    await ctx.store.run(orders_store.save_draft, replace(draft, state="dropped"), ctx.now_ms())
    await turn.reply(turn.words("order.dropped"))


async def drop_open(turn: Turn) -> bool:
    """Drop what is being ordered here; False if nothing is."""
    draft = await _draft(turn)
    if draft is None:
        return False
    ctx = turn.house.ctx
    await ctx.store.run(orders_store.save_draft, replace(draft, state="dropped"), ctx.now_ms())
    if draft.message_id is not None:
        await turn.remove(draft.message_id)
    await turn.say(turn.words("order.dropped"))
    return True


async def _place(turn: Turn, draft: Draft) -> None:
    """The draft becomes jobs, each of which is made once, however often this is done."""
    ctx, workflow = turn.house.ctx, _workflow(turn, draft)
    if workflow is None:
        await turn.notice(turn.words.plain("order.stale"))
        return
    told: list[ToldJob] = []
    refusal: GateError | None = None
    for number, order in enumerate(orders_of(draft, workflow)):
        try:
            job_id = await _ordered(turn, draft, workflow, order, number)
        except StoreTrouble:
            raise
        except GateError as error:
            refusal = error
            break
        message_id = draft.message_id if number == 0 else None
        told.append(
            ToldJob(job_id, turn.chat_id, turn.user.id, draft.id, turn.words.language, message_id=message_id)
        )
    if told:
        await ctx.store.run(orders_store.place, replace(draft, state="placed"), told, ctx.now_ms())
        await turn.notice(turn.words.plain("order.placed"))
        for one in told:
            turn.house.teller.follow(one)
    if refusal is not None:
        await _refused(turn, draft, workflow, len(told), refusal)


async def _refused(turn: Turn, draft: Draft, workflow: Workflow, placed: int, refusal: GateError) -> None:
    """Some of the draft could not be ordered: it is kept, with the reason. Raises `refusal` if that is not
    missing credits."""
    short = isinstance(refusal, InsufficientCredits)
    if placed:
        rest = without_first(draft, workflow, placed)
        await turn.say(turn.words("order.some_placed", n=placed))
        await _present(turn, replace(rest, id=_name(turn), message_id=None), anew=True)
    elif short:
        await turn.notice(turn.words.plain("order.short"), alert=True)
        await _present(turn, draft)
    if not short:
        raise refusal


async def _ordered(turn: Turn, draft: Draft, workflow: Workflow, order: Order, number: int) -> str:
    """The job that this part of the draft makes, or made before."""
    ctx, key = turn.house.ctx, f"telegram:{draft.id}:{number}"
    try:
        view = await ordering.order_job(ctx, turn.owner.id, workflow.name, order, idempotency_key=key)
    except IdempotencyKeyReuse:
        made = await ctx.store.read(orders_store.made_by_key, turn.owner.id, key)
        if made is None:
            raise
        return made
    return view.job.id


async def once_more(turn: Turn, told: ToldJob) -> None:
    """Begin an order with what an earlier one was made of."""
    ctx = turn.house.ctx
    before = await ctx.store.read(orders_store.draft_of, told.draft_id, turn.user.id)
    if before is None or ctx.shelf.now().workflows.get(before.workflow) is None:
        await turn.notice(turn.words.plain("order.stale"))
        return
    await turn.notice()
    draft = replace(before, id=_name(turn), state="open", message_id=None, asked="", chat_id=turn.chat_id)
    await _present(turn, draft, anew=True)
