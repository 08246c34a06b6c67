"""What a refund is: which tickets it voids, what goes back to the buyer, who bears which part of it. Source: MONEY.md section 5.

Promises: never more than was paid, part by part; whole tickets return their stored figures; a percentage is rounded
on the cumulative total; the last refund lands exactly on what was paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction

import msgspec

from engine.core.outcomes import Code, Outcome
from engine.core.refund_policy import NoRefund, RefundPolicy, Until
from ledger.money import quantum, round_half_even, split

ALL_BPS = 10_000


class PaidTicket(msgspec.Struct, frozen=True):
    """One ticket of the order with its stored price, minor units."""

    id: str
    tier: int
    status: str
    price: dict[str, int]

    @property
    def net(self) -> int:
        return self.price["face"] - self.price["discount"]


class Parts(msgspec.Struct, frozen=True):
    """Face, service fee and its tax as the buyer paid them; the fee an organizer had borne instead."""

    face: int = 0
    fee: int = 0
    tax: int = 0
    absorbed: int = 0
    absorbed_tax: int = 0

    def __add__(self, other: Parts) -> Parts:
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Parts(*(a + b for a, b in zip(mine, theirs, strict=True)))

    def __sub__(self, other: Parts) -> Parts:
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Parts(*(a - b for a, b in zip(mine, theirs, strict=True)))

    @property
    def amount(self) -> int:
        """What the buyer paid or gets."""
        return self.face + self.fee + self.tax


class Past(msgspec.Struct, frozen=True):
    """An earlier refund. `percent_bps` of `basis` where it was a percentage."""

    parts: Parts
    basis: int = 0
    percent_bps: int | None = None


class Asked(msgspec.Struct, frozen=True):
    """`tickets` None and `amount` None: the whole order. `percent_bps`: what of the price may go back."""

    tickets: tuple[str, ...] | None = None
    amount: int | None = None
    percent_bps: int = ALL_BPS
    keep_service_fee: bool = False
    override: bool = False


class Plan(msgspec.Struct, frozen=True):
    """`voids`: ids of tickets; `status`: of the order afterwards."""

    parts: Parts
    voids: tuple[str, ...]
    kept_fee: int
    basis: int
    percent_bps: int | None
    status: str


def allowed_bps(
    policy: RefundPolicy, starts_at: Sequence[datetime | None], now: datetime
) -> tuple[int, bool]:
    """(share that may go back, service fee kept) at `now`. Of several starts the one that is better for the buyer counts."""
    starts = [one for one in starts_at if one is not None]
    if isinstance(policy, NoRefund) or not starts:
        return 0, True
    start = max(starts)
    steps = [policy] if isinstance(policy, Until) else policy.steps
    for step in steps:
        if now <= start - timedelta(hours=step.hours_before):
            return step.percent_bps, policy.keep_service_fee
    return 0, policy.keep_service_fee


def paid_parts(tickets: Sequence[PaidTicket]) -> Parts:
    """What was paid for these tickets."""
    found = Parts()
    for ticket in tickets:
        price = ticket.price
        found += Parts(ticket.net, price["fee"], price["fee_tax"], price["absorbed"], price["absorbed_tax"])
    return found


def plan(tickets: Sequence[PaidTicket], past: Sequence[Past], asked: Asked, currency: str) -> Outcome:
    """`value`: Plan. Refusals: INVALID tickets are the caller's to find; here ALREADY_REFUNDED, CHECKED_IN,
    REFUND_NOT_ALLOWED, EXCEEDS_REFUNDABLE."""
    left = paid_parts(tickets)
    for one in past:
        left -= one.parts
    if asked.amount is not None:
        return _of_amount(tickets, left, asked)
    valid = [ticket for ticket in tickets if ticket.status != "void"]
    chosen = (
        valid if asked.tickets is None else [ticket for ticket in tickets if ticket.id in set(asked.tickets)]
    )
    if not chosen and asked.override and left.amount:
        return _rest(left, asked, valid)
    if not chosen or any(ticket.status == "void" for ticket in chosen):
        return Outcome(Code.ALREADY_REFUNDED)
    if not asked.override and any(ticket.status == "used" for ticket in chosen):
        return Outcome(Code.CHECKED_IN)
    if not asked.percent_bps:
        return Outcome(Code.REFUND_NOT_ALLOWED)
    return Outcome(Code.OK, _of_tickets(tickets, chosen, past, left, asked, quantum(currency)))


def _of_tickets(
    tickets: Sequence[PaidTicket],
    chosen: Sequence[PaidTicket],
    past: Sequence[Past],
    left: Parts,
    asked: Asked,
    step: int,
) -> Plan:
    worth = paid_parts(chosen)
    fee, tax = (0, 0) if asked.keep_service_fee else (worth.fee, worth.tax)
    basis = worth.face + fee + tax
    # A percentage is rounded once on everything it was ever taken of, so that many small refunds add up like one.
    before = [one for one in past if one.percent_bps is not None]
    exact = sum((Fraction(one.basis * (one.percent_bps or 0), ALL_BPS) for one in before), Fraction(0))
    exact += Fraction(basis * asked.percent_bps, ALL_BPS)
    wanted = round_half_even(exact, step) - sum(one.parts.amount for one in before)
    shares = split(max(0, min(wanted, basis)), [worth.face, fee, tax], step) if basis else [0, 0, 0]
    face, fee, tax = (
        min(part, limit) for part, limit in zip(shares, (left.face, left.fee, left.tax), strict=True)
    )
    back = (0, 0)
    if not asked.keep_service_fee and worth.face:
        back = (
            min(left.absorbed, _share(worth.absorbed, face, worth.face, step)),
            min(left.absorbed_tax, _share(worth.absorbed_tax, face, worth.face, step)),
        )
    voids = tuple(ticket.id for ticket in chosen)
    still = [ticket for ticket in tickets if ticket.status != "void" and ticket.id not in voids]
    return Plan(
        Parts(face, fee, tax, *back),
        voids,
        kept_fee=max(0, worth.fee + worth.tax - fee - tax),
        basis=basis,
        percent_bps=asked.percent_bps,
        status="partially_refunded" if still else "refunded",
    )


def _of_amount(tickets: Sequence[PaidTicket], left: Parts, asked: Asked) -> Outcome:
    """An amount is drawn on face first, and voids nothing unless nothing is left."""
    amount = asked.amount or 0
    room = left.face if asked.keep_service_fee else left.amount
    if amount > room:
        return Outcome(Code.EXCEEDS_REFUNDABLE, detail={"refundable": room})
    if not asked.override and amount > room * asked.percent_bps // ALL_BPS:
        return Outcome(Code.REFUND_NOT_ALLOWED)
    face = min(amount, left.face)
    fee = min(amount - face, left.fee)
    parts = Parts(face, fee, amount - face - fee)
    if not asked.keep_service_fee and left.face:
        parts += Parts(
            absorbed=_share(left.absorbed, face, left.face, 1),
            absorbed_tax=_share(left.absorbed_tax, face, left.face, 1),
        )
    gone = left.amount == amount
    voids = tuple(ticket.id for ticket in tickets if ticket.status != "void") if gone else ()
    status = (
        "refunded" if gone or all(ticket.status == "void" for ticket in tickets) else "partially_refunded"
    )
    return Outcome(Code.OK, Plan(parts, voids, 0, 0, None, status))


def _rest(left: Parts, asked: Asked, valid: Sequence[PaidTicket]) -> Outcome:
    """What is left of an order whose tickets are void already."""
    parts = Parts(left.face, absorbed=0) if asked.keep_service_fee else left
    if not parts.amount:
        return Outcome(Code.ALREADY_REFUNDED)
    return Outcome(Code.OK, Plan(parts, (), 0, 0, None, "refunded" if not valid else "partially_refunded"))


def _share(total: int, part: int, whole: int, step: int) -> int:
    return total if part == whole else round_half_even(Fraction(total * part, whole), step)


def organizers_part(
    tickets: Sequence[PaidTicket],
    chosen: Plan,
    past_paid: tuple[int, int],
    past: Parts,
    total: tuple[int, int],
    step: int,
) -> tuple[int, int]:
    """(face, fee given back) of a refund in the organizer's currency.

    `total`: of the order (net of discounts, fees borne) there; `past_paid`: of earlier refunds; `past`: their parts.
    Whole tickets take their share of the total by largest remainder; anything else is cumulative.
    """
    worth = paid_parts(tickets)
    voided = [ticket for ticket in tickets if ticket.id in set(chosen.voids)]
    if voided and chosen.parts.face == sum(ticket.net for ticket in voided) and not _uneven(past, tickets):
        shares = split(total[0], [ticket.net for ticket in tickets], step)
        face = sum(
            share for ticket, share in zip(tickets, shares, strict=True) if ticket.id in set(chosen.voids)
        )
    else:
        face = _cumulative(total[0], past.face + chosen.parts.face, worth.face, step) - past_paid[0]
    borne = worth.absorbed + worth.absorbed_tax
    given = past.absorbed + past.absorbed_tax + chosen.parts.absorbed + chosen.parts.absorbed_tax
    return face, _cumulative(total[1], given, borne, step) - past_paid[1]


def _cumulative(total: int, part: int, whole: int, step: int) -> int:
    return _share(total, part, whole, step) if whole else 0


def _uneven(past: Parts, tickets: Sequence[PaidTicket]) -> bool:
    """Whether earlier refunds were anything but whole tickets."""
    return past.face != sum(ticket.net for ticket in tickets if ticket.status == "void")
