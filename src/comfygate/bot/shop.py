"""Credits from the chat: packs for Telegram Stars, codes, the daily check-in, bringing friends."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from aiogram import Bot
from aiogram.exceptions import TelegramAPIError, TelegramBadRequest
from aiogram.methods import AnswerPreCheckoutQuery, RefundStarPayment, SendInvoice
from aiogram.types import LabeledPrice, PreCheckoutQuery, SuccessfulPayment

from comfygate.bot.account import known
from comfygate.bot.keyboards import Button, said
from comfygate.bot.rules import Pack
from comfygate.bot.turn import House, Turn
from comfygate.bot.words import Html, Words
from comfygate.gate import accounts, purse
from comfygate.gate.context import Context
from comfygate.store import purse as purse_store

STARS: Final = "XTR"
"""Telegram's own currency (Bot API, payments in Stars)."""
REFUND_SECONDS: Final = 5.0
REFUNDS_MAX: Final = 20

log = structlog.get_logger(__name__)


async def packs(turn: Turn) -> None:
    """What can be bought."""
    words, offered = turn.words, turn.house.rules.packs
    if not offered:
        await turn.say(words("shop.no_packs"), [[Button(words.plain("button.redeem"), said("red"))]])
        return
    rows = [
        [
            Button(
                words.plain("button.pack", stars=one.stars, credits=one.credits),
                said("buy", one.stars, one.credits),
            )
        ]
        for one in offered
    ]
    await turn.say(words("shop.pick"), rows)


async def invoice(turn: Turn, stars: str, credits: str) -> None:
    """Send the invoice of a pack that is offered."""
    words = turn.words
    found = next(
        (one for one in turn.house.rules.packs if (str(one.stars), str(one.credits)) == (stars, credits)),
        None,
    )
    if found is None:
        await turn.notice(words.plain("order.stale"))
        return
    await turn.notice()
    turn.sends += 1
    await turn.house.courier.once(
        f"update {turn.update_id} {turn.sends}",
        turn.chat_id,
        SendInvoice(
            chat_id=turn.chat_id,
            title=words.plain("shop.title", n=found.credits),
            description=words.plain("shop.description", n=found.credits),
            payload=payload_of(found, turn.owner.id),
            currency=STARS,
            prices=[LabeledPrice(label=words.plain("shop.title", n=found.credits), amount=found.stars)],
            provider_token="",
        ),
    )


def payload_of(pack: Pack, account_id: str) -> str:
    """What an invoice promises: it holds even if the packs are others by the time it is paid."""
    return f"pack:{pack.stars}:{pack.credits}:{account_id}"


def _promised(payload: str) -> tuple[Pack, str] | None:
    parts = payload.split(":")
    if len(parts) != 4 or parts[0] != "pack" or not (parts[1].isdecimal() and parts[2].isdecimal()):
        return None
    return Pack(int(parts[1]), int(parts[2])), parts[3]


async def check(house: House, query: PreCheckoutQuery, words: Words) -> None:
    """Agree to a payment, within the ten seconds that Telegram gives, or say why not."""
    promised = _promised(query.invoice_payload)
    person = await known(house, query.from_user.id)
    account = await accounts.get_account(house.ctx, person.account_id)
    agreed = (
        promised is not None
        and promised[0] in house.rules.packs
        and query.currency == STARS
        and query.total_amount == promised[0].stars
        and account.disabled_at_ms is None
    )
    await house.courier.quick(
        AnswerPreCheckoutQuery(
            pre_checkout_query_id=query.id,
            ok=agreed,
            error_message=None if agreed else words.plain("shop.not_now"),
        )
    )


async def paid(turn: Turn, payment: SuccessfulPayment) -> None:
    """Stars were paid: the credits are granted, once, whatever became of the account or the order."""
    house, promised = turn.house, _promised(payment.invoice_payload)
    if promised is None or promised[0].stars != payment.total_amount:
        # Nothing of ours promised this; the operator finds it by its charge.
        log.error("telegram.payment_unknown", charge=payment.telegram_payment_charge_id, sender=turn.user.id)
        return
    pack, _ = promised
    person = await known(house, turn.user.id)
    fresh = await purse.paid(
        house.ctx,
        charge_id=payment.telegram_payment_charge_id,
        telegram_id=turn.user.id,
        account_id=person.account_id,
        stars=pack.stars,
        credits=pack.credits,
    )
    if fresh:
        account = await accounts.get_account(house.ctx, person.account_id)
        text = turn.words("shop.paid", n=pack.credits, balance=account.balance.available)
        await turn.say(text, [[Button(turn.words.plain("button.menu"), said("m"))]])


async def redeem(turn: Turn, code: str) -> None:
    """Redeem a code; without one, say how."""
    if not code:
        await turn.say(turn.words("shop.redeem_how"))
        return
    done = await purse.redeem(turn.house.ctx, turn.owner.id, code[:100])
    key = "shop.redeemed_before" if done.again else "shop.redeemed"
    await turn.say(turn.words(key, n=done.credits, balance=done.account.balance.available))


async def check_in(turn: Turn) -> None:
    """Today's credits."""
    credits = turn.house.rules.checkin_credits
    if not credits:
        await turn.say(turn.words("shop.no_checkin"))
        return
    given = await purse.check_in(turn.house.ctx, turn.owner.id, credits)
    account = await accounts.get_account(turn.house.ctx, turn.owner.id)
    key = "shop.checked_in" if given else "shop.checked_in_before"
    await turn.say(turn.words(key, n=credits, balance=account.balance.available))


async def invite(turn: Turn, username: str) -> None:
    """The link that brings somebody new."""
    credits = turn.house.rules.referral_credits
    if not credits:
        await turn.say(turn.words("shop.no_referral"))
        return
    address = f"https://t.me/{username}?start=ref_{turn.user.id}"
    await turn.say(turn.words("shop.invite", n=credits, address=Html(address)))


async def pay_support(turn: Turn) -> None:
    """Whom to write to about payments."""
    support = turn.house.rules.support
    await turn.say(
        turn.words("shop.support", support=support) if support else turn.words("shop.support_none")
    )


async def refunds(ctx: Context, bot: Bot) -> None:
    """Have Telegram give back the stars of payments that the operator refunds, until cancelled."""
    while True:
        for payment in await ctx.store.read(purse_store.refunds_waiting, REFUNDS_MAX):
            ask = RefundStarPayment(user_id=payment.telegram_id, telegram_payment_charge_id=payment.charge_id)
            try:
                await bot(ask)
            except TelegramBadRequest as error:
                if "ALREADY_REFUNDED" not in error.message:
                    log.error("telegram.refund_refused", charge=payment.charge_id, words=error.message)
                    await ctx.store.run(
                        purse_store.refund_refused, payment.charge_id, error.message, ctx.now_ms()
                    )
                    continue
            except TelegramAPIError as error:
                log.warning("telegram.refund_waits", charge=payment.charge_id, error=type(error).__name__)
                break
            await ctx.store.run(purse_store.refunded, payment.charge_id, ctx.now_ms())
        await asyncio.sleep(REFUND_SECONDS)
