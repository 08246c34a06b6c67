"""One pure posting rule per business fact: figures in, a balanced entry out. Source: MONEY.md section 3.

All amounts in minor units, all currencies in lower case, all times in µs.
"""

from __future__ import annotations

from ledger import accounts
from ledger.entry import Entry, posting


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
) -> Entry | None:
    """A payment that bought its order. `fee`, `fee_tax`: paid by the buyer; `absorbed…`: borne by the organizer.

    None when nothing was paid and nothing is owed.
    """
    gross = face - discount + fee + fee_tax
    payable = accounts.payable(organizer, currency)
    postings = (
        posting(accounts.uncleared(currency), gross)
        + posting(payable, -face, event, "gross")
        + posting(payable, discount, event, "discounts")
        + posting(payable, absorbed + absorbed_tax, event, "platform_fees")
        + posting(accounts.platform_fee(currency), -(fee + absorbed))
        + posting(accounts.tax(country, currency), -(fee_tax + absorbed_tax))
    )
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
