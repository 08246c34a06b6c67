"""A cancelled event gives everybody their money back: found order by order, each refund once, as often as this is begun.

Why no state of its own: an order that is still paid is still to be refunded, whatever crashed before.
"""

from __future__ import annotations

from typing import Any

import structlog

from engine.actions import idempotency, refunds
from engine.actions.context import Context
from engine.adapters import cancellations
from engine.adapters.times import rfc3339
from engine.core.model import Record
from engine.core.outcomes import Code

log = structlog.get_logger(__name__)

_CHUNK = 100


def owed(event: Any, now: int) -> Record:
    """The outbox row that begins it."""
    at = rfc3339(now)
    return Record(
        "insert outbox",
        {
            "kind": "cancel_event",
            "key": f"cancel_event:{event['id']}",
            "shard": event["shard"],
            "payload": {"event": event["number"]},
            "run_at": at,
            "attempts": 0,
            "created_at": at,
        },
    )


async def advance(context: Context, event: int) -> bool:
    """One chunk of orders refunded; True when nobody is left who paid or may still pay."""
    await context.pool.run(cancellations.stop_checkouts, event)
    context.outbox_came.now()
    for order in await context.pool.run(cancellations.to_refund, event, _CHUNK):
        wish = refunds.Wish(
            order,
            idempotency.new_id("ref", "cancel_event", order, 0),
            "cancelled",
            override=True,
            keep_service_fee=False,
            reason="The event was cancelled.",
        )
        outcome = await refunds.decide(context, wish, None)
        if not outcome.ok and outcome.code is not Code.REFUND_IN_PROGRESS:
            log.error("cancellation.order", code=outcome.code.value)
            await context.pool.run(cancellations.note_failure, order, outcome.code.value)
    return not await context.pool.run(cancellations.is_open, event)
