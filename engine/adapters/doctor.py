"""What must never be, as queries that find nothing in a healthy system."""

from __future__ import annotations

from typing import Any

# name → a query whose every row is a finding; `detail` says what.
_CHECKS = {
    "tier_counts": """
        SELECT format('event %s tier %s: %s held and in checkout, but live holds of %s places', p.event, p.number,
                      p.held + p.in_checkout, coalesce(h.places, 0)) AS detail
        FROM tier_pools p LEFT JOIN (
            SELECT h.event, (l ->> 0)::int AS tier, sum((l ->> 1)::bigint) AS places
            FROM holds h JOIN baskets b ON b.event = h.event AND b.number = h.basket,
                 jsonb_array_elements(b.lines) AS l
            WHERE h.state <= 2 GROUP BY 1, 2) h ON h.event = p.event AND h.tier = p.number
        WHERE p.held + p.in_checkout <> coalesce(h.places, 0)""",
    "venue_counts": """
        SELECT format('event %s: the venue is not the sum of its tiers', v.event) AS detail
        FROM venue_pools v JOIN (
            SELECT event, sum(held) AS held, sum(in_checkout) AS in_checkout, sum(sold) AS sold, sum(comped) AS comped,
                   sum(withheld) AS withheld
            FROM tier_pools GROUP BY event) t USING (event)
        WHERE (v.held, v.in_checkout, v.sold, v.comped, v.withheld)
              <> (t.held, t.in_checkout, t.sold, t.comped, t.withheld)""",
    "sold_without_ticket": """
        SELECT format('event %s tier %s: %s sold, %s tickets', p.event, p.number, p.sold, coalesce(t.n, 0)) AS detail
        FROM tier_pools p LEFT JOIN (
            SELECT event, tier, count(*) AS n FROM tickets WHERE order_id IS NOT NULL AND (status <> 'void' OR id IN (
                SELECT unnest(tickets) FROM refunds WHERE places_returned_at IS NULL AND status <> 'failed'))
            GROUP BY event, tier) t ON t.event = p.event AND t.tier = p.number
        WHERE p.sold <> coalesce(t.n, 0)""",
    "paid_without_ticket": """
        SELECT format('order %s is paid and has no ticket', o.number) AS detail FROM orders o
        WHERE o.status = 'paid' AND NOT EXISTS (SELECT FROM tickets t WHERE t.order_id = o.id)""",
    "unbalanced_entry": """
        SELECT format('journal entry %s does not balance in %s', entry, currency) AS detail
        FROM journal_postings GROUP BY entry, currency HAVING sum(amount) <> 0""",
    "overdue_clearing": """
        SELECT format('payment of order %s of %s has no balance transaction yet', o.number, c.created_at) AS detail
        FROM captures c JOIN orders o ON o.id = c.order_id
        WHERE c.txn IS NULL AND c.created_at < clock_timestamp() - interval '2 hours'""",
    "overdue_payout": """
        SELECT format('payout %s of %s is not executed', id, created_at) AS detail FROM payouts
        WHERE status = 'requested' AND created_at < clock_timestamp() - interval '5 days'""",
    "stuck_outbox": """
        SELECT format('%s has failed %s times: %s', kind, attempts, coalesce(error, '')) AS detail FROM outbox
        WHERE done_at IS NULL AND attempts >= 10""",
    "stuck_inbox": """
        SELECT format('notice %s (%s) has failed %s times', id, type, attempts) AS detail FROM inbox
        WHERE processed_at IS NULL AND attempts >= 10""",
    "operator_task": """
        SELECT format('%s: %s', kind, subject) AS detail FROM operator_tasks WHERE resolved_at IS NULL""",
}


async def look(conn: Any) -> list[dict[str, Any]]:
    """Findings: `{"check", "detail"}`; at most a hundred of each check."""
    found: list[dict[str, Any]] = []
    for name, query in _CHECKS.items():
        rows = await conn.fetch(query + " LIMIT 100")
        found.extend({"check": name, "detail": row["detail"]} for row in rows)
    return found
