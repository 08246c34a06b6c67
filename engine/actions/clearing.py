"""A payment's second step: its balance transaction, with the fee as Stripe states it, into the books.

Why a step of its own: at `payment_intent.succeeded` Stripe usually does not know it yet.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from engine.actions.context import Context
from engine.adapters import captures
from engine.core.pricing import Quote
from ledger import rules
from ledger.entry import to_row
from ledger.fx import Rate, minor_rate, stated_rate
from ledger.money import quantum, round_half_even
from ledger.rules.sale import Balance, OrganizerPart, organizer_part, organizers_share

FIRST_LOOK_SECONDS = 0.7


def rate_of(order: Any) -> Rate | None:
    """The rate an order was bought at; None where the organizer is paid in its currency."""
    fixed = order["purchase_rate"]
    return None if fixed is None else Rate(fixed["from"], fixed["to"], fixed["rate"])


def part_of(order: Any, quote: Quote) -> OrganizerPart:
    """The organizer's part of an order in their payout currency."""
    rate = rate_of(order)
    currency = quote.currency if rate is None else rate.target
    return organizer_part(quote.subtotal, quote.discount, quote.absorbed + quote.absorbed_tax, currency, rate)


def read_balance(document: dict[str, Any], currency: str, amount: int) -> Balance:
    """Stripe's balance transaction, as positive figures, of `amount` in the sale's currency."""
    there, converted = document["currency"], abs(document["amount"])
    if there == currency:
        return Balance(document["id"], there, converted, document["fee"])
    stated = document.get("exchange_rate")
    text = None if stated is None else format(Decimal(repr(stated)), "f")
    rate = stated_rate(amount, currency, converted, there, text)
    return Balance(document["id"], there, converted, document["fee"], rate)


async def clear(context: Context, payment: str) -> bool:
    """True once the payment's balance transaction is booked; False while Stripe does not know it.

    Raises what the Stripe port raises. Cancellation books nothing or all of it.
    """
    capture = await context.pool.run(captures.find, payment)
    if capture is None or capture["txn"] is not None:
        return True
    charge = capture["charge"] or (await context.stripe.payment(payment)).latest_charge
    if charge is None:
        return False
    found = (await context.stripe.charge(charge)).get("balance_transaction")
    if not isinstance(found, dict):
        return False
    await context.pool.transaction(
        captures.clear,
        payment,
        *book(capture, charge, found, context.settings.platform_country, context.now()),
    )
    return True


def book(
    capture: Any, charge: str, found: dict[str, Any], country: str, now: int
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any] | None]:
    """(facts, entries, lot) of a balance transaction."""
    quote = msgspec.convert(capture["quote"], Quote)
    currency, sold = capture["currency"], capture["kind"] == "sale"
    balance = read_balance(found, currency, capture["amount"])
    part = part_of(capture, quote) if sold else None
    fee, tax = (quote.fees + quote.absorbed, quote.tax + quote.absorbed_tax) if sold else (0, 0)
    who = {"order": capture["order_id"], "event": capture["event_id"], "organizer": capture["organizer"]}
    entries = [
        rules.clear(
            payment=capture["id"],
            country=country,
            currency=currency,
            amount=capture["amount"],
            balance=balance,
            fee=fee,
            tax=tax,
            part=part,
            effective_at=now,
            **who,
        )
    ]
    recharged = paid = 0
    if part is not None and capture["fee"].get("processing") == "organizer":
        recharged, paid = _recharge(balance, currency, part.currency, rate_of(capture))
        recharge = rules.recharge(
            balance=balance, payout_currency=part.currency, amount=paid, effective_at=now, **who
        )
        entries += [recharge] if recharge else []
    lot = None
    if part is not None and part.currency != balance.currency:
        lot = {
            "source": capture["id"],
            "order_id": capture["order_id"],
            "organizer": capture["organizer"],
            "payout_currency": part.currency,
            "balance_currency": balance.currency,
            "payout_left": part.payable - paid,
            "balance_left": organizers_share(balance, fee, tax) - (balance.fee if paid else 0),
        }
    facts = {
        "txn": balance.transaction,
        "txn_currency": balance.currency,
        "txn_amount": balance.amount,
        "txn_fee": balance.fee,
        "txn_rate": None if found.get("exchange_rate") is None else repr(found["exchange_rate"]),
        "recharged": recharged,
        "charge": charge,
    }
    return facts, [to_row(entry) for entry in entries], lot


def _recharge(balance: Balance, currency: str, payout: str, rate: Rate | None) -> tuple[int, int]:
    """A fee of the balance's currency in (the sale's, the organizer's)."""
    exact = Fraction(balance.fee) / balance.rate
    sold = round_half_even(exact, quantum(currency))
    if payout == balance.currency:
        return sold, balance.fee
    paid = exact * (minor_rate(rate) if rate else 1)
    return sold, round_half_even(paid, quantum(payout))
