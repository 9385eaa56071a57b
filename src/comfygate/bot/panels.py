"""What an order in the making looks like: one message, whose buttons lead on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from comfygate.bot.drafting import Open, next_open, orders_of, takes, value_now
from comfygate.bot.keyboards import Button, Rows, in_rows, said
from comfygate.bot.teller import title_of
from comfygate.bot.words import Html, Words
from comfygate.domain.formula import Formula, FormulaError
from comfygate.domain.workflow import FileKind, Kind, Parameter, Workflow, numbers
from comfygate.gate import ordering
from comfygate.gate.context import Context
from comfygate.store.rows import AccountRow
from comfygate.store.telegram_orders import Draft

PAGE = 8
"""Workflows on one page."""
CHOICES_MAX = 24
VALUE_CHARS_MAX = 120


@dataclass(frozen=True, slots=True)
class Panel:
    """A message and its buttons."""

    text: Html
    rows: Rows


def short(name: str) -> str:
    """A name in eight characters, for buttons."""
    return hashlib.blake2s(name.encode(), digest_size=4).hexdigest()


def price_of(words: Words, workflow: Workflow, price: Formula) -> str:
    """A price as a button shows it: where it depends on parameters, what it is as long as none is changed."""
    asked = likely_price(workflow, price)
    if asked is None:
        return words.plain("price.formula")
    if price.names:
        return words.plain("price.from", n=credits(words, asked))
    return credits(words, asked) if asked else words.plain("price.free")


def likely_price(workflow: Workflow, price: Formula) -> int | None:
    """What it costs with every parameter as it is by itself; None where one must be given."""
    values = {name: one.default for name, one in workflow.parameters.items() if one.default is not None}
    try:
        return price.price(numbers(workflow, values))
    except FormulaError:
        return None


def credits(words: Words, amount: int) -> str:
    """An amount in words."""
    return words.plain("price.n", n=amount)


async def panel(
    ctx: Context, account: AccountRow, draft: Draft, words: Words, *, view: str = "", page: int = 0
) -> Panel:
    """The draft as it stands. `view`: `settings` for the list of parameters. Raises as `ordering.quote`."""
    workflow = ctx.shelf.now().workflows.get(draft.workflow)
    need, name = next_open(draft, workflow)
    if workflow is None or need is Open.WORKFLOW:
        return _workflows(ctx, account, draft, words, page)
    title = title_of(ctx, workflow.name, draft.style, words)
    if need is Open.STYLE:
        return _styles(account, draft, workflow, words)
    if need is Open.FILE:
        wanted = workflow.inputs[name]
        text = words(f"order.send_{wanted.kind.value}", title=title, input=words.of(wanted.title.to_json()))
        return Panel(text, [_leave(draft, workflow, words)])
    if need is Open.VALUE:
        return _value(draft, workflow, workflow.parameters[name], words, title)
    if view == "settings" and workflow.parameters:
        return _settings(draft, workflow, words, title)
    return await _summary(ctx, account, draft, workflow, words, title)


def _leave(draft: Draft, workflow: Workflow, words: Words) -> list[Button]:
    back = "sb" if workflow.styles else "wb"
    return [
        Button(words.plain("button.back"), said(back, draft.id)),
        Button(words.plain("button.drop"), said("x", draft.id)),
    ]


def _workflows(ctx: Context, account: AccountRow, draft: Draft, words: Words, page: int) -> Panel:
    pictures = len(draft.files.get("", ()))
    listed = [
        one for one in ordering.listed_for(ctx, account.tier) if not pictures or takes(one, FileKind.IMAGE)
    ]
    if not listed:
        return Panel(words("order.empty"), [])
    pages = (len(listed) + PAGE - 1) // PAGE
    page = min(max(page, 0), pages - 1)
    rows = []
    for one in listed[page * PAGE : (page + 1) * PAGE]:
        label = f"{words.of(one.title.to_json())} · {_from(one, account.tier, words)}"
        rows.append([Button(label, said("w", draft.id, short(one.name)))])
    turn = []
    if page > 0:
        turn.append(Button(words.plain("button.less"), said("wp", draft.id, page - 1)))
    if page + 1 < pages:
        turn.append(Button(words.plain("button.more"), said("wp", draft.id, page + 1)))
    text = words("order.pick_for", n=pictures) if pictures else words("order.pick")
    return Panel(text, [*rows, turn, [Button(words.plain("button.drop"), said("x", draft.id))]])


def _from(workflow: Workflow, tier: str, words: Words) -> str:
    """From which price on; marked if one of its styles is free."""
    if not workflow.styles:
        return price_of(words, workflow, workflow.price)
    prices = [workflow.styles[name].price for name in ordering.styles_for(workflow, tier)]
    likely = [likely_price(workflow, one) for one in prices]
    known = [one for one in likely if one is not None]
    if not known:
        return words.plain("price.formula")
    if min(known) == 0:
        return words.plain("price.free") if max(known) == 0 else words.plain("price.from_free")
    least = credits(words, min(known))
    same = len(set(likely)) == 1 and not any(one.names for one in prices)
    return least if same else words.plain("price.from", n=least)


def _styles(account: AccountRow, draft: Draft, workflow: Workflow, words: Words) -> Panel:
    names = ordering.styles_for(workflow, account.tier)
    buttons = []
    for name in names:
        style = workflow.styles[name]
        price = price_of(words, workflow, style.price)
        mark = " 🆓" if likely_price(workflow, style.price) == 0 else ""
        label = f"{words.of(style.title.to_json())} · {price}{mark}"
        buttons.append(Button(label, said("s", draft.id, short(name))))
    text = words(
        "order.style",
        title=words.of(workflow.title.to_json()),
        description=words.of(workflow.description.to_json()),
    )
    last = [
        Button(words.plain("button.back"), said("wb", draft.id)),
        Button(words.plain("button.drop"), said("x", draft.id)),
    ]
    return Panel(text, [*in_rows(buttons, 2), last])


def _value(draft: Draft, workflow: Workflow, parameter: Parameter, words: Words, title: str) -> Panel:
    named = words.of(parameter.title.to_json())
    mark = short(parameter.name)
    buttons: list[Button] = []
    match parameter.kind:
        case Kind.CHOICE:
            text = words("order.ask_choice", title=title, parameter=named)
            shown = list(enumerate(parameter.choices))[:CHOICES_MAX]
            buttons = [Button(str(one), said("v", draft.id, mark, number)) for number, one in shown]
        case Kind.BOOL:
            text = words("order.ask_choice", title=title, parameter=named)
            buttons = [
                Button(words.plain("button.yes"), said("v", draft.id, mark, 1)),
                Button(words.plain("button.no"), said("v", draft.id, mark, 0)),
            ]
        case Kind.TEXT:
            text = words("order.ask_text", title=title, parameter=named, chars=parameter.chars_max)
        case _:
            low = parameter.low if parameter.low is not None else "−∞"
            high = parameter.high if parameter.high is not None else "∞"
            text = words("order.ask_number", title=title, parameter=named, low=low, high=high)
    rows = in_rows(buttons, 3)
    if parameter.kind is Kind.SEED:
        rows.append([Button(words.plain("button.random"), said("v", draft.id, mark, "d"))])
    elif parameter.default is not None:
        label = words.plain("button.default", value=_shown(parameter.default, words))
        rows.append([Button(label, said("v", draft.id, mark, "d"))])
    if draft.asked:
        rows.append([Button(words.plain("button.back"), said("e", draft.id))])
    else:
        rows.append(_leave(draft, workflow, words))
    return Panel(text, rows)


def _shown(value: object, words: Words) -> str:
    if isinstance(value, bool):
        return words.plain("button.yes" if value else "button.no")
    if value is None:
        return words.plain("order.random")
    text = str(value)
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[: VALUE_CHARS_MAX - 1]}…"


def _settings(draft: Draft, workflow: Workflow, words: Words, title: str) -> Panel:
    buttons = [
        Button(
            f"{words.of(one.title.to_json())}: {_shown(value_now(draft, workflow, one), words)}",
            said("p", draft.id, short(one.name)),
        )
        for one in workflow.parameters.values()
    ]
    rows = [[one] for one in buttons]
    rows.append([Button(words.plain("button.back"), said("b", draft.id))])
    return Panel(words("order.settings", title=title), rows)


async def _summary(
    ctx: Context, account: AccountRow, draft: Draft, workflow: Workflow, words: Words, title: str
) -> Panel:
    orders = orders_of(draft, workflow)
    quote = await ordering.quote(ctx, account.id, workflow.name, orders[0])
    each, count = quote.charge.charged, len(orders)
    total = each * count
    lines = [words("order.summary", title=title)]
    lines += [
        words(
            "order.parameter",
            name=words.of(one.title.to_json()),
            value=_shown(value_now(draft, workflow, one), words),
        )
        for one in workflow.parameters.values()
    ]
    balance = credits(words, quote.account.balance.available)
    price = credits(words, total) if total else words.plain("price.free")
    if count > 1:
        lines.append(words("order.pictures", n=count))
        lines.append(words("order.price_many", count=count, each=each, price=price, balance=balance))
    else:
        lines.append(words("order.price", price=price, balance=balance))
    if quote.charge.discount:
        lines.append(words("order.discount", n=credits(words, quote.charge.discount * count)))
    rows: list[list[Button]] = []
    missing = total - quote.account.balance.available
    if missing > 0:
        lines.append(Html(""))
        lines.append(words("order.missing", title=title, price=price, balance=balance, n=missing))
        top_up = Button(words.plain("button.topup"), said("top"))
        rows.append([top_up, Button(words.plain("button.redeem"), said("red"))])
    rows.append([Button(words.plain("button.confirm", price=price), said("ok", draft.id))])
    if workflow.parameters:
        rows.append([Button(words.plain("button.settings"), said("e", draft.id))])
    rows.append(_leave(draft, workflow, words))
    return Panel(Html("\n".join(lines)), rows)
