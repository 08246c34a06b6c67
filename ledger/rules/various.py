"""What else moves: balances carried over, adjustments, reserves, fees of a comp, Stripe's payouts and account fees."""

from __future__ import annotations

from ledger import accounts
from ledger.entry import Entry, Posting, posting


def _entry(
    source_type: str,
    source_id: str,
    kind: str,
    description: str,
    effective_at: int,
    postings: list[Posting],
    organizer: str | None = None,
    event: str | None = None,
) -> Entry:
    return Entry(
        source_type=source_type,
        source_id=source_id,
        kind=kind,
        effective_at=effective_at,
        description=description,
        postings=tuple(postings),
        organizer=organizer,
        event=event,
    )


def opening(
    *, source: str, organizer: str, currency: str, amount: int, reason: str, effective_at: int
) -> Entry:
    """A balance carried over from elsewhere: `amount` > 0 is owed to the organizer."""
    postings = posting(accounts.opening(currency), amount)
    postings += posting(accounts.payable(organizer, currency), -amount, None, "opening")
    return _entry("opening", source, "opening", reason, effective_at, postings, organizer)


def adjustment(
    *,
    source: str,
    organizer: str,
    currency: str,
    amount: int,
    against: str,
    reason: str,
    effective_at: int,
    event: str | None = None,
) -> Entry:
    """A correction by hand: `amount` > 0 in the organizer's favour, against an account of ours."""
    postings = posting(against, amount)
    postings += posting(accounts.payable(organizer, currency), -amount, event, "adjustments")
    return _entry("adjustment", source, "adjustment", reason, effective_at, postings, organizer, event)


def reserve(
    *,
    source: str,
    kind: str,
    organizer: str,
    currency: str,
    amount: int,
    event: str | None,
    effective_at: int,
) -> Entry:
    """`amount` > 0 moves from payable into the reserve, below zero comes back."""
    postings = posting(accounts.payable(organizer, currency), amount, event, "held")
    postings += posting(accounts.reserve(organizer, currency), -amount, event, "held")
    return _entry("reserve", source, kind, "Reserve", effective_at, postings, organizer, event)


def comp_fee(
    *, guest: str, organizer: str, event: str, currency: str, amount: int, effective_at: int
) -> Entry:
    """The fee of a ticket given away. Without one nothing is booked."""
    postings = posting(accounts.payable(organizer, currency), amount, event, "platform_fees")
    postings += posting(accounts.platform_fee(currency), -amount)
    return _entry("guest", guest, "comp", "Fee of a comp ticket", effective_at, postings, organizer, event)


def bank_payout(*, transaction: str, currency: str, amount: int, effective_at: int) -> Entry:
    """Stripe's payout to the platform's bank; below zero: one that came back."""
    postings = posting(accounts.bank(currency), amount) + posting(accounts.clearing(currency), -amount)
    kind = "bank_payout" if amount > 0 else "bank_payout_failed"
    return _entry("balance_transaction", transaction, kind, "Payout to the bank", effective_at, postings)


def stripe_fee(*, transaction: str, currency: str, amount: int, description: str, effective_at: int) -> Entry:
    """A fee that belongs to no payment (Radar, Connect, tax on fees)."""
    postings = posting(accounts.processing_fee(currency), amount)
    postings += posting(accounts.clearing(currency), -amount)
    return _entry("balance_transaction", transaction, "stripe_fee", description, effective_at, postings)
