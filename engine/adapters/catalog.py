"""Organizers, keys and events in SQL, as actions write them and admin reads them. Owners' rows: `catalog_rows`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.adapters import records
from engine.core.model import Record


async def insert_organizer(conn: Any, row: dict[str, Any], audit: Record) -> None:
    made = await conn.fetchval(
        """INSERT INTO organizers (id, name, email, country, payout_currency, stripe_account, fee)
           VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING true""",
        row["id"],
        row["name"],
        row["email"],
        row["country"],
        row["payout_currency"],
        row.get("stripe_account"),
        row.get("fee"),
    )
    if made:
        await records.write(conn, [audit])


async def organizer(conn: Any, organizer_id: str) -> Any:
    return await conn.fetchrow("SELECT * FROM organizers WHERE id = $1", organizer_id)


async def insert_key(
    conn: Any, key_id: str, organizer_id: str | None, digest: bytes, name: str, audit: Record | None
) -> None:
    await conn.execute(
        "INSERT INTO api_keys (id, organizer, hash, name) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        key_id,
        organizer_id,
        digest,
        name,
    )
    if audit is not None:
        await records.write(conn, [audit])


async def find_key(conn: Any, digest: bytes) -> Any:
    """The key with this hash that is not revoked; its last use is noted to the minute."""
    row = await conn.fetchrow(
        "SELECT id, organizer, name, last_used_at < now() - interval '1 minute' AS stale, last_used_at FROM api_keys "
        "WHERE hash = $1 AND revoked_at IS NULL",
        digest,
    )
    if row is not None and (row["last_used_at"] is None or row["stale"]):
        await conn.execute("UPDATE api_keys SET last_used_at = now() WHERE id = $1", row["id"])
    return row


_EVENT_COLUMNS = [
    "id",
    "organizer",
    "slug",
    "name",
    "description",
    "venue",
    "starts_at",
    "ends_at",
    "doors_at",
    "timezone",
    "currency",
    "on_sale_at",
    "hold_seconds",
    "max_per_buyer",
    "resell_refunded",
    "reentry",
    "queue",
    "fee",
    "refund_policy",
]


async def insert_event(
    conn: Any, row: dict[str, Any], capacity: int, shard_of: Callable[[int], int], audit: Record
) -> int:
    """The number of the event with this id, made if it is not there yet."""
    names = ", ".join(_EVENT_COLUMNS)
    number: int | None = await conn.fetchval("SELECT number FROM events WHERE id = $1", row["id"])
    if number is not None:
        return number
    number = int(await conn.fetchval("SELECT nextval(pg_get_serial_sequence('events', 'number'))"))
    await conn.execute(
        f"""INSERT INTO events (number, shard, {names}) OVERRIDING SYSTEM VALUE
            SELECT $1, $2, {names} FROM jsonb_populate_record(NULL::events, $3)""",
        number,
        shard_of(number),
        {name: row.get(name) for name in _EVENT_COLUMNS},
    )
    await conn.execute("INSERT INTO venue_pools (event, capacity) VALUES ($1, $2)", number, capacity)
    await records.write(conn, [audit])
    return number


async def has_tier(conn: Any, number: int) -> bool:
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM tiers WHERE event = $1 AND NOT deleted)", number
    )
    return found


async def find_event(conn: Any, event_id: str, organizer_id: str | None) -> Any:
    """An event with its venue's pool; None if it is unknown or, `organizer_id` given, somebody else's."""
    return await conn.fetchrow(
        """SELECT e.*, v.capacity, v.held, v.in_checkout, v.sold, v.comped, v.withheld FROM events e
           JOIN venue_pools v ON v.event = e.number
           WHERE e.id = $1 AND ($2::text IS NULL OR e.organizer = $2)""",
        event_id,
        organizer_id,
    )


async def list_events(conn: Any, organizer_id: str | None, limit: int, after: str | None) -> list[Any]:
    """Events newest first, up to one more than `limit`."""
    rows: list[Any] = await conn.fetch(
        """SELECT e.*, v.capacity, v.held, v.in_checkout, v.sold, v.comped, v.withheld FROM events e
           JOIN venue_pools v ON v.event = e.number
           WHERE ($1::text IS NULL OR e.organizer = $1)
             AND ($2::text IS NULL OR e.number < (SELECT number FROM events WHERE id = $2))
           ORDER BY e.number DESC LIMIT $3""",
        organizer_id,
        after,
        limit + 1,
    )
    return rows


async def list_shown(conn: Any, limit: int, after: str | None) -> list[str]:
    """Ids of events that buyers may see, soonest first, up to one more than `limit`."""
    rows = await conn.fetch(
        """SELECT id FROM events
           WHERE state IN ('published', 'paused') AND coalesce(ends_at, starts_at + interval '12 hours') > now()
             AND ($1::text IS NULL OR (starts_at, id) > (SELECT starts_at, id FROM events WHERE id = $1))
           ORDER BY starts_at, id LIMIT $2""",
        after,
        limit + 1,
    )
    return [row["id"] for row in rows]


async def event_id_of(conn: Any, slug: str) -> str | None:
    found: str | None = await conn.fetchval("SELECT id FROM events WHERE slug = $1 OR id = $1", slug)
    return found


async def tiers_of(conn: Any, number: int) -> list[Any]:
    """Tiers that are not deleted, with their pools."""
    rows: list[Any] = await conn.fetch(
        """SELECT t.*, p.capacity, p.held, p.in_checkout, p.sold, p.comped, p.withheld
           FROM tiers t JOIN tier_pools p USING (event, number) WHERE event = $1 AND NOT deleted ORDER BY number""",
        number,
    )
    return rows


async def find_tier(conn: Any, tier_id: str, organizer_id: str | None) -> Any:
    """A tier with its event's id, number and currency; None if unknown, deleted or somebody else's."""
    return await conn.fetchrow(
        """SELECT t.*, p.capacity, p.held, p.in_checkout, p.sold, p.comped, p.withheld, e.id AS event_id, e.currency
           FROM tiers t JOIN tier_pools p USING (event, number) JOIN events e ON e.number = t.event
           WHERE t.id = $1 AND NOT t.deleted AND ($2::text IS NULL OR e.organizer = $2)""",
        tier_id,
        organizer_id,
    )


async def find_promo(conn: Any, promo_id: str) -> Any:
    return await conn.fetchrow("SELECT * FROM promo_codes WHERE id = $1", promo_id)
