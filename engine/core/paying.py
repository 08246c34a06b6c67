"""What a payment does to places: checkout, confirm, settle.

Promises: a payment that arrives late takes the places again when they are free, and is refused (LATE) when not.
"""

from __future__ import annotations

from engine.core.inventory import Inventory
from engine.core.model import (
    IN_CHECKOUT,
    Change,
    Checkout,
    Confirm,
    Hold,
    HoldMoved,
    HoldState,
    PlacesReturned,
    Records,
    ReturnPlaces,
    Settle,
    TicketsMade,
)
from engine.core.outcomes import Code, Outcome
from engine.core.reserving import over_buyer_limit, refuse_hold

# Records go to storage with the batch only if the decision is yes; each decision names the ones it takes.
Decision = tuple[Outcome, tuple[Change, ...], Records]


def checkout(inventory: Inventory, command: Checkout, now: int) -> Decision:
    """The hold's order, once. Again with the same hold: OK with the first order's id, `replayed`."""
    hold = inventory.holds.get(command.hold)
    if hold is not None and hold.order is not None and hold.state is not HoldState.CANCELLED:
        if hold.state in (HoldState.SOLD, HoldState.IN_CHECKOUT) and (
            hold.state is HoldState.SOLD or now < hold.expires
        ):
            return Outcome(Code.OK, hold.order, replayed=True), (), ()
        return Outcome(Code.HOLD_EXPIRED, hold), (), ()
    refusal = refuse_hold(hold, now)
    if refusal is not None:
        return refusal, (), ()
    assert hold is not None
    refusal = _over_email_limit(inventory, command.email, hold)
    if refusal is not None:
        return refusal, (), ()
    email = command.email if inventory.facts.max_per_buyer is not None else None
    if hold.basket.quote.total == 0:
        moved = HoldMoved(hold, HoldState.SOLD, command.order, email)
        tickets = TicketsMade(command.order, inventory.next_ticket, command.tickets)
        return Outcome(Code.OK, command.order), (moved, tickets), command.paid_records
    moved = HoldMoved(hold, HoldState.IN_CHECKOUT, command.order, email)
    return Outcome(Code.OK, command.order), (moved,), command.records


def _over_email_limit(inventory: Inventory, email: int, hold: Hold) -> Outcome | None:
    return over_buyer_limit(inventory, (email,), hold.basket.places)


def confirm(inventory: Inventory, command: Confirm, now: int) -> Decision:
    """Sold, with tickets; or LATE when the places went to somebody else meanwhile. A repeat changes nothing."""
    hold = inventory.holds.get(command.hold)
    if hold is None or hold.order != command.order:
        return Outcome(Code.UNKNOWN_HOLD), (), ()
    if hold.state is HoldState.SOLD:
        return Outcome(Code.OK, hold, replayed=True), (), command.seen_records
    if hold.state not in IN_CHECKOUT and not _free_again(inventory, hold):
        return Outcome(Code.LATE, hold), (), command.late_records
    moved = HoldMoved(hold, HoldState.SOLD)
    tickets = TicketsMade(command.order, inventory.next_ticket, command.tickets)
    return Outcome(Code.OK, hold), (moved, tickets), command.records


def _free_again(inventory: Inventory, hold: Hold) -> bool:
    if inventory.facts.state == "cancelled" or hold.basket.places > inventory.venue.available:
        return False
    promo = inventory.promos[hold.basket.promo] if hold.basket.promo is not None else None
    if promo is not None and promo.facts.max_uses is not None and promo.used >= promo.facts.max_uses:
        # Its use went back with the hold and is somebody else's now.
        return False
    return all(
        quantity <= inventory.tiers[number].pool.available and not inventory.tiers[number].facts.deleted
        for number, quantity in hold.basket.lines
    )


def return_places(inventory: Inventory, command: ReturnPlaces) -> Decision:
    """Refunded places free again, or withheld where the organizer wants that. A repeat changes nothing."""
    if command.refund in inventory.returned:
        return Outcome(Code.OK, command.refund, replayed=True), (), ()
    change = PlacesReturned(command.refund, command.places, command.resell)
    return Outcome(Code.OK, command.refund), (change,), command.records


def settle(inventory: Inventory, command: Settle, now: int) -> Decision:
    """Places of an unpaid checkout back to the pool. Refused (ALREADY_PAID) once it is sold."""
    hold = inventory.holds.get(command.hold)
    if hold is None or hold.order != command.order:
        return Outcome(Code.UNKNOWN_HOLD), (), ()
    if hold.state is HoldState.SOLD:
        return Outcome(Code.ALREADY_PAID, hold), (), ()
    if hold.state not in IN_CHECKOUT:
        return Outcome(Code.OK, hold, replayed=True), (), ()
    after = HoldState.CANCELLED if command.cancelled else HoldState.EXPIRED
    return Outcome(Code.OK, hold), (HoldMoved(hold, after),), command.records
