"""What we owe the outside, done by the owner of each event: payments to make and to cancel, refunds. Then reconciliation.

Promises: every effect carries a key of ours, so that a crash between call and commit repeats it without doing it twice.
Mail is the worker's (`engine.actions.mails`).
"""

from __future__ import annotations

from typing import Any

import structlog
import trio

from engine.actions import cancellations, clearing, payments, payouts, refund_settling, refunds
from engine.actions.context import Context
from engine.adapters import orders, outbox
from engine.adapters.stripe import StripeIndeterminate, StripeRefused, StripeUnavailable
from engine.adapters.times import micros
from engine.core import ids, limits
from engine.core.model import Look
from engine.core.outcomes import Code

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 1.0
_AT_ONCE = 16
_UNTIL_ANSWERED_SECONDS = 2.0
# Listing is one call for a hundred payments; asking one by one is cheaper for a few.
_ASK_ONE_BY_ONE = 5


async def drain(context: Context) -> None:
    """Do what is due for our shards, until cancelled."""
    while True:
        try:
            rows = await context.pool.run(
                outbox.claim, list(_HANDLERS), list(context.directory.shards), limits.OUTBOX_BATCH
            )
        except Exception as error:
            log.warning("outbox.unreadable", reason=repr(error))
            await trio.sleep(_LOOK_SECONDS)
            continue
        gate = trio.CapacityLimiter(_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for row in rows:
                nursery.start_soon(_do_one, context, row, gate)
        if len(rows) < limits.OUTBOX_BATCH:
            await context.outbox_came.wait(_LOOK_SECONDS)


async def _do_one(context: Context, row: Any, gate: trio.CapacityLimiter) -> None:
    async with gate:
        try:
            again = await _HANDLERS[row["kind"]](context, row["payload"])
            if again is None:
                await context.pool.run(outbox.done, row["id"])
            else:
                reason, seconds = again
                await context.pool.run(outbox.later, row["id"], row["attempts"], reason, seconds)
        except Exception as error:
            log.exception("outbox.failed", kind=row["kind"], row=row["id"])
            try:
                await context.pool.run(outbox.later, row["id"], row["attempts"], repr(error))
            except Exception:
                log.warning("outbox.unwritten", row=row["id"])


# A handler answers None when done, or (reason, seconds until the next try; None: a growing pause).
Again = tuple[str, float | None] | None


async def _create_payment(context: Context, payload: dict[str, Any]) -> Again:
    order = await context.pool.run(orders.find, payload["order"])
    if order is None or order["status"] != "awaiting_payment" or order["payment_intent"] is not None:
        return None
    made = await payments.ensure_payment(context, order)
    return None if made is not None else ("Stripe does not answer", None)


async def _cancel_payment(context: Context, payload: dict[str, Any]) -> Again:
    """At a hold's expiry: cancelled at Stripe, then the places go back; past the hard limit they go back regardless."""
    order = await context.pool.run(orders.find, payload["order"])
    if order is None or order["status"] not in ("awaiting_payment", "expired"):
        return None
    state = await payments.cancel_at_stripe(context, order)
    if state == "succeeded":
        return None
    if state == "canceled":
        outcome = await payments.give_up(context, order, cancelled=False)
        return None if outcome.ok or outcome.code is Code.ALREADY_PAID else (outcome.code.value, 1.0)
    hard = await _hard_limit(context, order)
    if context.now() >= hard and order["status"] == "awaiting_payment":
        outcome = await payments.give_up(context, order, cancelled=False)
        log.warning("payment.hard_limit", order=order["number"], outcome=outcome.code.value)
    return state, _UNTIL_ANSWERED_SECONDS if context.now() < hard + 60 * limits.SECOND else None


async def _hard_limit(context: Context, order: Any) -> int:
    parsed = ids.parse("hold", order["hold"])
    assert parsed is not None
    looked = await context.directory.ask(Look(event=parsed[0], hold=parsed[1]))
    expires = looked.value.expires if looked.ok else micros(order["created_at"])
    return int(expires + context.settings.hold_hard_seconds * limits.SECOND)


async def _refund(context: Context, payload: dict[str, Any]) -> Again:
    reason = await refunds.send(context, payload["refund"])
    return None if reason is None else (reason, None)


async def _settle_refund(context: Context, payload: dict[str, Any]) -> Again:
    try:
        known = await refund_settling.settle(context, payload["refund"])
    except (StripeUnavailable, StripeIndeterminate, StripeRefused) as error:
        return str(error), None
    return None if known else ("no balance transaction yet", None)


async def _return_places(context: Context, payload: dict[str, Any]) -> Again:
    reason = await refunds.return_places(context, payload["refund"])
    return None if reason is None else (reason, 1.0)


async def _clear(context: Context, payload: dict[str, Any]) -> Again:
    """The second step of a payment in the books."""
    try:
        known = await clearing.clear(context, payload["payment"])
    except (StripeUnavailable, StripeIndeterminate, StripeRefused) as error:
        return str(error), None
    return None if known else ("no balance transaction yet", None)


async def _payout(context: Context, payload: dict[str, Any]) -> Again:
    reason = await payouts.send(context, payload["payout"])
    return None if reason is None else (reason, None)


async def _cancel_event(context: Context, payload: dict[str, Any]) -> Again:
    done = await cancellations.advance(context, payload["event"])
    return None if done else ("orders are still to be refunded", 1.0)


_HANDLERS = {
    "create_payment": _create_payment,
    "cancel_payment": _cancel_payment,
    "refund": _refund,
    "clear": _clear,
    "settle_refund": _settle_refund,
    "return_places": _return_places,
    "cancel_event": _cancel_event,
    "payout": _payout,
}


async def reconcile(context: Context) -> None:
    """Ask Stripe what its notices should have told us, until cancelled."""
    while True:
        await trio.sleep(context.settings.reconcile_seconds)
        try:
            await reconcile_once(context)
        except (StripeUnavailable, StripeIndeterminate, StripeRefused) as error:
            log.warning("reconcile.stripe", reason=str(error))
        except Exception:
            log.exception("reconcile.failed")


async def reconcile_once(context: Context) -> int:
    """How many payments were settled that we had not heard of."""
    waiting = await context.pool.run(orders.unresolved, list(context.directory.shards), 5)
    if not waiting:
        return 0
    settled = 0
    if len(waiting) <= _ASK_ONE_BY_ONE:
        found = [await context.stripe.payment(order["payment_intent"]) for order in waiting]
    else:
        since = micros(waiting[0]["created_at"]) // 1_000_000 - 60
        found = [payment async for payment in context.stripe.payments(since)]
    ours = {order["payment_intent"]: order for order in waiting}
    for payment in found:
        order = ours.get(payment.id)
        if payment.status == "succeeded" and (order is not None or payment.metadata.get("order_number")):
            if order is None and await context.pool.run(orders.is_settled, payment.id):
                continue
            settled += await payments.settle_payment(context, payment)
        elif payment.status == "canceled" and order is not None and order["status"] == "awaiting_payment":
            await payments.give_up(context, order, cancelled=False)
    return settled
