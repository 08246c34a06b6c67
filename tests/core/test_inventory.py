"""Any order of commands and any passing of time leaves pools that add up, and what was said stays true."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.core import limits
from engine.core.deciding import decide
from engine.core.inventory import Inventory
from engine.core.model import (
    Amend,
    Checkout,
    Command,
    Comp,
    Confirm,
    EventFacts,
    HoldState,
    PutPromo,
    PutTier,
    Release,
    Reserve,
    Settle,
    TicketDraft,
)
from engine.core.outcomes import Code, Outcome
from engine.core.pool import Pool
from engine.core.reserving import expire

HOLDS = st.integers(1, 12)
LINES = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2, unique=True)


class Sale(RuleBasedStateMachine):
    """One event with two tiers under one venue, a limited promo code and a limit per buyer."""

    @initialize()
    def open(self) -> None:
        facts = EventFacts(1, "evt", "org", "eur", "published", 10**18, hold_seconds=10, max_per_buyer=6)
        self.inventory = Inventory(facts, Pool(10))
        self.now = 0
        self.paid: dict[int, int] = {}
        for tier in ("a", "b"):
            self.do(PutTier(event=1, id=tier, changes={"name": tier, "price": 2500, "capacity": 7}))
        self.do(PutPromo(event=1, id="p", changes={"code": "P", "percent_bps": 1000, "max_uses": 2}))

    def do(self, command: Command) -> Outcome:
        outcome, changes, _records = decide(self.inventory, command, self.now)
        if not outcome.ok:
            assert changes == (), "a refusal changes nothing"
        for change in changes:
            self.inventory.apply(change)
        return outcome

    @rule(hold=HOLDS, tiers=LINES, quantity=st.integers(1, 5), promo=st.booleans(), owner=st.integers(1, 3))
    def reserve(self, hold: int, tiers: list[str], quantity: int, promo: bool, owner: int) -> None:
        if hold in self.inventory.holds:
            return
        lines = tuple((tier, quantity) for tier in tiers)
        outcome = self.do(
            Reserve(
                event=1,
                hold=hold,
                lines=lines,
                promo="P" if promo else None,
                key=hold,
                body=1,
                owners=(owner,),
            )
        )
        if outcome.code is Code.SOLD_OUT:
            assert quantity * len(tiers) > self.inventory.venue.available or any(
                quantity > self.inventory.tier_ids[tier].pool.available for tier in tiers
            )

    @rule(hold=HOLDS)
    def repeat(self, hold: int) -> None:
        known = self.inventory.keys.get(hold)
        if known is not None:
            outcome = self.do(Reserve(event=1, hold=99, lines=(("a", 1),), key=hold, body=1, owners=(1,)))
            assert outcome.replayed and outcome.value is known

    @rule(hold=HOLDS, quantity=st.integers(1, 5))
    def amend(self, hold: int, quantity: int) -> None:
        self.do(Amend(event=1, hold=hold, lines=(("a", quantity),)))

    @rule(hold=HOLDS)
    def release(self, hold: int) -> None:
        self.do(Release(event=1, hold=hold))

    @rule(hold=HOLDS)
    def checkout(self, hold: int) -> None:
        self.do(
            Checkout(
                event=1, hold=hold, order=f"o{hold}", email=50 + hold, records=(), paid_records=(), tickets=()
            )
        )

    @rule(hold=HOLDS)
    def pay(self, hold: int) -> None:
        found = self.inventory.holds.get(hold)
        if found is None or found.order is None:
            return
        places = found.basket.places
        drafts = tuple(TicketDraft(f"t{hold}.{n}", 1, None, {}) for n in range(places))
        outcome = self.do(
            Confirm(
                event=1,
                hold=hold,
                order=f"o{hold}",
                tickets=drafts,
                records=(),
                late_records=(),
                seen_records=(),
            )
        )
        if outcome.ok and not outcome.replayed:
            assert hold not in self.paid
            self.paid[hold] = places
        elif outcome.code is Code.LATE:
            assert found.state not in (HoldState.SOLD, HoldState.IN_CHECKOUT, HoldState.OVERDUE)

    @rule(hold=HOLDS, cancelled=st.booleans())
    def settle(self, hold: int, cancelled: bool) -> None:
        self.do(Settle(event=1, hold=hold, order=f"o{hold}", cancelled=cancelled, records=()))

    @rule(count=st.integers(1, 3))
    def comp(self, count: int) -> None:
        self.do(
            Comp(
                event=1,
                tier="b",
                tickets=tuple(TicketDraft("g", 0, None, {}) for _ in range(count)),
                records=(),
            )
        )

    @rule(capacity=st.integers(0, 9), withheld=st.integers(0, 3))
    def change_tier(self, capacity: int, withheld: int) -> None:
        self.do(PutTier(event=1, id="a", changes={"capacity": capacity, "withheld": withheld}))

    @rule(seconds=st.integers(1, 15))
    def wait(self, seconds: int) -> None:
        self.now += seconds * limits.SECOND
        for change in expire(self.inventory, self.now):
            self.inventory.apply(change)

    @invariant()
    def adds_up(self) -> None:
        if not hasattr(self, "inventory"):
            return
        self.inventory.check()
        assert self.inventory.venue.sold == sum(self.paid.values()), "what was paid stays sold"
        assert self.inventory.promos[1].used <= 2
        assert all(count <= 6 for owner, count in self.inventory.buyers.items() if owner < 50)
        for hold in self.paid:
            assert self.inventory.holds[hold].state is HoldState.SOLD


TestSale = Sale.TestCase
TestSale.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
