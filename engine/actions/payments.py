"""What becomes of a PaymentIntent: made once, confirmed once, cancelled before its places go back.

Stripe is the truth about money, the shard about places: every path here ends in one command to the event's owner that
carries the rows to write with its decision.
"""

from __future__ import annotations

from typing import Any

import msgspec
import structlog
import trio

from engine.actions import clearing
from engine.actions.context import Context
from engine.adapters import orders, records
from engine.adapters.secrets import random_id
from engine.adapters.stripe import Payment, StripeIndeterminate, StripeRefused, StripeUnavailable
from engine.adapters.times import micros, rfc3339
from engine.core import ids, limits
from engine.core.model import Confirm, Look, Record, Records, Settle
from engine.core.order import mismatches, ticket_drafts
from engine.core.outcomes import Code, Outcome
from engine.core.pricing import Quote
from ledger import rules
from ledger.entry import to_row

log = structlog.get_logger(__name__)

# Within what a checkout may take, whatever Stripe does.
_CREATE_SECONDS = 12.0
_GENERATIONS = 3
_SEARCH_BACK_SECONDS = 60


def mail_row(template: str, order_id: str, now: str) -> dict[str, Any]:
    """An outbox row that sends one mail about an order, once."""
    return {
        "kind": "mail",
        "key": f"mail:{template}:{order_id}",
        "shard": None,
        "payload": {"order": order_id, "template": template},
        "run_at": now,
        "attempts": 0,
        "created_at": now,
    }


# --- made ---------------------------------------------------------------------------------------------------------


async def ensure_payment(context: Context, order: Any) -> tuple[str, str] | None:
    """(PaymentIntent, client secret) of an order that awaits payment; None while Stripe cannot say."""
    if order["payment_intent"] is not None:
        return order["payment_intent"], context.secrets.open(order["payment_secret"]).decode()
    with trio.move_on_after(_CREATE_SECONDS):
        try:
            payment = await _create(context, order)
        except (StripeUnavailable, StripeIndeterminate) as error:
            log.warning("payment.unavailable", order=order["number"], reason=str(error))
            return None
        except StripeRefused as error:
            log.error("payment.refused", order=order["number"], code=error.code)
            return None
        if payment.client_secret is None:
            return None
        sealed = context.secrets.seal(payment.client_secret.encode())
        await context.pool.transaction(orders.note_payment, order["id"], payment.id, sealed)
        noted = await context.pool.run(orders.find, order["id"])
        if noted["payment_intent"] != payment.id:
            return noted["payment_intent"], context.secrets.open(noted["payment_secret"]).decode()
        return payment.id, payment.client_secret
    return None


async def _create(context: Context, order: Any) -> Payment:
    """One PaymentIntent per order. A stored failure is resolved by looking for it, then by a new key."""
    generation = order["payment_generation"]
    for _ in range(_GENERATIONS):
        try:
            return await context.stripe.create_payment(
                order["total"],
                order["currency"],
                {"order_number": order["number"], "event": order["event_id"]},
                f"{order['event_name']}, order {order['number']}",
                f"payment:{order['number']}:{generation}",
            )
        except StripeIndeterminate:
            since = micros(order["created_at"]) // 1_000_000 - _SEARCH_BACK_SECONDS
            found = await context.stripe.find_payment(order["number"], since)
            if found is not None:
                return found
            await context.pool.run(orders.next_generation, order["id"], generation)
            generation += 1
    raise StripeUnavailable("Stripe keeps failing")


# --- paid ---------------------------------------------------------------------------------------------------------


async def settle_payment(context: Context, payment: Payment, notice: str | None = None) -> bool:
    """Make a succeeded payment an end: tickets, or one refund. True when done; False: the owner is away, try again.

    Any number of times, from notices and reconciliation alike. `notice` is marked as applied with the same commit.
    """
    order = await context.pool.run(orders.find_by_payment, payment.id)
    if order is None:
        named = payment.metadata.get("order_number")
        order = await context.pool.run(orders.find_by_number, named) if named else None
        if order is None:
            await _unknown(context, payment, notice)
            return True
        if order["payment_intent"] is None:
            sealed = context.secrets.seal((payment.client_secret or "").encode())
            await context.pool.transaction(orders.note_payment, order["id"], payment.id, sealed)
        else:
            await _review(context, order, payment, ["second payment"], notice)
            return True
    wrong = mismatches(_expected(context, order), _received(payment))
    if wrong:
        await _review(context, order, payment, wrong, notice)
        return True
    outcome = await _confirm(context, order, payment, notice)
    if outcome.code in (Code.OK, Code.LATE):
        context.outbox_came.now()
        return True
    if outcome.code is Code.UNKNOWN_HOLD:
        await _review(context, order, payment, ["hold"], notice)
        return True
    return False


