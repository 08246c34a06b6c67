"""Money to an organizer: requested, executed at what it cost, or undone."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ledger import accounts
from ledger.entry import Entry, mirror, posting
from ledger.rules.sale import Balance, position

# One event's part of a payout: (event or None, amount).
Parts = Sequence[tuple[str | None, int]]


def payout_requested(*, payout: str, organizer: str, currency: str, parts: Parts, effective_at: int) -> Entry:
    """What is payable, set aside to be sent. `parts` add up to the payout."""
    payable = accounts.payable(organizer, currency)
    postings = [one for event, amount in parts for one in posting(payable, amount, event, "payouts")]
    postings += posting(accounts.in_transit(currency), -sum(amount for _, amount in parts))
    return Entry(
        source_type="payout",
        source_id=payout,
        kind="payout_requested",
        effective_at=effective_at,
        description="Payout requested",
        postings=tuple(postings),
        organizer=organizer,
    )


def payout_executed(
    *,
    payout: str,
    organizer: str,
    currency: str,
    amount: int,
    balance: Balance,
    booked: int | None,
    effective_at: int,
) -> Entry:
    """The transfer left our balance. In another currency `booked` is what the amount stood at there (None: unknown)."""
    postings = posting(accounts.in_transit(currency), amount)
    postings += posting(accounts.processing_fee(balance.currency), balance.fee)
    postings += posting(accounts.clearing(balance.currency), -(balance.amount + balance.fee))
    if balance.currency != currency:
        closed = balance.amount if booked is None else booked
        postings += position(currency, -amount) + position(balance.currency, closed)
        postings += posting(accounts.fx_gain_loss(balance.currency), balance.amount - closed)
    return Entry(
        source_type="payout",
        source_id=payout,
        kind="payout_executed",
        effective_at=effective_at,
        description="Payout executed",
        postings=tuple(postings),
        organizer=organizer,
    )


def payout_reversed(entry: Entry, source: str, effective_at: int, section: str = "payouts") -> Entry:
    """The mirror of a request or execution. `section` is `adjustments` when we asked for the money back."""
    back = mirror(entry, "payout", source, effective_at, f"{entry.description}, undone")
    if section == "payouts":
        return back
    moved = tuple(
        msgspec.structs.replace(one, section=section) if one.section else one for one in back.postings
    )
    return msgspec.structs.replace(back, postings=moved)
