"""What a basket costs: face, discount, service fee and its tax, for every ticket, exactly once rounded.

Promises: `total = subtotal − discount + fees + tax` for every line and for the quote; tickets add up to their line.
Source: MONEY.md sections 1 and 5, API.md section 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from ledger.money import MINIMUM, quantum, round_half_even, round_half_up, split

_BPS = 10_000


class FeeSchedule(msgspec.Struct, frozen=True):
    """`fixed` and `comp_fixed` in minor units of the event's currency."""

    percent_bps: int = 0
    fixed: int = 0
    basis: str = "ticket"
    mode: str = "passed_on"
    processing: str = "platform"
    disputes: str = "platform"
    comp_fixed: int = 0
    tax_bps: int = 0


class Priced(msgspec.Struct, frozen=True):
    """What pricing needs of a tier."""

    number: int
    price: int
    tax_bps: int = 0


class Discount(msgspec.Struct, frozen=True):
    """`percent_bps` of every matching ticket, or `amount` once per order. `tiers` None: all match."""

    percent_bps: int | None = None
    amount: int | None = None
    tiers: tuple[int, ...] | None = None


class TicketPrice(msgspec.Struct, frozen=True, gc=False):
    """Of one ticket. `fee` and `fee_tax` are what the buyer pays; `absorbed` what the organizer bears instead.

    `included_tax` is the part of the price that is tax: a memo, in nobody's books but the organizer's.
    """

    face: int
    discount: int
    fee: int
    fee_tax: int
    absorbed: int
    absorbed_tax: int
    included_tax: int


class QuoteLine(msgspec.Struct, frozen=True, gc=False):
    tier: int
    quantity: int
    unit_price: int
    unit_fee: int
    discount: int
    fees: int
    tax: int
    total: int
    tickets: tuple[TicketPrice, ...]


class Quote(msgspec.Struct, frozen=True, gc=False):
    currency: str
    lines: tuple[QuoteLine, ...]
    subtotal: int
    discount: int
    fees: int
    tax: int
    total: int
    absorbed: int
    absorbed_tax: int


def price_lines(
    lines: Sequence[tuple[Priced, int]], fees: FeeSchedule, promo: Discount | None, currency: str
) -> Quote:
    """The quote of a basket: lines are (tier, quantity ≥ 1), in the order the buyer gave them."""
    step = quantum(currency)
    faces = [[tier.price] * quantity for tier, quantity in lines]
    discounts = _discounts(lines, faces, promo, step)
    nets = [[f - d for f, d in zip(*pair, strict=True)] for pair in zip(faces, discounts, strict=True)]
    fee_of = _fees(nets, fees, step)
    flat_fees = [fee for line in fee_of for fee in line]
    fee_tax = round_half_up(Fraction(sum(flat_fees) * fees.tax_bps, _BPS), step)
    tax_of = iter(split(fee_tax, flat_fees, step))
    priced = []
    for (tier, quantity), face, discount, fee in zip(lines, faces, discounts, fee_of, strict=True):
        tickets = tuple(
            _ticket(f, d, c, next(tax_of), fees, _included(f - d, tier.tax_bps, step))
            for f, d, c in zip(face, discount, fee, strict=True)
        )
        priced.append(_line(tier, quantity, unit_fee(tier.price, fees, step), tickets))
    return Quote(
        currency,
        tuple(priced),
        subtotal=sum(sum(face) for face in faces),
        discount=sum(line.discount for line in priced),
        fees=sum(line.fees for line in priced),
        tax=sum(line.tax for line in priced),
        total=sum(line.total for line in priced),
        absorbed=sum(t.absorbed for line in priced for t in line.tickets),
        absorbed_tax=sum(t.absorbed_tax for line in priced for t in line.tickets),
    )


def _ticket(face: int, discount: int, fee: int, tax: int, fees: FeeSchedule, included: int) -> TicketPrice:
    if fees.mode == "absorbed":
        return TicketPrice(face, discount, 0, 0, fee, tax, included)
    return TicketPrice(face, discount, fee, tax, 0, 0, included)


def _line(tier: Priced, quantity: int, fee: int, tickets: tuple[TicketPrice, ...]) -> QuoteLine:
    discount = sum(t.discount for t in tickets)
    fees = sum(t.fee for t in tickets)
    tax = sum(t.fee_tax for t in tickets)
    total = tier.price * quantity - discount + fees + tax
    return QuoteLine(tier.number, quantity, tier.price, fee, discount, fees, tax, total, tickets)


def unit_fee(price: int, fees: FeeSchedule, step: int) -> int:
    """The list fee of one ticket before discounts; by order, its percent part. Absorbed fees show as 0."""
    if fees.mode == "absorbed" or price == 0:
        return 0
    fixed = fees.fixed if fees.basis == "ticket" else 0
    return round_half_even(Fraction(price * fees.percent_bps, _BPS) + fixed, step)


def _discounts(
    lines: Sequence[tuple[Priced, int]], faces: list[list[int]], promo: Discount | None, step: int
) -> list[list[int]]:
    matches = [promo is not None and (promo.tiers is None or tier.number in promo.tiers) for tier, _ in lines]
    if promo is None or not any(matches):
        return [[0] * len(face) for face in faces]
    if promo.percent_bps is not None:
        rate = Fraction(promo.percent_bps, _BPS)
        return [
            [min(f, round_half_even(f * rate, step)) if match else 0 for f in face]
            for face, match in zip(faces, matches, strict=True)
        ]
    sums = [sum(face) if match else 0 for face, match in zip(faces, matches, strict=True)]
    parts = split(min(promo.amount or 0, sum(sums)), sums, step)
    return [
        split(part, face, step) if part else [0] * len(face) for part, face in zip(parts, faces, strict=True)
    ]


def _fees(nets: list[list[int]], fees: FeeSchedule, step: int) -> list[list[int]]:
    """Per ticket, on what is left of its price; a ticket at zero carries none."""
    rate = Fraction(fees.percent_bps, _BPS)
    if fees.basis == "ticket":
        return [[round_half_even(n * rate + fees.fixed, step) if n else 0 for n in line] for line in nets]
    flat = [n for line in nets for n in line]
    if not any(flat):
        return [[0] * len(line) for line in nets]
    fixed = iter(split(fees.fixed, flat, step))
    return [[round_half_even(n * rate, step) + next(fixed) for n in line] for line in nets]


def _included(net: int, tax_bps: int, step: int) -> int:
    return round_half_up(Fraction(net * tax_bps, _BPS + tax_bps), step) if tax_bps else 0


def below_minimum(total: int, currency: str) -> int | None:
    """The minimum of a card payment if a total above zero is under it, else None.

    A currency without a minimum of its own takes two quanta: Stripe then decides after conversion.
    """
    minimum = MINIMUM.get(currency, 2 * quantum(currency))
    return minimum if 0 < total < minimum else None