def _expected(context: Context, order: Any) -> dict[str, Any]:
    return {
        "total": order["total"],
        "currency": order["currency"],
        "livemode": context.stripe.livemode,
        "number": order["number"],
    }


def _received(payment: Payment) -> dict[str, Any]:
    return {
        "amount_received": payment.amount_received,
        "currency": payment.currency,
        "livemode": payment.livemode,
        "order_number": payment.metadata.get("order_number"),
    }


async def _confirm(context: Context, order: Any, payment: Payment, notice: str | None) -> Outcome:
    event, hold = _hold_of(order)
    quote = msgspec.convert(order["quote"], Quote)
    count = sum(len(line.tickets) for line in quote.lines)
    now = rfc3339(context.now())
    paid = {
        "id": order["id"],
        "status": "paid",
        "paid_at": now,
        "charge": payment.latest_charge,
        "payment_secret": None,
    }
    return await context.directory.ask(
        Confirm(
            event=event,
            hold=hold,
            order=order["id"],
            tickets=ticket_drafts(
                [ids.spell("tkt", event, random_id()) for _ in range(count)], quote, order["attendees"] or []
            ),
            records=(
                Record("update orders", paid),
                Record(
                    "journal", _sale(order, quote, payment, context.settings.platform_country, context.now())
                ),
                *captured(order, payment, "sale", context.now()),
                Record("insert outbox", mail_row("paid", order["id"], now)),
                *_applied(notice, now, "paid"),
            ),
            late_records=(
                *refund_records(order, payment, "late", now, context.now()),
                *_applied(notice, now, "late"),
            ),
            seen_records=_applied(notice, now, "already paid"),
        )
    )


def _hold_of(order: Any) -> tuple[int, int]:
    parsed = ids.parse("hold", order["hold"])
    assert parsed is not None, "orders store the hold they came from"
    return parsed


def _sale(order: Any, quote: Quote, payment: Payment, country: str, now: int) -> dict[str, Any]:
    part = clearing.part_of(order, quote)
    entry = rules.sale(
        payment=payment.id,
        order=order["id"],
        event=order["event_id"],
        organizer=order["organizer"],
        currency=order["currency"],
        country=country,
        face=quote.subtotal,
        discount=quote.discount,
        fee=quote.fees,
        fee_tax=quote.tax,
        absorbed=quote.absorbed,
        absorbed_tax=quote.absorbed_tax,
        effective_at=now,
        part=part,
    )
    assert entry is not None, "only orders with a total have a payment"
    return to_row(entry)


def captured(order: Any, payment: Payment, kind: str, at: int) -> Records:
    """A payment that Stripe took, and that its balance transaction is still to be booked."""
    now = rfc3339(at)
    row = {
        "id": payment.id,
        "order_id": order["id"],
        "kind": kind,
        "amount": payment.amount_received,
        "currency": payment.currency,
        "charge": payment.latest_charge,
        "created_at": now,
        "recharged": 0,
    }
    owed = {
        "kind": "clear",
        "key": f"clear:{payment.id}",
        "shard": order["shard"],
        "payload": {"payment": payment.id},
        "run_at": rfc3339(at + int(clearing.FIRST_LOOK_SECONDS * limits.SECOND)),
        "attempts": 0,
        "created_at": now,
    }
    return Record("insert captures", row), Record("insert outbox", owed)


def _applied(notice: str | None, now: str, result: str) -> Records:
    if notice is None:
        return ()
    return (Record("update inbox", {"id": notice, "processed_at": now, "result": result}),)


def refund_records(order: Any, payment: Payment, kind: str, now: str, at: int) -> Records:
    """One full refund of a payment that buys nothing: owed in the books, asked of Stripe by the outbox."""
    refund = f"ref_{payment.id}_{kind}"
    entry = rules.unmatched(
        payment=payment.id,
        order=order["id"],
        event=order["event_id"],
        organizer=order["organizer"],
        currency=payment.currency,
        amount=payment.amount_received,
        effective_at=at,
    )
    row = {
        "id": refund,
        "order_id": order["id"],
        "kind": kind,
        "status": "pending",
        "amount": payment.amount_received,
        "face": payment.amount_received,
        "fee": 0,
        "tax": 0,
        "absorbed": 0,
        "absorbed_tax": 0,
        "kept_fee": 0,
        "basis": 0,
        "payout_face": 0,
        "payout_fees": 0,
        "requested_by": "us",
        "reason": "",
        "tickets": [],
        "currency": payment.currency,
        "payment_intent": payment.id,
        "created_at": now,
    }
    owed = {
        "kind": "refund",
        "key": f"{kind}-refund:{payment.id}",
        "shard": order["shard"],
        "payload": {"refund": refund},
        "run_at": now,
        "attempts": 0,
        "created_at": now,
    }
    return (
        Record("journal", to_row(entry)),
        *captured(order, payment, "unmatched", at),
        Record("insert refunds", row),
        Record("insert outbox", owed),
    )


