"""One order's rules: the rows it becomes at checkout, the tickets it turns into, what a payment must match.

Life: awaiting_payment → paid | expired | cancelled; expired → paid | late_refunded.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.core.model import Record, TicketDraft
from engine.core.pricing import Quote

UNPAID = frozenset({"awaiting_payment", "expired", "cancelled"})
NUMBER_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # none that reads like another


def ticket_drafts(ids: list[str], quote: Quote, attendees: list[str | None]) -> tuple[TicketDraft, ...]:
    """Tickets in the order of the lines; names go to them one by one as far as they reach."""
    prices = [(line.tier, price) for line in quote.lines for price in line.tickets]
    names = [*attendees, *[None] * len(prices)]
    return tuple(
        TicketDraft(ticket_id, tier, name, msgspec.to_builtins(price))
        for ticket_id, (tier, price), name in zip(ids, prices, names, strict=False)
    )


def mismatches(order: dict[str, Any], payment: dict[str, Any]) -> list[str]:
    """What of a succeeded payment is not what the order asked for: amount, currency, mode, order."""
    found = []
    if payment["amount_received"] != order["total"]:
        found.append("amount")
    if payment["currency"] != order["currency"]:
        found.append("currency")
    if payment["livemode"] != order["livemode"]:
        found.append("mode")
    if payment["order_number"] not in (None, order["number"]):
        found.append("order")
    return found


def insert_records(row: dict[str, Any], follow_up: dict[str, Any] | None) -> tuple[Record, ...]:
    """The order's row, and the outside effect it owes."""
    records = [Record("insert orders", row)]
    if follow_up is not None:
        records.append(Record("insert outbox", follow_up))
    return tuple(records)
