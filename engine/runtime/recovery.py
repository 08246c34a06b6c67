"""A shard's memory from storage: catalog and counts always from Postgres, holds from the journal where it can be trusted.

Promises: a journal that lags, lies or is empty costs time, never correctness: holds written after its last number are
read from storage, and if the sum of holds does not equal the counts, everything is read from storage.
"""

from __future__ import annotations

import structlog

from engine.core.inventory import Inventory
from engine.core.model import LIVE, Hold, HoldState
from engine.core.stores import HoldRow, Journal, ShardStore, StoreDown

log = structlog.get_logger(__name__)


async def recover(
    store: ShardStore, journal: Journal | None, shard: int, last_seq: int
) -> dict[int, Inventory]:
    """Inventories of the shard by event number, as of `last_seq`."""
    inventories = await _catalog(store, shard)
    if journal is not None and last_seq:
        found = await journal.read(shard, last_seq)
        if found is not None:
            seq, rows = found
            newer = await store.load_holds(shard, seq) if seq < last_seq else []
            _load(inventories, rows, newer)
            if all(_adds_up(inventory) for inventory in inventories.values()):
                await _load_buyers(store, inventories)
                return inventories
            log.warning("recovery.journal_mistrusted", shard=shard, seq=seq, last_seq=last_seq)
            inventories = await _catalog(store, shard)
    _load(inventories, await store.load_holds(shard, None), [])
    for inventory in inventories.values():
        if not _adds_up(inventory):
            raise StoreDown(
                f"holds of event {inventory.facts.number} do not add up to its counts; run: fm doctor"
            )
    await _load_buyers(store, inventories)
    return inventories


async def _catalog(store: ShardStore, shard: int) -> dict[int, Inventory]:
    inventories = {inventory.facts.number: inventory for inventory in await store.load_catalog(shard)}
    for inventory in inventories.values():
        # Finished holds stay in storage: unknown ids and keys are looked up there.
        inventory.complete = False
    return inventories


def to_hold(inventory: Inventory, row: HoldRow) -> Hold:
    return Hold(
        row.id,
        inventory.baskets[row.basket],
        row.created,
        row.expires,
        HoldState(row.state),
        row.key,
        row.body,
        row.order,
        row.owners,
    )


def _load(inventories: dict[int, Inventory], rows: list[HoldRow], newer: list[HoldRow]) -> None:
    latest = {row.id: row for row in rows}
    for row in newer:
        latest[row.id] = row
    for row in latest.values():
        inventory = inventories.get(row.event)
        if inventory is not None and row.state in LIVE and row.basket in inventory.baskets:
            inventory.load(to_hold(inventory, row))


def _adds_up(inventory: Inventory) -> bool:
    """Whether live holds are exactly the held and in-checkout places of every tier."""
    held = dict.fromkeys(inventory.tiers, 0)
    paying = dict.fromkeys(inventory.tiers, 0)
    for hold in inventory.holds.values():
        counts = held if hold.state is HoldState.HELD else paying
        for number, quantity in hold.basket.lines:
            counts[number] += quantity
    return all(
        tier.pool.held == held[number] and tier.pool.in_checkout == paying[number]
        for number, tier in inventory.tiers.items()
    )


async def _load_buyers(store: ShardStore, inventories: dict[int, Inventory]) -> None:
    limited = [n for n, inventory in inventories.items() if inventory.facts.max_per_buyer is not None]
    if limited:
        for event, owner, places in await store.load_buyers(limited):
            inventories[event].buyers[owner] = places
