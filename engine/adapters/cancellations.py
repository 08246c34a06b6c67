"""Orders of a cancelled event in SQL: whom to refund, who may still pay, how far it is."""

from __future__ import annotations

from typing import Any

# Paid, not refunded in full, and nobody has found yet that it cannot be.
_LEFT = """o.event = $1 AND o.status IN ('paid', 'partially_refunded')
    AND NOT EXISTS (SELECT FROM operator_tasks t WHERE t.kind = 'cancellation_failed' AND t.subject = o.number)"""


async def to_refund(conn: Any, event: int, limit: int) -> list[str]:
    """Ids of orders to refund, oldest first."""
    rows = await conn.fetch(
        f"SELECT o.id FROM orders o WHERE {_LEFT} ORDER BY o.created_at LIMIT $2", event, limit
    )
    return [row["id"] for row in rows]


async def is_open(conn: Any, event: int) -> bool:
    """Whether somebody is still to be refunded, or may still pay."""
    found: bool = await conn.fetchval(
        f"""SELECT EXISTS (SELECT FROM orders o WHERE {_LEFT})
               OR EXISTS (SELECT FROM orders WHERE event = $1 AND status = 'awaiting_payment')""",
        event,
    )
    return found


async def stop_checkouts(conn: Any, event: int) -> None:
    """Payments that have not happened are cancelled at Stripe, now instead of at their holds' expiry."""
    await conn.execute(
        """INSERT INTO outbox (kind, key, shard, payload)
           SELECT 'cancel_payment', 'cancel:' || o.id, e.shard, jsonb_build_object('order', o.id)
           FROM orders o JOIN events e ON e.number = o.event WHERE o.event = $1 AND o.status = 'awaiting_payment'
           ON CONFLICT DO NOTHING""",
        event,
    )


async def note_failure(conn: Any, order: str, why: str) -> None:
    """Somebody must look at this order: it cannot be refunded by itself."""
    await conn.execute(
        """INSERT INTO operator_tasks (kind, subject, detail)
           SELECT 'cancellation_failed', number, jsonb_build_object('why', $2::text) FROM orders WHERE id = $1
           ON CONFLICT DO NOTHING""",
        order,
        why,
    )


async def progress(conn: Any, event: int) -> dict[str, Any]:
    """`{"orders", "refunded", "pending", "failed", "left", "failures": [{"order", "why"}]}`"""
    row = await conn.fetchrow(
        f"""SELECT count(*) AS orders, count(*) FILTER (WHERE r.status = 'succeeded') AS refunded,
                   count(*) FILTER (WHERE r.status = 'pending') AS pending,
                   count(*) FILTER (WHERE r.status = 'failed') AS failed,
                   (SELECT count(*) FROM orders o WHERE {_LEFT}) AS left
            FROM orders p LEFT JOIN refunds r ON r.order_id = p.id AND r.kind = 'cancelled'
            WHERE p.event = $1 AND p.paid_at IS NOT NULL""",
        event,
    )
    tasks = await conn.fetch(
        """SELECT o.number, t.detail ->> 'why' AS why FROM orders o
           JOIN operator_tasks t ON t.kind = 'cancellation_failed' AND t.subject = o.number
           WHERE o.event = $1 ORDER BY o.number LIMIT 100""",
        event,
    )
    return {**row, "failures": [{"order": task["number"], "why": task["why"]} for task in tasks]}
