"""What one commit writes and whom it answers: collected while deciding, cut into plain rows when handed over.

Why rows are cut at the hand-over: at that moment memory is exactly the state after this batch, so counts are
absolute and a hold that moved twice is written once.
"""

from __future__ import annotations

from engine.core.inventory import Inventory
from engine.core.model import (
    IN_CHECKOUT,
    Basket,
    Change,
    Command,
    Hold,
    HoldAmended,
    HoldMade,
    HoldMoved,
    HoldState,
    PlacesReturned,
    Record,
    TicketsMade,
)
from engine.core.outcomes import Outcome
from engine.core.pool import Pool
from engine.core.stores import BatchRows, HoldRow, PoolRow, Reply, row_of


class Batch:
    def __init__(self) -> None:
        self.letters: list[tuple[Command, Reply]] = []
        self.outcomes: list[Outcome] = []
        self._inventories: dict[int, Inventory] = {}
        self._made: list[tuple[int, Hold]] = []
        self._moved: dict[int, tuple[int, Hold]] = {}
        self._tiers: set[tuple[int, int]] = set()
        self._promos: set[tuple[int, int]] = set()
        self._tickets: list[tuple[int, TicketsMade]] = []
        self._catalog: list = []
        self._overdue: list[tuple[int, str]] = []
        self._withheld: set[tuple[int, int]] = set()
        self._records: list[Record] = []

    @property
    def writes(self) -> bool:
        return bool(self._inventories or self._records)

    def answer(self, command: Command, reply: Reply, outcome: Outcome) -> None:
        self.letters.append((command, reply))
        self.outcomes.append(outcome)

    def add_records(self, records: tuple[Record, ...]) -> None:
        self._records.extend(records)

    def add(self, inventory: Inventory, change: Change) -> None:
        """Note an applied change."""
        event = inventory.facts.number
        self._inventories[event] = inventory
        if isinstance(change, HoldMade):
            self._made.append((event, change.hold))
            self._touch(event, change.hold)
        elif isinstance(change, HoldMoved):
            self._moved[change.hold.id] = (event, change.hold)
            self._touch(event, change.hold)
            if change.after is HoldState.OVERDUE and change.hold.order is not None:
                self._overdue.append((event, change.hold.order))
        elif isinstance(change, HoldAmended):
            self._moved[change.hold.id] = (event, change.hold)
            # The old lines' tiers changed as well; an amendment is rare enough to write them all.
            self._tiers.update((event, number) for number in inventory.tiers)
        elif isinstance(change, TicketsMade):
            self._tickets.append((event, change))
            if change.comp:
                self._tiers.update((event, ticket.tier) for ticket in change.tickets)
        elif isinstance(change, PlacesReturned):
            touched = [(event, number) for number, _ in change.places]
            self._tiers.update(touched)
            if not change.resell:
                self._withheld.update([*touched, (event, 0)])
        else:
            self._catalog.append((event, change))

    def _touch(self, event: int, hold: Hold) -> None:
        basket = hold.basket
        for number, _ in basket.lines:
            self._tiers.add((event, number))
        if basket.promo is not None:
            self._promos.add((event, basket.promo))

    def cut(self, shard: int, epoch: int, seq: int) -> BatchRows:
        """The rows of this batch, as memory stands now."""
        pools = []
        for event, number in sorted(self._tiers):
            pool = self._inventories[event].tiers[number].pool
            pools.append(PoolRow(event, number, pool.held, pool.in_checkout, pool.sold, pool.comped))
        baskets: list[tuple[int, Basket]] = []
        for event, inventory in sorted(self._inventories.items()):
            venue = inventory.venue
            pools.append(
                PoolRow(
                    event, 0, venue.held, venue.in_checkout, venue.sold, venue.comped, inventory.next_ticket
                )
            )
            if inventory.new_baskets:
                baskets.extend((event, basket) for basket in inventory.new_baskets)
                inventory.new_baskets.clear()
        return BatchRows(
            shard,
            epoch,
            seq,
            made=[row_of(event, hold) for event, hold in self._made],
            moved=[row_of(event, hold) for event, hold in self._moved.values()],
            pools=pools,
            promos=[(e, p, self._inventories[e].promos[p].used) for e, p in sorted(self._promos)],
            baskets=baskets,
            tickets=self._tickets,
            catalog=self._catalog,
            overdue=self._overdue,
            records=self._records,
            withheld=[(e, t, self._pool(e, t).withheld) for e, t in sorted(self._withheld)],
        )

    def _pool(self, event: int, tier: int) -> Pool:
        inventory = self._inventories[event]
        return inventory.tiers[tier].pool if tier else inventory.venue


def live_rows(inventories: dict[int, Inventory]) -> list[HoldRow]:
    """Every live hold, for a snapshot."""
    return [
        row_of(event, hold)
        for event, inventory in inventories.items()
        for hold in inventory.holds.values()
        if hold.state is HoldState.HELD or hold.state in IN_CHECKOUT
    ]
