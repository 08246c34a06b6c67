"""An event's figures for its organizer: pools that add up, and what came in.

Read from rows that the shard rewrites with each batch, and from counted orders; never from a long transaction.
"""

from __future__ import annotations

from typing import Any

from engine.adapters import catalog

_COUNTS = ("capacity", "sold", "held", "in_checkout", "comped", "withheld")


def _pool(row: Any, sellable: int | None = None) -> dict[str, Any]:
    counts = {name: row[name] for name in _COUNTS}
    available = row["capacity"] - sum(row[name] for name in _COUNTS[1:])
    return counts | {
        "available": available,
        "sellable": available if sellable is None else max(0, min(available, sellable)),
    }


async def read(conn: Any, event: Any) -> dict[str, Any]:
    """`event`: a row of `catalog.find_event`."""
    venue = _pool(event)
    tiers = await catalog.tiers_of(conn, event["number"])
    figures = await conn.fetchrow(
        """SELECT coalesce(sum((price ->> 'face')::bigint), 0) AS gross,
                  coalesce(sum((price ->> 'discount')::bigint), 0) AS discounts,
                  coalesce(sum((price ->> 'absorbed')::bigint + (price ->> 'absorbed_tax')::bigint), 0) AS fees
           FROM tickets WHERE event = $1 AND order_id IS NOT NULL""",
        event["number"],
    )
    by_tier = await conn.fetch(
        """SELECT i.id, sum((t.price ->> 'face')::bigint) AS gross, sum((t.price ->> 'discount')::bigint) AS discounts,
                  count(*) AS tickets
           FROM tickets t JOIN tiers i ON i.event = t.event AND i.number = t.tier
           WHERE t.event = $1 AND t.order_id IS NOT NULL GROUP BY i.id, i.number ORDER BY i.number""",
        event["number"],
    )
    after = await conn.fetchrow(
        """SELECT (SELECT coalesce(sum(c.recharged), 0) FROM captures c JOIN orders o ON o.id = c.order_id
                   WHERE o.event = $1)::bigint AS processing,
                  coalesce(sum(r.face), 0)::bigint AS refunded,
                  coalesce(sum(r.absorbed + r.absorbed_tax), 0)::bigint AS fees
           FROM refunds r JOIN orders o ON o.id = r.order_id
           WHERE o.event = $1 AND r.kind NOT IN ('late', 'review') AND r.status <> 'refused'""",
        event["number"],
    )
    fees = figures["fees"] - after["fees"]
    net = figures["gross"] - figures["discounts"] - fees - after["refunded"] - after["processing"]
    currency = event["currency"]

    def money(amount: Any) -> dict[str, Any]:
        return {"amount": int(amount), "currency": currency}

    return {
        "event": event["id"],
        "pools": [
            {"tier": tier["id"], "name": tier["name"], **_pool(tier, venue["available"])} for tier in tiers
        ],
        "venue": venue,
        "revenue": {
            "gross": money(figures["gross"]),
            "discounts": money(figures["discounts"]),
            "refunded": money(after["refunded"]),
            "platform_fees": money(fees),
            "processing_fees": money(after["processing"]),
            "net": money(net),
        },
        "revenue_by_tier": [
            {
                "tier": row["id"],
                "tickets": row["tickets"],
                "gross": money(row["gross"]),
                "discounts": money(row["discounts"]),
            }
            for row in by_tier
        ],
        "admitted": 0,
        "disputes": 0,
    }
