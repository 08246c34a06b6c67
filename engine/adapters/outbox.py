"""Outside effects owed: rows written in the transaction that decided them, claimed here, done once each.

Promises: a claim lapses by itself, so a crash between claim and effect only delays; effects carry keys of our own.
"""

from __future__ import annotations

from typing import Any

_CLAIM_SECONDS = 60
_LONGEST_PAUSE_SECONDS = 300


async def claim(conn: Any, kinds: list[str], shards: list[int] | None, limit: int) -> list[Any]:
    """Up to `limit` due rows of these kinds (of these shards), ours for a minute."""
    rows: list[Any] = await conn.fetch(
        """UPDATE outbox SET claimed_until = clock_timestamp() + $4 * interval '1 second', attempts = attempts + 1
           WHERE id IN (
               SELECT id FROM outbox
               WHERE done_at IS NULL AND kind = ANY($1::text[]) AND run_at <= clock_timestamp()
                 AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
                 AND ($2::smallint[] IS NULL OR shard = ANY($2::smallint[]))
               ORDER BY run_at LIMIT $3 FOR UPDATE SKIP LOCKED)
           RETURNING id, kind, key, payload, attempts, created_at""",
        kinds,
        shards,
        limit,
        _CLAIM_SECONDS,
    )
    return rows


async def done(conn: Any, row_id: int) -> None:
    await conn.execute(
        "UPDATE outbox SET done_at = clock_timestamp(), claimed_until = NULL, error = NULL WHERE id = $1",
        row_id,
    )


async def later(conn: Any, row_id: int, attempts: int, error: str, seconds: float | None = None) -> None:
    """Try again after `seconds`, or after a pause that doubles with each attempt."""
    pause = min(2.0 ** min(attempts, 10), _LONGEST_PAUSE_SECONDS) if seconds is None else seconds
    await conn.execute(
        """UPDATE outbox SET claimed_until = NULL, error = $2, run_at = clock_timestamp() + $3 * interval '1 second'
           WHERE id = $1""",
        row_id,
        error[:500],
        pause,
    )
