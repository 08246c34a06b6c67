"""A payment: booked at its success, cleared when Stripe states what came of it, recharged where the organizer bears it."""

from __future__ import annotations

from fractions import Fraction

import msgspec

from ledger import accounts
from ledger.entry import Entry, Posting, posting
from ledger.fx import Rate, convert
from ledger.money import quantum, round_half_even


class OrganizerPart(msgspec.Struct, frozen=True):
    """An organizer's part of an order in their payout currency, all positive: gross − discounts − fees is payable."""

    currency: str
    gross: int
    discounts: int
    fees: int

    @property
    def payable(self) -> int:
        return self.gross - self.discounts - self.fees


class Balance(msgspec.Struct, frozen=True):
    """What a balance transaction says, positive. `rate`: minor units of `currency` for one of the sale's, exact."""

    transaction: str
    currency: str
    amount: int
    fee: int
    rate: Fraction = Fraction(1)

    def translate(self, amount: int) -> int:
        """An amount of the sale's currency in the balance's."""
        return round_half_even(amount * self.rate, quantum(self.currency))


def organizer_part(
    face: int, discount: int, absorbed: int, payout_currency: str, rate: Rate | None
) -> OrganizerPart:
    """The order's totals converted, each from its own exact figure: what is payable is rounded once."""
    gross = convert(face, rate)
    net = convert(face - discount, rate)
    payable = convert(face - discount - absorbed, rate)
    return OrganizerPart(payout_currency, gross, gross - net, net - payable)


def position(currency: str, amount: int) -> list[Posting]:
    return posting(accounts.fx_position(currency), amount)


def sale(
    *,
    payment: str,
    order: str,
    event: str,
    organizer: str,
    country: str,
    currency: str,
    face: int,
    discount: int,
    fee: int,
    fee_tax: int,
    absorbed: int,
    absorbed_tax: int,
    effective_at: int,
    part: OrganizerPart | None = None,
) -> Entry | None:
    """A payment that bought its order. `fee`, `fee_tax`: paid by the buyer; `absorbed…`: borne by the organizer.

    `part` is needed where the payout currency differs. None when nothing was paid and nothing is owed.
    """
    if part is None:
        part = OrganizerPart(currency, face, discount, absorbed + absorbed_tax)
    gross = face - discount + fee + fee_tax
    payable = accounts.payable(organizer, part.currency)
    postings = (
        posting(accounts.uncleared(currency), gross)
        + posting(payable, -part.gross, event, "gross")
        + posting(payable, part.discounts, event, "discounts")
        + posting(payable, part.fees, event, "platform_fees")
        + posting(accounts.platform_fee(currency), -(fee + absorbed))
        + posting(accounts.tax(country, currency), -(fee_tax + absorbed_tax))
    )
    if part.currency != currency:
        postings += position(currency, -(face - discount - absorbed - absorbed_tax))
        postings += position(part.currency, part.payable)
    if not postings:
        return None
    return Entry(
        source_type="payment_intent",
        source_id=payment,
        kind="sale",
        effective_at=effective_at,
        description="Tickets sold",
        postings=tuple(postings),
        organizer=organizer,
        event=event,
        order=order,
    )


def unmatched(
    *, payment: str, order: str, event: str, organizer: str, currency: str, amount: int, effective_at: int
) -> Entry:
    """A payment that buys nothing (late, double, of a wrong amount): owed back to the buyer. `amount` > 0."""
    return Entry(
        source_type="payment_intent",
        source_id=payment,
        kind="unmatched",
        effective_at=effective_at,
        description="Payment to be given back",
        postings=tuple(
            posting(accounts.uncleared(currency), amount)
            + posting(accounts.refund_payable(currency), -amount)
        ),
        organizer=organizer,
        event=event,
        order=order,
    )


def translated(country: str, currency: str, balance: Balance, fee: int, tax: int) -> list[Posting]:
    """Income of the platform booked in the sale's currency, moved to the balance's. Debits: the mirror (both negative)."""
    moved: list[Posting] = []
    for account_of, amount in (
        (accounts.platform_fee, fee),
        (lambda code: accounts.tax(country, code), tax),
    ):
        there = balance.translate(amount)
        moved += posting(account_of(currency), amount) + position(currency, -amount)
        moved += position(balance.currency, there) + posting(account_of(balance.currency), -there)
    return moved


def clear(
    *,
    payment: str,
    order: str,
    event: str,
    organizer: str,
    country: str,
    currency: str,
    amount: int,
    balance: Balance,
    fee: int,
    tax: int,
    part: OrganizerPart | None,
    effective_at: int,
) -> Entry:
    """The payment's balance transaction: what Stripe owes us now, and its fee as Stripe states it.

    `fee`, `tax`: the platform's, as booked in the sale. `part` None: an unmatched payment, nobody's share in it.
    FX is realised here when the organizer is paid in the balance's currency.
    """
    postings = (
        posting(accounts.clearing(balance.currency), balance.amount - balance.fee)
        + posting(accounts.processing_fee(balance.currency), balance.fee)
        + posting(accounts.uncleared(currency), -amount)
    )
    if balance.currency != currency:
        postings += position(currency, amount) + position(balance.currency, -balance.amount)
        postings += translated(country, currency, balance, fee, tax)
        if part is not None and part.currency == balance.currency:
            gain = organizers_share(balance, fee, tax) - part.payable
            postings += position(balance.currency, gain)
            postings += posting(accounts.fx_gain_loss(balance.currency), -gain)
    return Entry(
        source_type="balance_transaction",
        source_id=balance.transaction,
        kind="clear",
        effective_at=effective_at,
        description=f"Payment {payment} cleared",
        postings=tuple(postings),
        organizer=organizer,
        event=event,
        order=order,
    )


def organizers_share(balance: Balance, fee: int, tax: int) -> int:
    """What of a balance transaction stands for the organizer's part, in the balance's currency."""
    return balance.amount - balance.translate(fee) - balance.translate(tax)


def recharge(
    *,
    order: str,
    event: str,
    organizer: str,
    balance: Balance,
    payout_currency: str,
    amount: int,
    effective_at: int,
) -> Entry | None:
    """The processing fee put to the organizer at cost: `amount` of the payout currency for `balance.fee`."""
    if not balance.fee or not amount:
        return None
    postings = posting(
        accounts.payable(organizer, payout_currency), amount, event, "processing_fees"
    ) + posting(accounts.processing_fee(balance.currency), -balance.fee)
    if payout_currency != balance.currency:
        postings += position(payout_currency, -amount) + position(balance.currency, balance.fee)
    return Entry(
        source_type="balance_transaction",
        source_id=balance.transaction,
        kind="recharge",
        effective_at=effective_at,
        description="Processing fee",
        postings=tuple(postings),
        organizer=organizer,
        event=event,
        order=order,
    )
