"""Checkout: a hold becomes an order, and the order gets its PaymentIntent.

One way: the owner moves the hold and writes the order and what it owes Stripe in one batch; only then is Stripe called.
A crash or a failing Stripe in between leaves an outbox row that `engine.actions.payments` completes.
"""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
import structlog

from engine.actions import payments
from engine.actions.context import Caller, Context
from engine.actions.reservations import limit_holds
from engine.adapters import orders, rates
from engine.adapters.blocks import normalise_email
from engine.adapters.secrets import random_id
from engine.adapters.times import micros, rfc3339
from engine.core import ids, limits
from engine.core.model import Checkout, Hold, HoldState, Look
from engine.core.order import NUMBER_LETTERS, insert_records, ticket_drafts
from engine.core.outcomes import Code, Outcome
from engine.core.reserving import refuse_hold

log = structlog.get_logger(__name__)

_NUMBER_CHARS = 8


class Placed(msgspec.Struct):
    """An order and, unless it paid itself, the payment to be confirmed in the browser."""

    order: Any
    payment_intent: str | None
    client_secret: str | None
    replayed: bool


async def place_order(
    context: Context, hold_id: str, email: str, name: str, attendees: list[str | None], caller: Caller
) -> Outcome:
    """`value`: Placed. PAYMENT_UNAVAILABLE keeps order and hold; the same call again goes on.

    Cancellation leaves at worst an order whose PaymentIntent is made by the outbox.
    """
    found = context.inventory_of("hold", hold_id)
    if found is None:
        return Outcome(Code.UNKNOWN_HOLD)
    inventory, hold_number = found
    event = inventory.facts.number
    looked = await context.directory.ask(Look(event=event, hold=hold_number))
    if not looked.ok:
        return looked
    hold: Hold = looked.value
    if hold.order is not None and hold.state in (HoldState.IN_CHECKOUT, HoldState.SOLD):
        return await _again(context, hold)
    refusal = refuse_hold(hold, context.now()) or await _guard(
        context, inventory.facts.organizer, email, caller
    )
    if refusal is not None:
        return refusal
    order_id = ids.spell("ord", event, random_id())
    checkout = await _command(context, event, hold, hold_id, order_id, email, name, attendees, caller)
    if checkout is None:
        return Outcome(Code.UNAVAILABLE)
    outcome = await context.directory.ask(checkout)
    if not outcome.ok:
        return outcome
    return await _with_payment(context, outcome.value, outcome.replayed)


async def refuse_checkout(context: Context, hold_id: str) -> Outcome | None:
    """Why a hold cannot be checked out any more, before anything else is looked at; None if it can."""
    found = context.inventory_of("hold", hold_id)
    if found is None:
        return Outcome(Code.UNKNOWN_HOLD)
    looked = await context.directory.ask(Look(event=found[0].facts.number, hold=found[1]))
    if not looked.ok:
        return looked
    refusal = refuse_hold(looked.value, context.now())
    # A paid hold answers with its order, like one in checkout.
    return None if refusal is not None and refusal.code is Code.ALREADY_PAID else refusal


async def _guard(context: Context, organizer: str, email: str, caller: Caller) -> Outcome | None:
    if context.blocks.blocked(
        organizer,
        context.now(),
        email=normalise_email(email),
        ip=caller.address,
        fingerprint=caller.fingerprint,
    ):
        return Outcome(Code.BLOCKED)
    return await limit_holds(context, caller)


async def _again(context: Context, hold: Hold) -> Outcome:
    if hold.state is HoldState.IN_CHECKOUT and context.now() >= hold.expires:
        return Outcome(Code.HOLD_EXPIRED, hold)
    assert hold.order is not None
    return await _with_payment(context, hold.order, True)


