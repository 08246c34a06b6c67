"""Rows that actions prepared, written in somebody else's transaction: a shard's batch or an action's own.

A record's kind is `insert TABLE`, `update TABLE` (by id) or `journal` (a journal entry). Rows of one kind and one set of
columns go in one statement, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from engine.core.model import Record, TicketsMade
from ledger.journal import insert_entries

_TABLES = frozenset(
    {
        "organizers",
        "api_keys",
        "events",
        "orders",
        "tickets",
        "refunds",
        "inbox",
        "outbox",
        "blocks",
        "operator_tasks",
        "audit",
        "idempotency",
        "guests",
        "captures",
        "payouts",
    }
)
# A second task of the same kind about the same subject says nothing new; an outside effect is asked for once.
_ONCE = frozenset({"operator_tasks", "outbox", "refunds", "captures"})


async def write(conn: Any, records: Iterable[Record]) -> None:
    """Write all records in order of first appearance of their kind. Raises what asyncpg raises."""
    groups: dict[tuple[str, tuple[str, ...]], list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault((record.kind, tuple(record.row)), []).append(record.row)
    for (kind, columns), rows in groups.items():
        if kind == "journal":
            await insert_entries(conn, rows)
            continue
        verb, _, table = kind.partition(" ")
        if table not in _TABLES or not all(column.isidentifier() for column in columns):
            raise ValueError(f"no such record: {kind} {columns}")
        names = ", ".join(columns)
        if verb == "insert":
            once = " ON CONFLICT DO NOTHING" if table in _ONCE else ""
            await conn.execute(
                f"INSERT INTO {table} ({names}) SELECT {names} FROM jsonb_populate_recordset(NULL::{table}, $1){once}",
                rows,
            )
        elif verb == "update":
            sets = ", ".join(f"{column} = r.{column}" for column in columns if column != "id")
            await conn.execute(
                f"UPDATE {table} AS t SET {sets} FROM jsonb_populate_recordset(NULL::{table}, $1) AS r WHERE t.id = r.id",
                rows,
            )
        else:
            raise ValueError(f"no such record: {kind}")


async def write_tickets(conn: Any, made: list[tuple[int, TicketsMade]]) -> None:
    """Tickets with the numbers their event's owner gave them."""
    await conn.execute(
        """INSERT INTO tickets (id, event, number, tier, order_id, name, price)
           SELECT id, event, number, tier, nullif(order_id, ''), name, price
           FROM jsonb_populate_recordset(NULL::tickets, $1)""",
        [
            {
                "id": ticket.id,
                "event": event,
                "number": change.first_number + at,
                "tier": ticket.tier,
                "order_id": change.order,
                "name": ticket.name,
                "price": msgspec.to_builtins(ticket.price),
            }
            for event, change in made
            for at, ticket in enumerate(change.tickets)
        ],
    )


async def write_overdue(conn: Any, shard: int, overdue: list[tuple[int, str]]) -> None:
    """Payments to cancel at Stripe because their hold's time is over."""
    await conn.execute(
        """INSERT INTO outbox (kind, key, shard, payload)
           SELECT 'cancel_payment', 'cancel:' || o, $1, jsonb_build_object('order', o) FROM unnest($2::text[]) AS o
           ON CONFLICT DO NOTHING""",
        shard,
        [order for _, order in overdue],
    )
