"""Stripe's notices: verified, stored, answered; then applied by the owner of the event they are about.

Promises: nothing is answered before it is stored; a notice twice, late or out of order changes nothing about the end.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from typing import Any

import structlog
import trio

from engine.actions import payments, refund_settling
from engine.actions.context import Context
from engine.adapters import captures, inbox, orders, records, refunds, strict_json
from engine.adapters.stripe import Payment
from engine.adapters.times import rfc3339
from engine.core import limits
from engine.core.model import Record

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 1.0
_AT_ONCE = 64
_STAMP = re.compile(r"[0-9]{1,12}")

# Types that say nothing we must act upon; any other that names money becomes an operator's task.
_QUIET = (
    "payment_intent.",
    "charge.",
    "refund.",
    "balance.",
    "payment_method.",
    "customer.",
    "product.",
    "price.",
)


class NotGenuine(Exception):
    """Unverifiable. Nothing happens."""


def verify(body: bytes, header: str | None, secrets: tuple[str, ...], now: float) -> dict[str, Any]:
    """The event object of a signed notice. Raises NotGenuine. Source: STRIPE.md section 2.

    Ours rather than the SDK's, which accepts timestamps from the future and repeated fields, and raises on odd bytes.
    """
    if not header or not header.isascii():
        raise NotGenuine("no signature")
    stamps, signatures = [], []
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            stamps.append(value)
        elif name == "v1":
            signatures.append(value)
    if len(stamps) != 1 or not _STAMP.fullmatch(stamps[0]) or not signatures:
        raise NotGenuine("malformed signature")
    if abs(now - int(stamps[0])) > limits.WEBHOOK_AGE_SECONDS:
        raise NotGenuine("too old or from the future")
    signed = stamps[0].encode() + b"." + body
    expected = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    matches = [hmac.compare_digest(want, given) for want in expected for given in signatures]
    if not any(matches):
        raise NotGenuine("wrong signature")
    try:
        event = strict_json.decode(body)
    except strict_json.BadJson as error:
        raise NotGenuine(str(error)) from None
    if not _is_event(event):
        raise NotGenuine("not an event object")
    verified: dict[str, Any] = event
    return verified


def _is_event(event: Any) -> bool:
    return (
        isinstance(event, dict)
        and event.get("object") == "event"
        and isinstance(event.get("id"), str)
        and 0 < len(event["id"]) <= 255
        and isinstance(event.get("type"), str)
        and isinstance(event.get("data"), dict)
        and isinstance(event["data"].get("object"), dict)
    )


async def receive(context: Context, body: bytes, header: str | None) -> None:
    """Verify and store. Raises NotGenuine. Durable when it returns."""
    event = verify(body, header, context.settings.webhook_secrets, time.time())
    await context.pool.transaction(_store, event)
    context.inbox_came.now()


async def _store(conn: Any, event: dict[str, Any]) -> None:
    subject = event["data"]["object"]
    metadata = subject.get("metadata")
    named = metadata.get("event") if isinstance(metadata, dict) else None
    payment = (
        subject.get("id") if subject.get("object") == "payment_intent" else subject.get("payment_intent")
    )
    shard = await inbox.shard_of(
        conn, named if isinstance(named, str) else None, payment if isinstance(payment, str) else None
    )
    await inbox.store(conn, event["id"], event["type"], shard, event)


async def drain(context: Context) -> None:
    """Apply stored notices of our shards until cancelled, many at once: each waits only for its own commit."""
    while True:
        try:
            rows = await context.pool.run(inbox.waiting, list(context.directory.shards), limits.INBOX_BATCH)
        except Exception as error:
            log.warning("inbox.unreadable", reason=repr(error))
            await trio.sleep(_LOOK_SECONDS)
            continue
        gate = trio.CapacityLimiter(_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for row in rows:
                nursery.start_soon(_apply_one, context, row, gate)
        if len(rows) < limits.INBOX_BATCH:
            await context.inbox_came.wait(_LOOK_SECONDS)


async def _apply_one(context: Context, row: Any, gate: trio.CapacityLimiter) -> None:
    async with gate:
        try:
            if not await apply(context, row["id"], row["type"], row["payload"]["data"]["object"]):
                await context.pool.run(inbox.retry, row["id"])
        except Exception:
            # One notice that we cannot apply must not hold back the others; it stays and is tried again.
            log.exception("inbox.failed", notice=row["id"], type=row["type"])
            try:
                await context.pool.run(inbox.retry, row["id"])
            except Exception:
                log.warning("inbox.retry_unwritten", notice=row["id"])


async def apply(context: Context, notice: str, kind: str, subject: dict[str, Any]) -> bool:
    """True when the notice has had its effect; False to try again."""
    if kind == "payment_intent.succeeded":
        payment = _payment(subject)
        if payment is None:
            return await _task(context, notice, kind, "not a payment that can be read")
        return await payments.settle_payment(context, payment, notice)
    if kind == "payment_intent.canceled":
        return await _cancelled(context, notice, subject)
    if kind.startswith("charge.") and subject.get("object") == "charge":
        await context.pool.transaction(_note_charge, notice, subject)
        context.outbox_came.now()
        return True
    if subject.get("object") == "refund":
        await _note_refund(context, notice, subject)
        return True
    if kind.startswith(_QUIET) and not kind.startswith("charge.dispute"):
        await context.pool.run(inbox.applied, notice, "nothing to do")
        return True
    return await _task(context, notice, kind, "a type we do not know")


def _payment(subject: dict[str, Any]) -> Payment | None:
    amounts = (subject.get("amount"), subject.get("amount_received"))
    metadata = subject.get("metadata") or {}
    if not isinstance(subject.get("id"), str) or any(type(amount) is not int for amount in amounts):
        return None
    if not isinstance(subject.get("currency"), str) or not isinstance(metadata, dict):
        return None
    charge = subject.get("latest_charge")
    return Payment(
        id=subject["id"],
        status=str(subject.get("status")),
        amount=amounts[0] or 0,
        amount_received=amounts[1] or 0,
        currency=subject["currency"],
        client_secret=None,
        latest_charge=charge if isinstance(charge, str) else None,
        metadata={str(name): str(value) for name, value in metadata.items()},
        livemode=bool(subject.get("livemode")),
        created=0,
    )


async def _cancelled(context: Context, notice: str, subject: dict[str, Any]) -> bool:
    order = await context.pool.run(orders.find_by_payment, str(subject.get("id")))
    if order is None or order["status"] != "awaiting_payment":
        await context.pool.run(inbox.applied, notice, "nothing to do")
        return True
    outcome = await payments.give_up(context, order, cancelled=False, notice=notice)
    if outcome.ok and outcome.replayed:
        await context.pool.run(inbox.applied, notice, "already settled")
    return outcome.ok


async def _note_charge(conn: Any, notice: str, charge: dict[str, Any]) -> None:
    """What the card's network and Radar said, kept with the order for disputes to come."""
    kept = {
        name: charge.get(name)
        for name in (
            "id",
            "outcome",
            "billing_details",
            "payment_method_details",
            "balance_transaction",
            "created",
        )
    }
    payment = charge.get("payment_intent")
    if isinstance(payment, str) and charge.get("status") == "succeeded":
        await conn.execute(
            "UPDATE orders SET charge_facts = $2, charge = coalesce(charge, $3) WHERE payment_intent = $1",
            payment,
            kept,
            charge.get("id"),
        )
        await captures.poke(conn, payment)
    await inbox.applied(conn, notice, "noted")


async def _note_refund(context: Context, notice: str, subject: dict[str, Any]) -> None:
    """Something happened to a refund: ask Stripe what, whatever order its notices come in. Raises what the port raises."""
    ours = await context.pool.run(refunds.find_by_stripe, str(subject.get("id")))
    if ours is not None and not await refund_settling.settle(context, ours):
        # Its balance transaction, or its sale's, is not known yet: the outbox goes on asking.
        log.info("refund.unsettled", refund=ours)
    await context.pool.run(inbox.applied, notice, "noted" if ours else "nothing to do")


async def _task(context: Context, notice: str, kind: str, why: str) -> bool:
    now = rfc3339(context.now())
    await context.pool.transaction(
        records.write,
        [
            Record(
                "insert operator_tasks",
                {
                    "kind": "unknown_notice",
                    "subject": notice,
                    "detail": {"type": kind, "why": why},
                    "created_at": now,
                },
            ),
            Record("update inbox", {"id": notice, "processed_at": now, "result": why}),
        ],
    )
    return True
