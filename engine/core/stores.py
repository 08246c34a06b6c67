"""What a shard asks of storage, and the three ways storage can fail it.

Two implementations: `engine.adapters.shard_store` (Postgres) and `engine.runtime.memory` (simulation, tests).
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from engine.core.inventory import Inventory
from engine.core.model import Basket, Command, EventChanged, Hold, PromoPut, Record, TicketsMade, TierPut


class StoreError(Exception):
    """Storage refused a batch."""


class StoreDown(StoreError):
    """Nobody knows whether the batch is durable, or it is not: drop memory, read again. The operator's network or disk."""


class Deposed(StoreError):
    """Another owner took the shard. Stop; it answers from now on."""


class BadData(StoreError):
    """Storage is well and refuses these very rows: a bug of ours in one command of the batch."""


class Taken(msgspec.Struct):
    """A shard taken: from now on only batches of `epoch` are accepted. `now` is storage's clock, µs."""

    epoch: int
    last_seq: int
    now: int


class HoldRow(msgspec.Struct, gc=False, array_like=True):
    """A hold as storage and journal keep it."""

    event: int
    id: int
    basket: int
    state: int
    created: int
    expires: int
    key: int | None
    body: int
    order: str | None
    owners: tuple[int, ...] | None


class PoolRow(msgspec.Struct, gc=False, array_like=True):
    """Counts of a tier (or of a venue: tier 0) after the batch."""

    event: int
    tier: int
    held: int
    in_checkout: int
    sold: int
    comped: int
    next_ticket: int = 0


class BatchRows(msgspec.Struct, gc=False):
    """Everything one batch writes, as plain data, cut at the moment it was handed over."""

    shard: int
    epoch: int
    seq: int
    made: list[HoldRow]
    moved: list[HoldRow]
    pools: list[PoolRow]
    promos: list[tuple[int, int, int]]  # event, promo number, used
    baskets: list[tuple[int, Basket]]
    tickets: list[tuple[int, TicketsMade]]
    catalog: list[tuple[int, EventChanged | TierPut | PromoPut]]
    overdue: list[tuple[int, str]]  # event, order: cancel its payment
    records: list[Record]
    withheld: list[tuple[int, int, int]] = []  # event, tier (0: venue), places


class ShardStore(Protocol):
    """All methods raise `StoreDown` when storage is out of reach. Cancellation leaves nothing half done."""

    async def take(self, shard: int, owner: str) -> Taken:
        """Bump the epoch: every earlier owner's next batch is refused."""

    async def renew(self, shard: int, epoch: int) -> None:
        """Extend the lease. Raises Deposed."""

    async def load_catalog(self, shard: int) -> list[Inventory]:
        """The shard's events with their pools, tiers, promo codes and baskets, without holds."""

    async def load_holds(self, shard: int, after_seq: int | None) -> list[HoldRow]:
        """Live holds of the shard; with `after_seq` every hold written after it, whatever its state."""

    async def load_buyers(self, events: list[int]) -> list[tuple[int, int, int]]:
        """(event, owner, places) sold or live, for events that limit buyers."""

    async def find_holds(self, ids: list[int], keys: list[int]) -> list[HoldRow]:
        """Holds by id or idempotency key."""

    async def load_event(self, number: int) -> Inventory | None:
        """One event written by an action after the shard was loaded."""

    async def write(self, rows: BatchRows) -> None:
        """All rows in one transaction behind the fence, or none. Raises Deposed, BadData."""

    async def park(self, shard: int, command: Command, reason: str) -> None:
        """Leave a command that cannot be written to the operator."""


class Journal(Protocol):
    """The recovery journal. Never the truth: every method may fail without harm."""

    async def read(self, shard: int, last_seq: int) -> tuple[int, list[HoldRow]] | None:
        """Live holds as of a sequence number ≤ `last_seq`, and that number; None when it has nothing usable."""

    async def append(self, shard: int, epoch: int, seq: int, blob: bytes) -> None: ...

    async def snapshot(self, shard: int, epoch: int, seq: int, blobs: list[bytes]) -> None: ...


def row_of(event: int, hold: Hold) -> HoldRow:
    return HoldRow(
        event,
        hold.id,
        hold.basket.number,
        int(hold.state),
        hold.created,
        hold.expires,
        hold.key,
        hold.body,
        hold.order,
        hold.owners,
    )


Reply = Any  # a callable taking an Outcome; kept loose because trio's reschedule is one of them
