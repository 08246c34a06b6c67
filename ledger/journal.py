"""The journal in SQL: entries with their postings in one statement, each fact once.

Errors: `JournalConflict` when a fact is booked again with other postings. We are wrong: somebody must look.
"""

from __future__ import annotations

from typing import Any

# Taken shared by whoever books, exclusively by whoever closes a period: nothing is stamped before a cut and
# committed after it.
PERIOD_LOCK = 0x464D4A


class JournalConflict(ValueError):
    """The same fact with other figures."""


async def insert_entries(conn: Any, entries: list[dict[str, Any]]) -> None:
    """Rows of `ledger.entry.to_row`. A fact that is booked already is skipped. Raises JournalConflict."""
    await conn.execute("SELECT pg_advisory_xact_lock_shared($1)", PERIOD_LOCK)
    for entry in entries:
        made = await conn.fetchval(
            """WITH e AS (
                   INSERT INTO journal_entries (source_type, source_id, kind, lines, organizer, event, order_id,
                                                effective_at, booked_at, description)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, timestamptz 'epoch' + $8 * interval '1 microsecond',
                           clock_timestamp(), $9)
                   ON CONFLICT DO NOTHING RETURNING id, booked_at),
               p AS (
                   INSERT INTO journal_postings (entry, line, account, currency, amount, event, section, booked_at)
                   SELECT e.id, n, v ->> 'account', right(v ->> 'account', 3), (v ->> 'amount')::bigint,
                          v ->> 'event', v ->> 'section', e.booked_at
                   FROM e, jsonb_array_elements($10::jsonb) WITH ORDINALITY AS a (v, n))
               SELECT id FROM e""",
            entry["source_type"],
            entry["source_id"],
            entry["kind"],
            len(entry["postings"]),
            entry["organizer"],
            entry["event"],
            entry["order"],
            entry["effective_at"],
            entry["description"],
            entry["postings"],
        )
        if made is None:
            await _compare(conn, entry)


async def _compare(conn: Any, entry: dict[str, Any]) -> None:
    rows = await conn.fetch(
        """SELECT p.account, p.amount FROM journal_postings p JOIN journal_entries e ON e.id = p.entry
           WHERE e.source_type = $1 AND e.source_id = $2 AND e.kind = $3 ORDER BY p.line""",
        entry["source_type"],
        entry["source_id"],
        entry["kind"],
    )
    booked = [(row["account"], row["amount"]) for row in rows]
    if booked != [(one["account"], one["amount"]) for one in entry["postings"]]:
        raise JournalConflict(f"{entry['kind']} of {entry['source_id']} is booked with other postings")
