"""What may be changed of an event that is already selling: figures, tiers, promo codes, guests' places.

Promises: no capacity goes below what is committed; a price change touches no hold, because holds carry their basket.
"""

from __future__ import annotations

import msgspec

from engine.core.inventory import Inventory
from engine.core.model import (
    ChangeEvent,
    Comp,
    EventChanged,
    PromoFacts,
    PromoPut,
    PutPromo,
    PutTier,
    TicketsMade,
    TierFacts,
    TierPut,
)
from engine.core.outcomes import Code, Outcome
from engine.core.paying import Decision
from engine.core.pool import Pool


def _below_committed(pool: Pool) -> Outcome:
    return Outcome(
        Code.BELOW_COMMITTED,
        detail={
            "sold": pool.sold,
            "held": pool.held,
            "in_checkout": pool.in_checkout,
            "comped": pool.comped,
            "withheld": pool.withheld,
        },
    )


def change_event(inventory: Inventory, command: ChangeEvent) -> Decision:
    """New figures of the event; the venue's capacity not below what is committed."""
    changes = dict(command.changes)
    capacity = changes.pop("capacity", inventory.venue.capacity)
    if capacity < inventory.venue.committed:
        return _below_committed(inventory.venue), (), ()
    if inventory.facts.state == "cancelled" and changes.get("state", "cancelled") != "cancelled":
        return Outcome(Code.CONFLICT, detail={"reason": "a cancelled event stays cancelled"}), (), ()
    facts = msgspec.structs.replace(inventory.facts, **changes)
    return Outcome(Code.OK, facts.id), (EventChanged(facts, capacity),), command.records


def put_tier(inventory: Inventory, command: PutTier) -> Decision:
    """A tier made or changed. Withheld places come out of what is free, of the tier and of the venue."""
    changes = dict(command.changes)
    tier = inventory.tier_ids.get(command.id)
    if tier is None:
        number = max(inventory.tiers, default=0) + 1
        pool = Pool(0)
        capacity, withheld = changes.pop("capacity"), changes.pop("withheld", 0)
        facts = TierFacts(number=number, id=command.id, **changes)
    else:
        if tier.facts.deleted:
            return Outcome(Code.UNKNOWN_TIER), (), ()
        pool = tier.pool
        capacity = changes.pop("capacity", pool.capacity)
        withheld = changes.pop("withheld", pool.withheld)
        facts = msgspec.structs.replace(tier.facts, **changes)
    if facts.deleted and pool.committed - pool.withheld > 0:
        return Outcome(Code.TIER_IN_USE, detail=_below_committed(pool).detail), (), ()
    if facts.deleted:
        withheld = 0
    if capacity < pool.committed - pool.withheld + withheld:
        return _below_committed(pool), (), ()
    if withheld - pool.withheld > inventory.venue.available:
        return _below_committed(inventory.venue), (), ()
    return Outcome(Code.OK, facts), (TierPut(facts, capacity, withheld),), command.records


def put_promo(inventory: Inventory, command: PutPromo) -> Decision:
    """A promo code made; its spelling is unique within the event."""
    changes = dict(command.changes)
    tiers = changes.pop("tiers", None)
    numbers: tuple[int, ...] | None = None
    if tiers is not None:
        if any(tier_id not in inventory.tier_ids for tier_id in tiers):
            return Outcome(Code.UNKNOWN_TIER), (), ()
        numbers = tuple(inventory.tier_ids[tier_id].facts.number for tier_id in tiers)
    if changes["code"] in inventory.promo_codes:
        return (
            Outcome(Code.CONFLICT, detail={"reason": "this event already has a promo code spelled so"}),
            (),
            (),
        )
    facts = PromoFacts(number=max(inventory.promos, default=0) + 1, id=command.id, tiers=numbers, **changes)
    return Outcome(Code.OK, facts), (PromoPut(facts),), command.records


def comp(inventory: Inventory, command: Comp) -> Decision:
    """Places for a guest, from the tier and the venue like anyone's."""
    tier = inventory.tier_ids.get(command.tier)
    if tier is None or tier.facts.deleted:
        return Outcome(Code.UNKNOWN_TIER), (), ()
    if inventory.sellable(tier) < len(command.tickets):
        return Outcome(Code.SOLD_OUT, detail={"available": {command.tier: inventory.sellable(tier)}}), (), ()
    tickets = tuple(msgspec.structs.replace(ticket, tier=tier.facts.number) for ticket in command.tickets)
    made = TicketsMade("", inventory.next_ticket, tickets, comp=True)
    return Outcome(Code.OK, made), (made,), command.records