async def _review(
    context: Context, order: Any, payment: Payment, wrong: list[str], notice: str | None
) -> None:
    """Never fulfilled: the orders involved are marked, the operator told, and exactly what came goes back."""
    log.error("payment.needs_review", order=order["number"], wrong=wrong)
    now = rfc3339(context.now())
    named = payment.metadata.get("order_number")
    other = await context.pool.run(orders.find_by_number, named) if named else None
    rows = [Record("update orders", {"id": order["id"], "needs_review": True})]
    if other is not None and other["id"] != order["id"]:
        rows.append(Record("update orders", {"id": other["id"], "needs_review": True}))
    rows.append(_task("payment_needs_review", payment.id, {"order": order["number"], "wrong": wrong}, now))
    if payment.amount_received > 0:
        rows.extend(refund_records(order, payment, "review", now, context.now()))
    rows.extend(_applied(notice, now, "needs review"))
    await context.pool.transaction(records.write, rows)
    context.outbox_came.now()


async def _unknown(context: Context, payment: Payment, notice: str | None) -> None:
    now = rfc3339(context.now())
    task = _task("unknown_payment", payment.id, {"amount": payment.amount, "currency": payment.currency}, now)
    await context.pool.transaction(records.write, [task, *_applied(notice, now, "unknown payment")])


def _task(kind: str, subject: str, detail: dict[str, Any], now: str) -> Record:
    return Record(
        "insert operator_tasks", {"kind": kind, "subject": subject, "detail": detail, "created_at": now}
    )


# --- given up -----------------------------------------------------------------------------------------------------


async def give_up(context: Context, order: Any, cancelled: bool, notice: str | None = None) -> Outcome:
    """Places of an order that Stripe will never be paid for go back; its state says why."""
    event, hold = _hold_of(order)
    status = "cancelled" if cancelled else "expired"
    now = rfc3339(context.now())
    rows = (
        Record("update orders", {"id": order["id"], "status": status, "payment_secret": None}),
        *_applied(notice, now, status),
    )
    return await context.directory.ask(
        Settle(event=event, hold=hold, order=order["id"], cancelled=cancelled, records=rows)
    )


async def abandon(context: Context, hold_id: str) -> Outcome:
    """A buyer gives back a hold in checkout: cancelled at Stripe first. OK, or why not."""
    found = context.inventory_of("hold", hold_id)
    if found is None:
        return Outcome(Code.UNKNOWN_HOLD)
    inventory, number = found
    looked = await context.directory.ask(Look(event=inventory.facts.number, hold=number))
    if not looked.ok or looked.value.order is None:
        return looked
    order = await context.pool.run(orders.find, looked.value.order)
    state = await cancel_at_stripe(context, order)
    if state == "canceled":
        outcome = await give_up(context, order, cancelled=True)
        return outcome
    if state == "succeeded":
        return Outcome(Code.ALREADY_PAID)
    return Outcome(Code.PAYMENT_PROCESSING if state == "processing" else Code.PAYMENT_UNAVAILABLE)


async def _cancel(context: Context, payment_id: str, number: str) -> Payment:
    """The payment after asking for its end. A stored failure would answer its key for ever: then the next key."""
    for generation in range(limits.STRIPE_KEYS):
        key = f"cancel:{number}" + (f":{generation}" if generation else "")
        try:
            return await context.stripe.cancel_payment(payment_id, key)
        except StripeRefused:
            return await context.stripe.payment(payment_id)
        except StripeIndeterminate:
            payment = await context.stripe.payment(payment_id)
            if payment.status in ("canceled", "succeeded"):
                return payment
    raise StripeUnavailable("Stripe keeps failing")


async def cancel_at_stripe(context: Context, order: Any) -> str:
    """`canceled`, `succeeded` (and confirmed here), `processing`, or `unknown` while Stripe cannot say."""
    try:
        payment_id = order["payment_intent"]
        if payment_id is None:
            since = micros(order["created_at"]) // 1_000_000 - _SEARCH_BACK_SECONDS
            found = await context.stripe.find_payment(order["number"], since)
            if found is None:
                return "canceled"
            payment_id = found.id
            sealed = context.secrets.seal((found.client_secret or "").encode())
            await context.pool.transaction(orders.note_payment, order["id"], payment_id, sealed)
        payment = await _cancel(context, payment_id, order["number"])
    except (StripeUnavailable, StripeIndeterminate, StripeRefused) as error:
        log.warning("payment.cancel_unknown", order=order["number"], reason=str(error))
        return "unknown"
    if payment.status == "succeeded":
        await settle_payment(context, payment)
        return "succeeded"
    return payment.status if payment.status in ("canceled", "processing") else "unknown"
