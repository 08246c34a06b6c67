"""Refunds in SQL: decided under the order's lock, noted as Stripe answers, settled once."""

from __future__ import annotations

from typing import Any

from engine.adapters import records
from engine.core.model import Record
from ledger.journal import insert_entries

_COLUMNS = "r.*, o.number, o.organizer, o.quote, o.purchase_rate, e.id AS event_id, e.number AS event, e.shard, e.resell_refunded"
_FROM = "refunds r JOIN orders o ON o.id = r.order_id JOIN events e ON e.number = o.event"


async def find(conn: Any, refund: str) -> Any:
    """One refund with what its order and event say; None if unknown."""
    return await conn.fetchrow(f"SELECT {_COLUMNS} FROM {_FROM} WHERE r.id = $1", refund)


async def find_by_stripe(conn: Any, stripe_refund: str) -> str | None:
    """The id of the refund that Stripe calls so."""
    found: str | None = await conn.fetchval("SELECT id FROM refunds WHERE stripe_refund = $1", stripe_refund)
    return found


async def of_order(conn: Any, order: str) -> list[Any]:
    """An order's refunds, oldest first."""
    rows: list[Any] = await conn.fetch("SELECT * FROM refunds WHERE order_id = $1 ORDER BY created_at", order)
    return rows


async def lock_order(conn: Any, order: str) -> tuple[Any, list[Any], list[Any]]:
    """(order, tickets in the order of its lines, refunds that count), the order locked until the transaction ends."""
    row = await conn.fetchrow(
        """SELECT o.*, e.id AS event_id, e.shard, e.starts_at AS starts_now, e.state AS event_state
           FROM orders o JOIN events e ON e.number = o.event WHERE o.id = $1 FOR UPDATE OF o""",
        order,
    )
    tickets = await conn.fetch("SELECT * FROM tickets WHERE order_id = $1 ORDER BY number FOR UPDATE", order)
    past = await conn.fetch(
        """SELECT * FROM refunds WHERE order_id = $1 AND kind NOT IN ('late', 'review')
             AND NOT (status = 'failed' AND stripe_refund IS NULL) ORDER BY created_at""",
        order,
    )
    return row, tickets, past


async def accept(conn: Any, order: str, status: str, row: dict[str, Any], rows: list[Record]) -> None:
    """Write a refund that was decided under `lock_order`: tickets void, the order's state, entry, effects."""
    await conn.execute(
        "UPDATE tickets SET status = 'void' WHERE order_id = $1 AND id = ANY($2::text[])",
        order,
        row["tickets"],
    )
    await conn.execute(
        "UPDATE orders SET status = $2, refunded = refunded + $3 WHERE id = $1", order, status, row["amount"]
    )
    await records.write(conn, [Record("insert refunds", row), *rows])


async def taken(conn: Any, refund: str, stripe_refund: str | None, status: str, owed: list[Record]) -> None:
    """Stripe took it: its id and state, and what follows."""
    await conn.execute(
        "UPDATE refunds SET stripe_refund = $2, status = $3 WHERE id = $1", refund, stripe_refund, status
    )
    await records.write(conn, owed)


async def refused(conn: Any, refund: Any, code: str, entry: dict[str, Any] | None, task: Record) -> None:
    """Stripe will not: nothing is owed, the tickets are good again, somebody should look."""
    order = await conn.fetchrow("SELECT * FROM orders WHERE id = $1 FOR UPDATE", refund["order_id"])
    known = await conn.fetchval("SELECT status FROM refunds WHERE id = $1 FOR UPDATE", refund["id"])
    if known != "pending":
        return
    await conn.execute("UPDATE refunds SET status = 'failed', failure = $2 WHERE id = $1", refund["id"], code)
    await conn.execute("UPDATE tickets SET status = 'valid' WHERE id = ANY($1::text[])", refund["tickets"])
    left = order["refunded"] - refund["amount"]
    void = await conn.fetchval(
        "SELECT count(*) FROM tickets WHERE order_id = $1 AND status = 'void'", refund["order_id"]
    )
    status = "partially_refunded" if left or void else "paid"
    await conn.execute(
        "UPDATE orders SET refunded = $2, status = $3 WHERE id = $1", refund["order_id"], left, status
    )
    if entry is not None:
        await insert_entries(conn, [entry])
    await records.write(conn, [task])


async def entry_of(conn: Any, refund: str) -> dict[str, Any] | None:
    """The journal's `refund` entry as `ledger.entry` reads it."""
    row = await conn.fetchrow(
        """SELECT e.*, json_agg(json_build_object('account', p.account, 'amount', p.amount, 'event', p.event,
                                                  'section', p.section) ORDER BY p.line) AS postings
           FROM journal_entries e JOIN journal_postings p ON p.entry = e.id
           WHERE e.source_type = 'refund' AND e.source_id = $1 AND e.kind = 'refund' GROUP BY e.id""",
        refund,
    )
    return None if row is None else dict(row)


async def places_of(conn: Any, refund: str) -> list[tuple[int, int]]:
    """(tier number, tickets) that a refund voided."""
    rows = await conn.fetch(
        """SELECT tier, count(*) AS n FROM tickets WHERE id = ANY(
               (SELECT tickets FROM refunds WHERE id = $1)::text[]) GROUP BY tier ORDER BY tier""",
        refund,
    )
    return [(row["tier"], row["n"]) for row in rows]


async def settle(
    conn: Any, refund: str, facts: dict[str, Any], entries: list[dict[str, Any]], lot: dict[str, Any] | None
) -> None:
    """Book what Stripe's balance says of a refund, once. `facts`: status, txn, failure_txn, failure."""
    known = await conn.fetchrow("SELECT * FROM refunds WHERE id = $1 FOR UPDATE", refund)
    await insert_entries(conn, entries)
    if lot is not None and known["txn"] is None:
        await _take_from_lot(conn, lot)
    await conn.execute(
        """UPDATE refunds SET status = $2, txn = coalesce(txn, $3), failure_txn = coalesce(failure_txn, $4),
               failure = coalesce($5, failure) WHERE id = $1""",
        refund,
        facts["status"],
        facts["txn"],
        facts["failure_txn"],
        facts["failure"],
    )
    if facts["task"] is not None:
        await records.write(conn, [facts["task"]])


async def lot_of(conn: Any, capture: str) -> Any:
    return await conn.fetchrow("SELECT * FROM fx_lots WHERE source = $1", capture)


async def _take_from_lot(conn: Any, lot: dict[str, Any]) -> None:
    """Out of the lot of its own sale; once that is paid out, against the next."""
    done = await conn.fetchval(
        """UPDATE fx_lots SET payout_left = payout_left - $2, balance_left = balance_left - $3
           WHERE source = $1 AND payout_left >= $2 RETURNING true""",
        lot["capture"],
        lot["payout"],
        lot["balance"],
    )
    if not done:
        await conn.execute(
            """INSERT INTO fx_lots (source, order_id, organizer, payout_currency, balance_currency, payout_left,
                                    balance_left) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING""",
            lot["source"],
            lot["order_id"],
            lot["organizer"],
            lot["payout_currency"],
            lot["balance_currency"],
            -lot["payout"],
            -lot["cost"],
        )
