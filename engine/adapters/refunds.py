"""Refunds in SQL."""

from __future__ import annotations

from typing import Any


async def find(conn: Any, refund: str) -> Any:
    """One refund with its order's number and event id; None if unknown."""
    return await conn.fetchrow(
        """SELECT r.*, o.number, e.id AS event_id FROM refunds r JOIN orders o ON o.id = r.order_id
           JOIN events e ON e.number = o.event WHERE r.id = $1""",
        refund,
    )


async def of_order(conn: Any, order: str) -> list[Any]:
    """An order's refunds, oldest first."""
    rows: list[Any] = await conn.fetch("SELECT * FROM refunds WHERE order_id = $1 ORDER BY created_at", order)
    return rows
