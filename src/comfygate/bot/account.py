"""Who somebody is and what they have: the welcome, terms, balance, language, help."""

from __future__ import annotations

from datetime import UTC, datetime

from comfygate.bot import ordering
from comfygate.bot.keyboards import Button, said
from comfygate.bot.turn import House, Turn
from comfygate.bot.words import LANGUAGES, Html, Words, language_for
from comfygate.domain.credits import MOVES, Side
from comfygate.domain.errors import Conflict
from comfygate.gate import accounts, joining, purse, signing_in
from comfygate.store import telegram_users as users_store
from comfygate.store.engine import Connection
from comfygate.store.rows import EntryRow
from comfygate.store.telegram_users import TelegramUser

ENTRIES_SHOWN = 10
NAMES = {"en": "English", "zh": "中文"}


async def known(house: House, telegram_id: int, invited_by: int | None = None) -> TelegramUser:
    """The person, with an account, made if there is none; two at once make one."""
    ctx, rules = house.ctx, house.rules
    found = await ctx.store.read(users_store.find, telegram_id)
    if found is None:
        try:
            found = await ctx.store.run(
                _welcomed,
                ctx.new_id(),
                telegram_id,
                rules.tier,
                rules.first_credits,
                invited_by,
                ctx.now_ms(),
            )
        except Conflict:
            found = await ctx.store.read(users_store.find, telegram_id)
            if found is None:
                raise
    elif found.blocked_at_ms is not None:
        await ctx.store.run(users_store.set_blocked, telegram_id, None)
    return found


def _welcomed(
    conn: Connection,
    account_id: str,
    telegram_id: int,
    tier: str,
    credits: int,
    invited_by: int | None,
    now_ms: int,
) -> TelegramUser:
    if invited_by is not None and users_store.find(conn, invited_by) is None:
        invited_by = None
    return users_store.add(conn, telegram_id, account_id, tier, credits, now_ms, invited_by=invited_by)


async def start(turn: Turn) -> None:
    """The welcome; the terms, until they were accepted once."""
    words = turn.words
    hello = words("start.hello", name=turn.user.first_name[:64])
    if turn.person.terms_at_ms is None:
        await turn.say(Html(f"{hello}\n\n{_terms(turn)}"), _accept(words))
        return
    credits = words("start.credits", balance=turn.owner.balance.available)
    await turn.say(Html(f"{hello}\n\n{credits}"), [[Button(words.plain("button.menu"), said("m"))]])


def _terms(turn: Turn) -> Html:
    address = turn.house.rules.terms_url
    return turn.words("start.terms_link", address=address) if address else turn.words("start.terms")


def _accept(words: Words) -> list[list[Button]]:
    return [[Button(words.plain("button.accept"), said("t"))]]


async def ask_terms(turn: Turn) -> None:
    """Nothing goes before the terms."""
    await turn.notice()
    await turn.say(_terms(turn), _accept(turn.words))


async def accept(turn: Turn) -> None:
    """The terms were accepted."""
    ctx = turn.house.ctx
    await ctx.store.run(users_store.accept_terms, turn.user.id, ctx.now_ms())
    if turn.house.rules.referral_credits:
        await purse.referral(ctx, turn.user.id, turn.house.rules.referral_credits)
    await turn.reply(turn.words("start.accepted"))
    await ordering.menu(turn)


async def balance(turn: Turn) -> None:
    """The credits, with the newest entries."""
    words = turn.words
    if not turn.private:
        await turn.say(words("balance.private"))
        return
    account, entries = await accounts.entries(turn.house.ctx, turn.owner.id, limit=ENTRIES_SHOWN)
    lines = [words("balance.text", n=account.balance.available)]
    if account.balance.held:
        lines.append(words("balance.held", n=account.balance.held))
    lines += [_entry(words, entry) for entry in entries]
    buttons = [[Button(words.plain("button.menu"), said("m"))]]
    if turn.house.rules.packs:
        buttons[0].append(Button(words.plain("button.topup"), said("top")))
    await turn.say(Html("\n".join(lines)), buttons)


def _entry(words: Words, entry: EntryRow) -> Html:
    source, target = MOVES[entry.kind]
    sign = "−" if source is Side.AVAILABLE else "+" if target is Side.AVAILABLE else "·"
    when = datetime.fromtimestamp(entry.created_at_ms / 1000, UTC).strftime("%m-%d %H:%M")
    what = words(f"entry.{entry.kind.value}")
    return words("balance.entry", when=when, sign=sign, n=entry.amount, what=what)


async def link(turn: Turn, code: str) -> None:
    """Join this account with one elsewhere: give a code, or take one."""
    words, ctx = turn.words, turn.house.ctx
    if not turn.private:
        await turn.say(words("balance.private"))
    elif not code:
        made = await joining.link_code(ctx, turn.owner.id)
        await turn.say(
            words("link.code", code=made.code, n=round((made.expires_at_ms - ctx.now_ms()) / 60_000))
        )
    else:
        done = await joining.join(ctx, turn.owner.id, code[:100])
        await turn.say(words("link.joined", name=done.account.name, n=done.account.balance.available))


async def web(turn: Turn) -> None:
    """An address that signs in to the web, once."""
    words, house = turn.words, turn.house
    if not turn.private:
        await turn.say(words("balance.private"))
    elif not house.rules.web_url:
        await turn.say(words("web.none"))
    else:
        made = await signing_in.make_code(house.ctx, turn.owner.id)
        minutes = round((made.expires_at_ms - house.ctx.now_ms()) / 60_000)
        address = Html(signing_in.link_of(house.rules.web_url, made))
        await turn.say(words("web.link", address=address, n=minutes))


async def language(turn: Turn) -> None:
    """Ask for the language."""
    row = [Button(NAMES[name], said("l", name)) for name in LANGUAGES]
    await turn.say(turn.words("language.ask"), [row])


async def set_language(turn: Turn, name: str) -> None:
    """Speak this language from now on."""
    if name not in LANGUAGES:
        await turn.notice(turn.words.plain("order.stale"))
        return
    await turn.house.ctx.store.run(users_store.set_language, turn.user.id, name)
    turn.words = Words(language_for(name, None))
    await turn.reply(turn.words("language.set"))


async def help_(turn: Turn) -> None:
    """What the bot does."""
    text, support = turn.words("help.text"), turn.house.rules.support
    if support:
        text = Html(f"{text}\n\n{turn.words('help.support', support=support)}")
    await turn.say(text)
