"""One event's state: its venue, tiers, promo codes, holds, buyers. The single place where places are counted.

Promises: `apply` keeps every pool's categories disjoint and within capacity (`check` says so); it never fails for a
change that `decide` just made. Decisions live in reserving, paying and catalog; they read this and change nothing.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator

import msgspec

from engine.core import limits
from engine.core.model import (
    LIVE,
    Basket,
    Change,
    EventChanged,
    EventFacts,
    Hold,
    HoldAmended,
    HoldMade,
    HoldMoved,
    HoldState,
    PlacesReturned,
    PromoFacts,
    PromoPut,
    TicketsMade,
    TierFacts,
    TierPut,
)
from engine.core.pool import Pool

# Expiries are bucketed by tenths of a second; whoever reads a hold compares its exact expiry.
WHEEL_STEP = limits.SECOND // 10

_COLUMN = {
    HoldState.HELD: "held",
    HoldState.IN_CHECKOUT: "in_checkout",
    HoldState.OVERDUE: "in_checkout",
    HoldState.SOLD: "sold",
}


class Tier(msgspec.Struct, gc=False):
    facts: TierFacts
    pool: Pool


class Promo(msgspec.Struct, gc=False):
    facts: PromoFacts
    used: int = 0


class Inventory:
    """Everything an event's owner decides upon, in memory."""

    def __init__(self, facts: EventFacts, venue: Pool, next_ticket: int = 1) -> None:
        self.facts = facts
        self.venue = venue
        self.next_ticket = next_ticket
        self.tiers: dict[int, Tier] = {}
        self.tier_ids: dict[str, Tier] = {}
        self.promos: dict[int, Promo] = {}
        self.promo_codes: dict[str, Promo] = {}
        self.holds: dict[int, Hold] = {}
        self.keys: dict[int, Hold] = {}
        self.buyers: dict[int, int] = {}
        self.baskets: dict[int, Basket] = {}
        # Baskets by what was asked; forgotten whenever the catalog changes.
        self.priced: dict[tuple[tuple[tuple[str, int], ...], str | None], Basket] = {}
        self.last_basket = 0
        self.new_baskets: list[Basket] = []
        # Refunds whose places came back since we loaded: the storage knows the others.
        self.returned: set[str] = set()
        # False once a hold may exist in storage that is not in memory: then unknown ids and keys are looked up.
        self.complete = True
        self._finished: deque[int] = deque()
        self._wheel: dict[int, list[Hold]] = {}
        self._due: list[int] = []
        self._expiry = (-1, 0)

    # --- catalog ------------------------------------------------------------------------------------------

    def add_tier(self, facts: TierFacts, pool: Pool) -> None:
        tier = self.tiers.get(facts.number)
        if tier is None:
            tier = self.tiers[facts.number] = self.tier_ids[facts.id] = Tier(facts, pool)
        else:
            tier.facts, tier.pool = facts, pool
        self.priced.clear()

    def add_promo(self, facts: PromoFacts, used: int) -> None:
        promo = self.promos.get(facts.number)
        if promo is None:
            promo = self.promos[facts.number] = Promo(facts, used)
        else:
            self.promo_codes.pop(promo.facts.code, None)
            promo.facts = facts
        self.promo_codes[facts.code] = promo
        self.priced.clear()

    def load_basket(self, basket: Basket) -> None:
        self.baskets[basket.number] = basket
        self.last_basket = max(self.last_basket, basket.number)

    def _use_basket(self, basket: Basket) -> None:
        if basket.number not in self.baskets:
            self.baskets[basket.number] = basket
            self.new_baskets.append(basket)

    def sellable(self, tier: Tier) -> int:
        """Places of a tier that the venue still admits."""
        return max(0, min(tier.pool.available, self.venue.available))

    # --- holds --------------------------------------------------------------------------------------------

    def load(self, hold: Hold) -> None:
        """Take a hold from storage into memory without touching the counts, which storage gave as well."""
        self.holds[hold.id] = hold
        if hold.key is not None:
            self.keys[hold.key] = hold
        if hold.state in LIVE:
            self._turn_wheel(hold)
        else:
            self._finish(hold)

    def find(self, hold: int) -> Hold | None:
        return self.holds.get(hold)

    def expired(self, hold: Hold, now: int) -> bool:
        return now >= hold.expires

    def expiry(self, now: int) -> int:
        """When a hold made now expires. All holds of a turn share the number, and so its memory."""
        if self._expiry[0] != now:
            self._expiry = (now, now + self.facts.hold_seconds * limits.SECOND)
        return self._expiry[1]

    def next_due(self) -> int | None:
        """When the earliest bucket of the wheel is due."""
        return self._due[0] if self._due else None

    def take_due(self, now: int) -> Iterator[Hold]:
        """Live holds whose expiry has passed, each once."""
        while self._due and self._due[0] <= now:
            for hold in self._wheel.pop(heapq.heappop(self._due)):
                if hold.state is HoldState.HELD or hold.state is HoldState.IN_CHECKOUT:
                    yield hold

    # --- apply --------------------------------------------------------------------------------------------

    def apply(self, change: Change) -> None:
        """Make a decided change true in memory."""
        if isinstance(change, HoldMade):
            self._made(change.hold)
        elif isinstance(change, HoldMoved):
            self._moved(change)
        elif isinstance(change, HoldAmended):
            self._count(change.hold, -1)
            change.hold.basket = change.basket
            self._use_basket(change.basket)
            self._count(change.hold, 1)
        elif isinstance(change, TicketsMade):
            self.next_ticket = change.first_number + len(change.tickets)
            if change.comp:
                for ticket in change.tickets:
                    self.tiers[ticket.tier].pool.comped += 1
                self.venue.comped += len(change.tickets)
        elif isinstance(change, EventChanged):
            self.facts = change.facts
            self._expiry = (-1, 0)
            self.venue.capacity = change.capacity
            self.priced.clear()
        elif isinstance(change, TierPut):
            self._tier_put(change)
        elif isinstance(change, PlacesReturned):
            self._returned(change)
        elif isinstance(change, PromoPut):
            old = self.promos.get(change.facts.number)
            self.add_promo(change.facts, old.used if old else 0)

    def _made(self, hold: Hold) -> None:
        self.holds[hold.id] = hold
        if hold.key is not None:
            self.keys[hold.key] = hold
        self._use_basket(hold.basket)
        self._count(hold, 1)
        self._turn_wheel(hold)

    def _moved(self, change: HoldMoved) -> None:
        hold = change.hold
        was = hold.state
        self._count(hold, -1)
        hold.state = change.after
        if change.order is not None:
            hold.order = change.order
        if change.email is not None:
            hold.owners = (*(hold.owners or ()), change.email)
        self._count(hold, 1)
        if was in LIVE and change.after not in LIVE:
            self._finish(hold)

    def _returned(self, change: PlacesReturned) -> None:
        self.returned.add(change.refund)
        for number, count in change.places:
            for pool in (self.tiers[number].pool, self.venue):
                pool.sold -= count
                if not change.resell:
                    pool.withheld += count

    def _tier_put(self, change: TierPut) -> None:
        tier = self.tiers.get(change.facts.number)
        if tier is None:
            self.add_tier(change.facts, Pool(change.capacity, withheld=change.withheld))
            self.venue.withheld += change.withheld
            return
        self.venue.withheld += change.withheld - tier.pool.withheld
        tier.facts = change.facts
        tier.pool.capacity, tier.pool.withheld = change.capacity, change.withheld
        self.priced.clear()

    def _count(self, hold: Hold, sign: int) -> None:
        column = _COLUMN.get(hold.state)
        if column is None:
            return
        basket = hold.basket
        venue = self.venue
        for number, quantity in basket.lines:
            pool = self.tiers[number].pool
            setattr(pool, column, getattr(pool, column) + sign * quantity)
        setattr(venue, column, getattr(venue, column) + sign * basket.places)
        if basket.promo is not None:
            self.promos[basket.promo].used += sign
        if hold.owners:
            for owner in hold.owners:
                self.buyers[owner] = self.buyers.get(owner, 0) + sign * basket.places
                if self.buyers[owner] <= 0:
                    del self.buyers[owner]

    def _turn_wheel(self, hold: Hold) -> None:
        due = -(-hold.expires // WHEEL_STEP) * WHEEL_STEP
        bucket = self._wheel.get(due)
        if bucket is None:
            self._wheel[due] = [hold]
            heapq.heappush(self._due, due)
        else:
            bucket.append(hold)

    def _finish(self, hold: Hold) -> None:
        self._finished.append(hold.id)
        while len(self._finished) > limits.FINISHED_HOLDS:
            old = self.holds.get(self._finished.popleft())
            if old is not None and old.state not in LIVE:
                del self.holds[old.id]
                if old.key is not None:
                    self.keys.pop(old.key, None)
                self.complete = False

    def check(self) -> None:
        """Raises AssertionError unless every pool is sound and the venue is the sum of its tiers."""
        self.venue.check()
        for column in ("held", "in_checkout", "sold", "comped", "withheld"):
            total = 0
            for tier in self.tiers.values():
                tier.pool.check()
                total += getattr(tier.pool, column)
            assert total == getattr(self.venue, column), (column, total, self.venue)