async def _command(
    context: Context,
    event: int,
    hold: Hold,
    hold_id: str,
    order_id: str,
    email: str,
    name: str,
    attendees: list[str | None],
    caller: Caller,
) -> Checkout | None:
    """None without the rate that publishing asks for."""
    terms = await context.pool.run(orders.event_terms, event)
    rate = None
    if terms["payout_currency"] != terms["currency"]:
        rate = await context.pool.run(rates.newest, terms["currency"], terms["payout_currency"])
        if rate is None:
            log.error("rate.missing", source=terms["currency"], target=terms["payout_currency"])
            return None
        del rate["age_seconds"]
    quote = hold.basket.quote
    now = rfc3339(context.now())
    number = "".join(secrets.choice(NUMBER_LETTERS) for _ in range(_NUMBER_CHARS))
    row = {
        "id": order_id,
        "number": number,
        "event": event,
        "organizer": terms["organizer"],
        "hold": hold_id,
        "status": "awaiting_payment",
        "email": email,
        "name": name,
        "attendees": attendees,
        "lines": hold.basket.lines,
        "quote": msgspec.to_builtins(quote),
        "total": quote.total,
        "currency": quote.currency,
        "refunded": 0,
        "refund_policy": terms["refund_policy"],
        "fee": terms["fee"],
        "purchase_rate": rate,
        "starts_at": rfc3339(micros(terms["starts_at"])),
        "signals": {
            "ip": caller.address,
            "user_agent": caller.user_agent[:400],
            "fingerprint": caller.fingerprint,
            "session": caller.session,
        },
        "needs_review": False,
        "payment_generation": 0,
        "created_at": now,
        "paid_at": None,
    }
    owed = {
        "kind": "create_payment",
        "key": f"pay:{order_id}",
        "shard": terms["shard"],
        "payload": {"order": order_id},
        "run_at": rfc3339(context.now() + 20 * limits.SECOND),
        "attempts": 0,
        "created_at": now,
    }
    tickets = ticket_drafts(
        [ids.spell("tkt", event, random_id()) for _ in range(hold.basket.places)], quote, attendees
    )
    return Checkout(
        event=event,
        hold=hold.id,
        order=order_id,
        email=context.secrets.buyer("email", normalise_email(email)),
        records=insert_records(row, owed),
        paid_records=insert_records(
            row | {"status": "paid", "paid_at": now}, payments.mail_row("paid", order_id, now)
        ),
        tickets=tickets if quote.total == 0 else (),
    )


async def _with_payment(context: Context, order_id: str, replayed: bool) -> Outcome:
    order = await context.pool.run(orders.find, order_id)
    assert order is not None, "an order that its hold names is stored"
    if order["status"] == "paid" or order["total"] == 0:
        return Outcome(Code.OK, Placed(order, None, None, replayed), replayed=replayed)
    if order["status"] != "awaiting_payment":
        return Outcome(Code.HOLD_EXPIRED)
    made = await payments.ensure_payment(context, order)
    if made is None:
        return Outcome(Code.PAYMENT_UNAVAILABLE, detail={"retry_after": 5})
    payment_intent, client_secret = made
    return Outcome(Code.OK, Placed(order, payment_intent, client_secret, replayed), replayed=replayed)


async def payment_of(context: Context, order_id: str) -> tuple[str, str] | None:
    """(PaymentIntent, client secret) for the page of an order that awaits payment; None while Stripe cannot say."""
    order = await context.pool.run(orders.find, order_id)
    if order is None or order["status"] != "awaiting_payment":
        return None
    return await payments.ensure_payment(context, order)


async def expiry_of(context: Context, order_id: str) -> str:
    """When the hold behind an order expires."""
    order = await context.pool.run(orders.find, order_id)
    found = context.inventory_of("hold", order["hold"]) if order is not None else None
    if found is None:
        return rfc3339(context.now())
    looked = await context.directory.ask(Look(event=found[0].facts.number, hold=found[1]))
    return rfc3339(looked.value.expires if looked.ok else context.now())
