"""Orders in SQL: what actions need to read before they decide, and what they note outside a shard's batch."""

from __future__ import annotations

from typing import Any

ORDER_COLUMNS = "o.*, e.id AS event_id, e.name AS event_name, e.shard, e.state AS event_state"


async def event_terms(conn: Any, event: int) -> Any:
    """What an order freezes of its event: name, organizer, currency, fee, policy, payout currency."""
    return await conn.fetchrow(
        """SELECT e.id, e.name, e.organizer, e.currency, e.fee, e.refund_policy, e.starts_at, e.venue, e.shard,
                  g.payout_currency
           FROM events e JOIN organizers g ON g.id = e.organizer WHERE e.number = $1""",
        event,
    )


async def find(conn: Any, order: str) -> Any:
    """One order with its event's id, name and shard; None if unknown."""
    return await conn.fetchrow(
        f"SELECT {ORDER_COLUMNS} FROM orders o JOIN events e ON e.number = o.event WHERE o.id = $1", order
    )


async def find_by_number(conn: Any, number: str) -> Any:
    return await conn.fetchrow(
        f"SELECT {ORDER_COLUMNS} FROM orders o JOIN events e ON e.number = o.event WHERE o.number = $1",
        number,
    )


async def find_by_payment(conn: Any, payment_intent: str) -> Any:
    return await conn.fetchrow(
        f"SELECT {ORDER_COLUMNS} FROM orders o JOIN events e ON e.number = o.event WHERE o.payment_intent = $1",
        payment_intent,
    )


async def note_payment(conn: Any, order: str, payment_intent: str, sealed_secret: bytes) -> None:
    """The PaymentIntent made for an order, and its creation no longer owed."""
    await conn.execute(
        "UPDATE orders SET payment_intent = $2, payment_secret = $3 WHERE id = $1 AND payment_intent IS NULL",
        order,
        payment_intent,
        sealed_secret,
    )
    await conn.execute(
        "UPDATE outbox SET done_at = clock_timestamp() WHERE key = 'pay:' || $1 AND done_at IS NULL", order
    )
    # Made too late: nobody is going to cancel it unless it is asked for now.
    await conn.execute(
        """INSERT INTO outbox (kind, key, shard, payload)
           SELECT 'cancel_payment', 'cancel-after:' || o.id, e.shard, jsonb_build_object('order', o.id)
           FROM orders o JOIN events e ON e.number = o.event WHERE o.id = $1 AND o.status <> 'awaiting_payment'
           ON CONFLICT DO NOTHING""",
        order,
    )


async def next_generation(conn: Any, order: str, seen: int) -> None:
    """A new idempotency key for creating the PaymentIntent, after Stripe stored a failure under the old one."""
    await conn.execute(
        "UPDATE orders SET payment_generation = $2 + 1 WHERE id = $1 AND payment_generation = $2", order, seen
    )


async def unresolved(conn: Any, shards: list[int], older_than_seconds: int, limit: int = 1000) -> list[Any]:
    """Orders whose payment may have ended without a notice reaching us, oldest first."""
    rows: list[Any] = await conn.fetch(
        f"""SELECT {ORDER_COLUMNS} FROM orders o JOIN events e ON e.number = o.event
            WHERE o.status = 'awaiting_payment' AND o.payment_intent IS NOT NULL AND e.shard = ANY($1::smallint[])
              AND o.created_at < clock_timestamp() - $2 * interval '1 second'
            ORDER BY o.created_at LIMIT $3""",
        shards,
        older_than_seconds,
        limit,
    )
    return rows


async def is_settled(conn: Any, payment_intent: str) -> bool:
    """Whether a succeeded payment already had its end: an order it paid, or a refund."""
    found: bool = await conn.fetchval(
        """SELECT EXISTS (SELECT FROM orders WHERE payment_intent = $1 AND status NOT IN ('awaiting_payment', 'expired'))
               OR EXISTS (SELECT FROM refunds WHERE payment_intent = $1)""",
        payment_intent,
    )
    return found


_TICKET_COLUMNS = "t.*, i.id AS tier_id, i.name AS tier_name"


async def tickets(conn: Any, order: str) -> list[Any]:
    """An order's tickets in the order of its lines, with the id and name of their tier."""
    rows: list[Any] = await conn.fetch(
        f"""SELECT {_TICKET_COLUMNS} FROM tickets t JOIN tiers i ON i.event = t.event AND i.number = t.tier
            WHERE t.order_id = $1 ORDER BY t.number""",
        order,
    )
    return rows


async def ticket(conn: Any, ticket_id: str) -> Any:
    """One ticket; None if unknown."""
    return await conn.fetchrow(
        f"""SELECT {_TICKET_COLUMNS} FROM tickets t JOIN tiers i ON i.event = t.event AND i.number = t.tier
            WHERE t.id = $1""",
        ticket_id,
    )
