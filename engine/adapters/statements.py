"""Settlements and statements in SQL: sums of an organizer's postings, and the documents once they are closed.

Promises: closing waits for every writer that may have stamped an earlier time; what is stored is served for ever.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ledger import accounts
from ledger.journal import PERIOD_LOCK


async def close_period(conn: Any) -> datetime:
    """Whoever books has committed, or stamps later than the cut this returns. Within a transaction."""
    await conn.execute("SELECT pg_advisory_xact_lock($1)", PERIOD_LOCK)
    cut: datetime = await conn.fetchval("SELECT clock_timestamp()")
    return cut


async def sums(
    conn: Any,
    organizer: str,
    currency: str,
    start: datetime | None,
    end: datetime | None,
    event: str | None = None,
) -> dict[str, int]:
    """Postings to what is payable by statement line, booked from `start` and before `end`; of one event or of all."""
    rows = await conn.fetch(
        """SELECT section, sum(amount)::bigint AS amount FROM journal_postings
           WHERE account = $1 AND section IS NOT NULL AND ($2::timestamptz IS NULL OR booked_at >= $2)
             AND ($3::timestamptz IS NULL OR booked_at < $3) AND ($4::text IS NULL OR event = $4)
           GROUP BY section""",
        accounts.payable(organizer, currency),
        start,
        end,
        event,
    )
    return {row["section"]: row["amount"] for row in rows}


async def postings(
    conn: Any,
    organizer: str,
    currency: str,
    start: datetime,
    end: datetime,
    after: tuple[int, int],
    limit: int,
) -> list[Any]:
    """One page of the postings behind a statement, in the order they were booked; `after`: (entry, line)."""
    rows: list[Any] = await conn.fetch(
        """SELECT p.entry, p.line, p.booked_at, p.section, p.event, p.amount, e.kind, e.description, o.number
           FROM journal_postings p JOIN journal_entries e ON e.id = p.entry LEFT JOIN orders o ON o.id = e.order_id
           WHERE p.account = $1 AND p.booked_at >= $2 AND p.booked_at < $3 AND (p.entry, p.line) > ($4, $5)
           ORDER BY p.entry, p.line LIMIT $6""",
        accounts.payable(organizer, currency),
        start,
        end,
        *after,
        limit,
    )
    return rows


async def rates_of(
    conn: Any, organizer: str, start: datetime | None, end: datetime | None, event: str | None = None
) -> list[Any]:
    """The rates that sales were booked at, each once, oldest first."""
    rows = await conn.fetch(
        """SELECT DISTINCT o.purchase_rate AS rate FROM journal_entries e JOIN orders o ON o.id = e.order_id
           WHERE e.organizer = $1 AND e.kind = 'sale' AND o.purchase_rate IS NOT NULL
             AND ($2::timestamptz IS NULL OR e.booked_at >= $2) AND ($3::timestamptz IS NULL OR e.booked_at < $3)
             AND ($4::text IS NULL OR e.event = $4)""",
        organizer,
        start,
        end,
        event,
    )
    return sorted((row["rate"] for row in rows), key=lambda rate: (rate["at"], rate["from"], rate["rate"]))


async def settlement(conn: Any, event: str) -> Any:
    return await conn.fetchrow("SELECT * FROM settlements WHERE event = $1", event)


async def insert_settlement(conn: Any, event: str, organizer: str, cut: datetime, document: bytes) -> None:
    await conn.execute(
        "INSERT INTO settlements (event, organizer, cut, document) VALUES ($1, $2, $3, $4)",
        event,
        organizer,
        cut,
        document,
    )


async def statement(conn: Any, organizer: str, month: str) -> Any:
    return await conn.fetchrow(
        "SELECT * FROM statements WHERE organizer = $1 AND month = $2", organizer, month
    )


async def insert_statement(conn: Any, row: dict[str, Any]) -> None:
    await conn.execute(
        """INSERT INTO statements (organizer, month, id, cut, document, csv, pdf)
           VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        *(row[name] for name in ("organizer", "month", "id", "cut", "document", "csv", "pdf")),
    )
