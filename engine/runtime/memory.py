"""A shard's storage in memory: what the simulation and the runtime's tests run the production engine on.

It keeps the same promises as Postgres where a test could tell: the fence, the checks on every pool, unique keys and ids,
all of a batch or nothing. Faults are switched on by attributes.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import trio

from engine.core import limits
from engine.core.inventory import Inventory
from engine.core.model import Basket, Command, EventFacts, HoldState, PromoFacts, PromoPut, TierFacts, TierPut
from engine.core.pool import Pool
from engine.core.stores import BadData, BatchRows, Deposed, HoldRow, PoolRow, StoreDown, Taken


class _Event(msgspec.Struct):
    shard: int
    facts: EventFacts
    capacity: int
    withheld: int = 0
    venue: PoolRow | None = None
    tiers: dict[int, tuple[TierFacts, int, int, PoolRow]] = {}
    promos: dict[int, tuple[PromoFacts, int]] = {}
    baskets: dict[int, Basket] = {}


class MemoryShardStore:
    """Implements `engine.core.stores.ShardStore`. `now` gives µs; every write takes `write_seconds` of trio time."""

    def __init__(self, now: Callable[[], int] | None = None, write_seconds: float = 0.0) -> None:
        self.events: dict[int, _Event] = {}
        self.holds: dict[int, HoldRow] = {}
        self.seq_of: dict[int, int] = {}
        self._keys: set[int] = set()
        self.tickets: list[tuple[int, int, str]] = []  # event, number, ticket id
        self.records: list = []
        self.overdue: list[tuple[int, str]] = []
        self.parked: list[tuple[Command, str]] = []
        self.batches = 0
        self.fail_writes: list[str] = []  # "before", "after": fail the next writes, without or with effect
        self.poison: Callable[[BatchRows], bool] = lambda _rows: False
        self._now = now or (lambda: int(trio.current_time() * limits.SECOND))
        self._write_seconds = write_seconds
        self._owners: dict[int, tuple[int, int]] = {}  # shard → epoch, last_seq

    def add_event(self, shard: int, facts: EventFacts, capacity: int) -> None:
        self.events[facts.number] = _Event(shard, facts, capacity)

    def add_tier(self, event: int, facts: TierFacts, capacity: int, withheld: int = 0) -> None:
        self.events[event].tiers[facts.number] = (
            facts,
            capacity,
            withheld,
            PoolRow(event, facts.number, 0, 0, 0, 0),
        )
        self.events[event].withheld += withheld

    def add_promo(self, event: int, facts: PromoFacts) -> None:
        self.events[event].promos[facts.number] = (facts, 0)

    async def take(self, shard: int, owner: str) -> Taken:
        await trio.lowlevel.checkpoint()
        epoch, last_seq = self._owners.get(shard, (0, 0))
        self._owners[shard] = (epoch + 1, last_seq)
        return Taken(epoch + 1, last_seq, self._now())

    async def renew(self, shard: int, epoch: int) -> None:
        await trio.lowlevel.checkpoint()
        if self._owners[shard][0] != epoch:
            raise Deposed(f"shard {shard}")

    async def load_catalog(self, shard: int) -> list[Inventory]:
        await trio.lowlevel.checkpoint()
        return [self._inventory(event) for event in self.events.values() if event.shard == shard]

    async def load_event(self, number: int) -> Inventory | None:
        await trio.lowlevel.checkpoint()
        event = self.events.get(number)
        return self._inventory(event) if event else None

    def _inventory(self, event: _Event) -> Inventory:
        venue = event.venue or PoolRow(event.facts.number, 0, 0, 0, 0, 0, 1)
        inventory = Inventory(
            event.facts, _pool(event.capacity, event.withheld, venue), max(venue.next_ticket, 1)
        )
        for facts, capacity, withheld, row in event.tiers.values():
            inventory.add_tier(facts, _pool(capacity, withheld, row))
        for promo, used in event.promos.values():
            inventory.add_promo(promo, used)
        for basket in event.baskets.values():
            inventory.load_basket(basket)
        return inventory

    async def load_holds(self, shard: int, after_seq: int | None) -> list[HoldRow]:
        await trio.lowlevel.checkpoint()
        mine = [row for row in self.holds.values() if self.events[row.event].shard == shard]
        if after_seq is None:
            return [row for row in mine if row.state <= HoldState.OVERDUE]
        return [row for row in mine if self.seq_of[row.id] > after_seq]

    async def load_buyers(self, events: list[int]) -> list[tuple[int, int, int]]:
        await trio.lowlevel.checkpoint()
        places: dict[tuple[int, int], int] = {}
        for row in self.holds.values():
            if row.event in events and row.state <= HoldState.SOLD:
                for owner in row.owners or ():
                    count = self.events[row.event].baskets[row.basket].places
                    places[row.event, owner] = places.get((row.event, owner), 0) + count
        return [(event, owner, count) for (event, owner), count in places.items()]

    async def find_holds(self, ids: list[int], keys: list[int]) -> list[HoldRow]:
        await trio.lowlevel.checkpoint()
        return [row for row in self.holds.values() if row.id in ids or row.key in keys]

    async def write(self, rows: BatchRows) -> None:
        await trio.sleep(self._write_seconds)
        fault = self.fail_writes.pop(0) if self.fail_writes else None
        if fault == "before":
            raise StoreDown("the connection broke before the commit")
        epoch, last_seq = self._owners[rows.shard]
        if epoch != rows.epoch:
            raise Deposed(f"shard {rows.shard}")
        if last_seq + 1 != rows.seq:
            raise StoreDown(f"shard {rows.shard} is at {last_seq}, not {rows.seq - 1}")
        if self.poison(rows):
            raise BadData("poison")
        self._check(rows)
        self._owners[rows.shard] = (epoch, rows.seq)
        self._store(rows)
        self.batches += 1
        if fault == "after":
            raise StoreDown("the connection broke after the commit")

    def _check(self, rows: BatchRows) -> None:
        """What Postgres refuses by constraints on holds and pools."""
        if any(hold.id in self.holds or hold.key in self._keys for hold in rows.made):
            raise BadData("hold id or key is not unique")
        for pool in rows.pools:
            event = self.events[pool.event]
            capacity, withheld = event.capacity, event.withheld
            if pool.tier and pool.tier in event.tiers:
                _, capacity, withheld, _ = event.tiers[pool.tier]
            if not rows.catalog and not _fits(capacity, withheld, pool):
                raise BadData(f"pool of event {pool.event}, tier {pool.tier} is out of bounds")

    def _store(self, rows: BatchRows) -> None:
        for number, change in rows.catalog:
            event = self.events[number]
            if isinstance(change, TierPut):
                old = event.tiers.get(change.facts.number)
                row = old[3] if old else PoolRow(number, change.facts.number, 0, 0, 0, 0)
                event.withheld += change.withheld - (old[2] if old else 0)
                event.tiers[change.facts.number] = (change.facts, change.capacity, change.withheld, row)
            elif isinstance(change, PromoPut):
                event.promos[change.facts.number] = (change.facts, 0)
            else:
                event.facts, event.capacity = change.facts, change.capacity
        for number, basket in rows.baskets:
            self.events[number].baskets[basket.number] = basket
        for hold in rows.made + rows.moved:
            self.holds[hold.id] = hold
            self.seq_of[hold.id] = rows.seq
            if hold.key is not None:
                self._keys.add(hold.key)
        for pool in rows.pools:
            event = self.events[pool.event]
            if pool.tier:
                facts, capacity, withheld, _ = event.tiers[pool.tier]
                event.tiers[pool.tier] = (facts, capacity, withheld, pool)
            else:
                event.venue = pool
        for number, tier, places in rows.withheld:
            event = self.events[number]
            if tier:
                facts, capacity, _, row = event.tiers[tier]
                event.tiers[tier] = (facts, capacity, places, row)
            else:
                event.withheld = places
        for number, promo, used in rows.promos:
            facts_, _used = self.events[number].promos[promo]
            assert facts_.max_uses is None or used <= facts_.max_uses
            self.events[number].promos[promo] = (facts_, used)
        for number, made in rows.tickets:
            self.tickets.extend(
                (number, made.first_number + at, ticket.id) for at, ticket in enumerate(made.tickets)
            )
        self.overdue.extend(rows.overdue)
        self.records.extend(rows.records)

    async def park(self, shard: int, command: Command, reason: str) -> None:
        await trio.lowlevel.checkpoint()
        self.parked.append((command, reason))


def _fits(capacity: int, withheld: int, row: PoolRow) -> bool:
    taken = (row.held, row.in_checkout, row.sold, row.comped, withheld)
    return min(taken) >= 0 and sum(taken) <= capacity


def _pool(capacity: int, withheld: int, row: PoolRow) -> Pool:
    return Pool(capacity, row.held, row.in_checkout, row.sold, row.comped, withheld)
