"""An event's catalog and counts between Postgres' rows and an `Inventory`.

Only the shard's store uses this: pages read the same tables through `engine.queries`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.adapters.times import instant_or_none, micros, micros_or_none
from engine.core.inventory import Inventory
from engine.core.model import Basket, EventChanged, EventFacts, PromoFacts, PromoPut, TierFacts, TierPut
from engine.core.pool import Pool
from engine.core.pricing import FeeSchedule, Quote

_UNDATED_EVENT_HOURS = 12


async def load(conn: Any, shard: int | None, number: int | None) -> list[Inventory]:
    """All events of a shard, or the one with that number, without holds."""
    events = await conn.fetch(
        f"""SELECT e.*, least(coalesce(ends_at, starts_at + interval '{_UNDATED_EVENT_HOURS} hours'), '9999-12-31Z') AS last_sale,
                   v.capacity, v.held, v.in_checkout, v.sold, v.comped, v.withheld, v.next_ticket
            FROM events e JOIN venue_pools v ON v.event = e.number
            WHERE ($1::smallint IS NULL OR e.shard = $1) AND ($2::int IS NULL OR e.number = $2)""",
        shard,
        number,
    )
    inventories = {row["number"]: _inventory(row) for row in events}
    numbers = list(inventories)
    tiers = await conn.fetch(
        "SELECT * FROM tiers JOIN tier_pools USING (event, number) WHERE event = ANY($1::int[]) ORDER BY number",
        numbers,
    )
    for row in tiers:
        inventories[row["event"]].add_tier(_tier(row), _pool(row))
    for row in await conn.fetch("SELECT * FROM promo_codes WHERE event = ANY($1::int[])", numbers):
        inventories[row["event"]].add_promo(_promo(row), row["used"])
    for row in await conn.fetch("SELECT * FROM baskets WHERE event = ANY($1::int[])", numbers):
        inventories[row["event"]].load_basket(_basket(row))
    return list(inventories.values())


def _pool(row: Any) -> Pool:
    return Pool(row["capacity"], row["held"], row["in_checkout"], row["sold"], row["comped"], row["withheld"])


def _inventory(row: Any) -> Inventory:
    facts = EventFacts(
        number=row["number"],
        id=row["id"],
        organizer=row["organizer"],
        currency=row["currency"],
        state=row["state"],
        ends_at=micros(row["last_sale"]),
        on_sale_at=micros_or_none(row["on_sale_at"]),
        hold_seconds=row["hold_seconds"],
        max_per_buyer=row["max_per_buyer"],
        queue=bool(row["queue"] and row["queue"].get("enabled")),
        fee=msgspec.convert(row["fee"], FeeSchedule),
    )
    return Inventory(facts, _pool(row), row["next_ticket"])


def _tier(row: Any) -> TierFacts:
    return TierFacts(
        number=row["number"],
        id=row["id"],
        name=row["name"],
        price=row["price"],
        tax_bps=row["tax_bps"],
        max_per_order=row["max_per_order"],
        hidden=row["hidden"],
        sale_starts_at=micros_or_none(row["sale_starts_at"]),
        sale_ends_at=micros_or_none(row["sale_ends_at"]),
        deleted=row["deleted"],
    )


def _promo(row: Any) -> PromoFacts:
    return PromoFacts(
        number=row["number"],
        id=row["id"],
        code=row["code"],
        percent_bps=row["percent_bps"],
        amount=row["amount"],
        max_uses=row["max_uses"],
        tiers=None if row["tiers"] is None else tuple(row["tiers"]),
        reveals_hidden=row["reveals_hidden"],
        valid_from=micros_or_none(row["valid_from"]),
        valid_until=micros_or_none(row["valid_until"]),
    )


def _basket(row: Any) -> Basket:
    lines = tuple((number, quantity) for number, quantity in row["lines"])
    return Basket(
        row["number"], lines, sum(q for _, q in lines), row["promo"], msgspec.convert(row["quote"], Quote)
    )


async def write(conn: Any, catalog: list[tuple[int, EventChanged | TierPut | PromoPut]]) -> None:
    """Catalog rows as decided. The pages' columns (name, description, …) travel as records."""
    for event, change in catalog:
        if isinstance(change, EventChanged):
            await _write_event(conn, change)
        elif isinstance(change, TierPut):
            await _write_tier(conn, event, change)
        else:
            await _write_promo(conn, event, change.facts)


