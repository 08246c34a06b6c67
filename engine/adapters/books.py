"""The ledger for the faces: balances and entries, read in short queries."""

from __future__ import annotations

from typing import Any

from engine.adapters.times import rfc3339_or_none


async def trial_balance(conn: Any) -> list[dict[str, Any]]:
    """Every account with its balance (+ debit, − credit). They sum to zero per currency."""
    rows = await conn.fetch(
        "SELECT account, sum(amount)::bigint AS balance FROM journal_postings GROUP BY account ORDER BY account"
    )
    return [{"account": row["account"], "balance": row["balance"]} for row in rows]


async def entries_of(conn: Any, order: str, organizer: str | None) -> list[dict[str, Any]]:
    """An order's entries with their postings, in the order they were booked; an organizer sees their own."""
    rows = await conn.fetch(
        """SELECT e.id, e.source_type, e.source_id, e.kind, e.booked_at, e.effective_at, e.description,
                  json_agg(json_build_object('account', p.account, 'currency', p.currency, 'amount', p.amount)
                           ORDER BY p.line) AS postings
           FROM journal_entries e JOIN journal_postings p ON p.entry = e.id
           WHERE e.order_id = $1 AND ($2::text IS NULL OR e.organizer = $2)
           GROUP BY e.id ORDER BY e.id""",
        order,
        organizer,
    )
    return [
        {
            "id": row["id"],
            "source": {"type": row["source_type"], "id": row["source_id"]},
            "kind": row["kind"],
            "booked_at": rfc3339_or_none(row["booked_at"]),
            "effective_at": rfc3339_or_none(row["effective_at"]),
            "description": row["description"],
            "postings": row["postings"],
        }
        for row in rows
    ]
