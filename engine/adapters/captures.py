"""Captured payments in SQL: what Stripe says came of them, and what of it stands in another currency."""

from __future__ import annotations

from typing import Any

from ledger.journal import insert_entries

_COLUMNS = """c.*, o.number, o.organizer, o.quote, o.purchase_rate, o.fee, e.id AS event_id, e.shard"""


async def find(conn: Any, payment: str, *, lock: bool = False) -> Any:
    """A capture with what its order froze; None if unknown. `lock` within a transaction."""
    return await conn.fetchrow(
        f"""SELECT {_COLUMNS} FROM captures c JOIN orders o ON o.id = c.order_id JOIN events e ON e.number = o.event
            WHERE c.id = $1 {"FOR UPDATE OF c" if lock else ""}""",
        payment,
    )


async def clear(
    conn: Any, payment: str, facts: dict[str, Any], entries: list[dict[str, Any]], lot: dict[str, Any] | None
) -> bool:
    """Book the balance transaction once. `facts`: the txn columns of captures. False when it was known already."""
    known = await conn.fetchval("SELECT txn FROM captures WHERE id = $1 FOR UPDATE", payment)
    if known is not None:
        return False
    await insert_entries(conn, entries)
    await conn.execute(
        """UPDATE captures SET txn = $2, txn_currency = $3, txn_amount = $4, txn_fee = $5, txn_rate = $6,
               recharged = $7, charge = $8, cleared_at = clock_timestamp() WHERE id = $1""",
        payment,
        facts["txn"],
        facts["txn_currency"],
        facts["txn_amount"],
        facts["txn_fee"],
        facts["txn_rate"],
        facts["recharged"],
        facts["charge"],
    )
    if lot is not None:
        await insert_lot(conn, lot)
    return True


async def insert_lot(conn: Any, lot: dict[str, Any]) -> None:
    await conn.execute(
        """INSERT INTO fx_lots (source, order_id, organizer, payout_currency, balance_currency, payout_left, balance_left)
           SELECT source, order_id, organizer, payout_currency, balance_currency, payout_left, balance_left
           FROM jsonb_populate_record(NULL::fx_lots, $1) ON CONFLICT DO NOTHING""",
        lot,
    )


async def poke(conn: Any, payment: str) -> None:
    """Stripe has more to say about this payment: ask now."""
    await conn.execute(
        "UPDATE outbox SET run_at = clock_timestamp() WHERE key = 'clear:' || $1 AND done_at IS NULL", payment
    )