async def _write_event(conn: Any, change: EventChanged) -> None:
    facts = change.facts
    await conn.execute(
        """UPDATE events SET state = $2, on_sale_at = $3, hold_seconds = $4, max_per_buyer = $5, fee = $6
           WHERE number = $1""",
        facts.number,
        facts.state,
        instant_or_none(facts.on_sale_at),
        facts.hold_seconds,
        facts.max_per_buyer,
        msgspec.to_builtins(facts.fee),
    )
    await conn.execute("UPDATE venue_pools SET capacity = $2 WHERE event = $1", facts.number, change.capacity)


async def _write_tier(conn: Any, event: int, change: TierPut) -> None:
    facts = change.facts
    await conn.execute(
        """INSERT INTO tiers (event, number, id, name, price, tax_bps, max_per_order, hidden, sale_starts_at,
                              sale_ends_at, deleted)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
           ON CONFLICT (event, number) DO UPDATE SET name = $4, price = $5, tax_bps = $6, max_per_order = $7,
               hidden = $8, sale_starts_at = $9, sale_ends_at = $10, deleted = $11""",
        event,
        facts.number,
        facts.id,
        facts.name,
        facts.price,
        facts.tax_bps,
        facts.max_per_order,
        facts.hidden,
        instant_or_none(facts.sale_starts_at),
        instant_or_none(facts.sale_ends_at),
        facts.deleted,
    )
    await conn.execute(
        """WITH old AS (SELECT withheld FROM tier_pools WHERE event = $1 AND number = $2),
                tier AS (INSERT INTO tier_pools (event, number, capacity, withheld) VALUES ($1, $2, $3, $4)
                         ON CONFLICT (event, number) DO UPDATE SET capacity = $3, withheld = $4)
           UPDATE venue_pools SET withheld = withheld + $4 - coalesce((SELECT withheld FROM old), 0) WHERE event = $1""",
        event,
        facts.number,
        change.capacity,
        change.withheld,
    )


async def _write_promo(conn: Any, event: int, facts: PromoFacts) -> None:
    await conn.execute(
        """INSERT INTO promo_codes (event, number, id, code, percent_bps, amount, max_uses, tiers, reveals_hidden,
                                    valid_from, valid_until)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)""",
        event,
        facts.number,
        facts.id,
        facts.code,
        facts.percent_bps,
        facts.amount,
        facts.max_uses,
        None if facts.tiers is None else list(facts.tiers),
        facts.reveals_hidden,
        instant_or_none(facts.valid_from),
        instant_or_none(facts.valid_until),
    )


async def write_baskets(conn: Any, baskets: list[tuple[int, Basket]]) -> None:
    """Baskets first held in this batch."""
    await conn.execute(
        """INSERT INTO baskets (event, number, lines, promo, quote)
           SELECT * FROM unnest($1::int[], $2::int[], $3::jsonb[], $4::int[], $5::jsonb[])
           ON CONFLICT DO NOTHING""",
        [event for event, _ in baskets],
        [basket.number for _, basket in baskets],
        [basket.lines for _, basket in baskets],
        [basket.promo for _, basket in baskets],
        [msgspec.to_builtins(basket.quote) for _, basket in baskets],
    )


async def write_promo_uses(conn: Any, promos: list[tuple[int, int, int]]) -> None:
    await conn.execute(
        """UPDATE promo_codes SET used = u FROM unnest($1::int[], $2::int[], $3::bigint[]) AS p (e, n, u)
           WHERE event = e AND number = n""",
        [event for event, _, _ in promos],
        [number for _, number, _ in promos],
        [used for _, _, used in promos],
    )


async def write_withheld(conn: Any, withheld: list[tuple[int, int, int]]) -> None:
    """Places withheld after a batch: of tiers, and of venues (tier 0)."""
    for event, tier, places in withheld:
        if tier:
            await conn.execute(
                "UPDATE tier_pools SET withheld = $3 WHERE event = $1 AND number = $2", event, tier, places
            )
        else:
            await conn.execute("UPDATE venue_pools SET withheld = $2 WHERE event = $1", event, places)
