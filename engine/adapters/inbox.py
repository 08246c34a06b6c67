"""Notices from Stripe: stored once by their id before they are answered, applied by the owner of their event."""

from __future__ import annotations

from typing import Any


async def store(conn: Any, notice: str, kind: str, shard: int | None, payload: dict[str, Any]) -> bool:
    """True if it is new."""
    return (
        await conn.fetchval(
            """INSERT INTO inbox (id, type, shard, payload) VALUES ($1, $2, $3, $4)
               ON CONFLICT DO NOTHING RETURNING true""",
            notice,
            kind,
            shard,
            payload,
        )
    ) or False


async def shard_of(conn: Any, event_id: str | None, payment_intent: str | None) -> int | None:
    """The shard of the event a notice is about, by its metadata or by the payment we made."""
    found: int | None = await conn.fetchval("SELECT shard FROM events WHERE id = $1", event_id)
    if found is None and payment_intent is not None:
        found = await conn.fetchval(
            "SELECT shard FROM events e JOIN orders o ON o.event = e.number WHERE o.payment_intent = $1",
            payment_intent,
        )
    return found


async def waiting(conn: Any, shards: list[int], limit: int) -> list[Any]:
    """Unapplied notices of these shards (and those of no event, with shard 0), oldest first."""
    rows: list[Any] = await conn.fetch(
        """SELECT id, type, shard, payload, attempts FROM inbox
           WHERE processed_at IS NULL AND (retry_at IS NULL OR retry_at < clock_timestamp())
             AND (shard = ANY($1::smallint[]) OR (shard IS NULL AND 0 = ANY($1::smallint[])))
           ORDER BY received_at LIMIT $2""",
        shards,
        limit,
    )
    return rows


async def applied(conn: Any, notice: str, result: str) -> None:
    await conn.execute(
        "UPDATE inbox SET processed_at = clock_timestamp(), result = $2 WHERE id = $1", notice, result
    )


async def retry(conn: Any, notice: str) -> None:
    """Not now: again after a pause that grows with each attempt."""
    await conn.execute(
        """UPDATE inbox SET attempts = attempts + 1,
               retry_at = clock_timestamp() + least(power(2, attempts), 300) * interval '1 second' WHERE id = $1""",
        notice,
    )


async def lag_seconds(conn: Any) -> float:
    """Age of the oldest notice that is not applied; 0 when there is none."""
    found: float = await conn.fetchval(
        """SELECT coalesce(extract(epoch FROM clock_timestamp() - min(received_at)), 0)::float8
           FROM inbox WHERE processed_at IS NULL"""
    )
    return found
