"""What an order's mail, PDF and calendar entry are made of: one read of the books, no formatting.

Why one document for all: what a buyer holds in three forms must say the same thing in each.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from engine.core import refund_policy


class TicketDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One ticket. `name` is the attendee's, None when the organizer does not ask; the code is a secret."""

    id: str
    tier_name: str
    name: str | None
    code: str
    status: str
    price_minor: int


class OrderDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One order with its tickets. Instants are aware, in UTC; amounts are minor units of `currency`."""

    order_id: str
    number: str
    order_url: str
    event_name: str
    event_id: str
    starts_at: datetime
    ends_at: datetime | None
    doors_at: datetime | None
    timezone: str
    venue_name: str
    venue_address: str
    currency: str
    subtotal: int
    discount: int
    fees: int
    tax: int
    total: int
    refund_policy: dict[str, Any]
    buyer_name: str
    email: str
    paid_at: datetime | None
    tickets: list[TicketDocument]
    refunded: int = 0


def refund_words(document: OrderDocument) -> str:
    """The refund policy the order was bought under, in one or two sentences."""
    try:
        policy = refund_policy.parse(document.refund_policy)
    except ValueError:
        # A stored document we cannot read must not keep a paid buyer from the ticket.
        return "Refunds: see the page of your order."
    return refund_policy.policy_words(policy, document.starts_at, document.timezone)
