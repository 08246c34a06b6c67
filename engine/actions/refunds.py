"""Money back: decided under the order's lock in one transaction with its entry, then asked of Stripe, then settled.

Life: pending → succeeded | failed; succeeded → failed (a bank may send it back weeks later). Places come back through
the event's owner once Stripe took the refund.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
import trio

from engine.actions import clearing, payments
from engine.actions.catalog import Actor, audit_row
from engine.actions.context import Context
from engine.adapters import refunds
from engine.adapters.stripe import StripeIndeterminate, StripeRefused, StripeUnavailable
from engine.adapters.times import instant, rfc3339
from engine.core import limits, refund_policy, refunding
from engine.core.model import Record, ReturnPlaces
from engine.core.outcomes import Code, Outcome
from engine.core.pricing import Quote
from engine.core.refunding import Asked, PaidTicket, Parts, Past
from ledger import rules
from ledger.entry import Entry, Posting, mirror, to_row
from ledger.money import quantum
from ledger.rules import OrganizerPart, RefundFigures

log = structlog.get_logger(__name__)

_STRIPE_SECONDS = 8.0
_REFUNDABLE = frozenset({"paid", "partially_refunded"})
_DONE = frozenset({"refunded", "late_refunded"})


class Wish(msgspec.Struct, frozen=True):
    """What somebody asks for. `actor` None: the buyer, within the policy; `kind` as the refund's row says it."""

    order: str
    refund: str
    kind: str
    tickets: tuple[str, ...] | None = None
    amount: int | None = None
    keep_service_fee: bool | None = None
    override: bool = False
    reason: str = ""


class UnknownTickets(ValueError):
    """Tickets that are not the order's, or named twice."""


async def request(context: Context, wish: Wish, actor: Actor | None) -> Outcome:
    """`value`: the refund's row. The refund exists and will happen when this returns OK, whatever Stripe does now.

    Raises UnknownTickets. Cancellation before the commit leaves nothing, after it the worker goes on.
    """
    outcome = await decide(context, wish, actor)
    if not outcome.ok or outcome.replayed:
        return outcome
    if outcome.value["amount"]:
        with trio.move_on_after(_STRIPE_SECONDS):
            await send(context, wish.refund)
    return Outcome(Code.OK, await context.pool.run(refunds.find, wish.refund))


async def decide(context: Context, wish: Wish, actor: Actor | None) -> Outcome:
    """As `request`, and Stripe is left to the outbox."""
    outcome: Outcome = await context.pool.transaction(_decide, context, wish, actor)
    context.outbox_came.now()
    return outcome


async def _decide(conn: Any, context: Context, wish: Wish, actor: Actor | None) -> Outcome:
    order, ticket_rows, past = await refunds.lock_order(conn, wish.order)
    same = await refunds.find(conn, wish.refund)
    if same is not None:
        return Outcome(Code.OK, same, replayed=True)
    refusal = _refuse_state(order, past)
    if refusal is not None:
        return refusal
    tickets = [PaidTicket(t["id"], t["tier"], t["status"], t["price"]) for t in ticket_rows]
    _check_tickets(tickets, wish.tickets)
    found = refunding.plan(
        tickets, [_past(one) for one in past], _asked(context, order, wish), order["currency"]
    )
    if not found.ok:
        return found
    row, records = _rows(context, order, tickets, past, found.value, wish, actor)
    await refunds.accept(conn, wish.order, found.value.status, row, records)
    return Outcome(Code.OK, row)


def _refuse_state(order: Any, past: list[Any]) -> Outcome | None:
    status = order["status"]
    if status == "disputed":
        return Outcome(Code.DISPUTED)
    if any(one["status"] == "pending" and one["stripe_refund"] is None and one["amount"] for one in past):
        return Outcome(Code.REFUND_IN_PROGRESS)
    if status in _DONE and order["refunded"] >= order["total"]:
        return Outcome(Code.ALREADY_REFUNDED)
    if status not in _REFUNDABLE and status not in _DONE:
        return Outcome(Code.NOT_PAID)
    return None


def _check_tickets(tickets: list[PaidTicket], named: tuple[str, ...] | None) -> None:
    known = {ticket.id for ticket in tickets}
    if named is not None and (not named or len(set(named)) != len(named) or not set(named) <= known):
        raise UnknownTickets("each of this order's tickets at most once")


def _past(row: Any) -> Past:
    parts = Parts(row["face"], row["fee"], row["tax"], row["absorbed"], row["absorbed_tax"])
    return Past(parts, row["basis"], row["percent_bps"])


def _asked(context: Context, order: Any, wish: Wish) -> Asked:
    now = instant(context.now())
    policy = refund_policy.parse(order["refund_policy"])
    starts: list[datetime | None] = [order["starts_at"], order["starts_now"].astimezone(UTC)]
    allowed, kept = refunding.allowed_bps(policy, starts, now)
    if wish.override:
        allowed, kept = refunding.ALL_BPS, False
    keep = kept if wish.keep_service_fee is None else wish.keep_service_fee
    return Asked(wish.tickets, wish.amount, allowed, keep, wish.override)


def _rows(
    context: Context,
    order: Any,
    tickets: list[PaidTicket],
    past: list[Any],
    plan: refunding.Plan,
    wish: Wish,
    actor: Actor | None,
) -> tuple[dict[str, Any], list[Record]]:
    at = context.now()
    now = rfc3339(at)
    quote = msgspec.convert(order["quote"], Quote)
    total = clearing.part_of(order, quote)
    before = sum((_past(one).parts for one in past), Parts())
    paid = (sum(one["payout_face"] for one in past), sum(one["payout_fees"] for one in past))
    face, fees = refunding.organizers_part(
        tickets, plan, paid, before, (total.gross - total.discounts, total.fees), quantum(total.currency)
    )
    row = {
        "id": wish.refund,
        "order_id": order["id"],
        "kind": wish.kind,
        "status": "pending" if plan.parts.amount else "succeeded",
        "amount": plan.parts.amount,
        "currency": order["currency"],
        "payment_intent": order["payment_intent"],
        "created_at": now,
        "requested_by": "buyer" if actor is None else actor.name,
        "reason": wish.reason,
        "tickets": list(plan.voids),
        **msgspec.structs.asdict(plan.parts),
        "kept_fee": plan.kept_fee,
        "basis": plan.basis,
        "percent_bps": plan.percent_bps,
        "payout_currency": total.currency,
        "payout_face": face,
        "payout_fees": fees,
    }
    records: list[Record] = []
    if plan.parts.amount:
        entry = rules.refund(
            refund=wish.refund,
            order=order["id"],
            event=order["event_id"],
            organizer=order["organizer"],
            country=context.settings.platform_country,
            currency=order["currency"],
            figures=RefundFigures(**msgspec.structs.asdict(plan.parts)),
            part=OrganizerPart(total.currency, face, 0, fees),
            effective_at=at,
        )
        records += [Record("journal", to_row(entry)), _owed("refund", wish.refund, order["shard"], at)]
        records.append(
            Record(
                "insert outbox",
                payments.mail_row("refunded", order["id"], now) | {"key": f"mail:refunded:{wish.refund}"},
            )
        )
    elif plan.voids:
        records.append(_owed("return_places", wish.refund, order["shard"], at))
    if actor is not None:
        after = {
            "amount": plan.parts.amount,
            "tickets": len(plan.voids),
            "reason": wish.reason,
            "override": wish.override,
        }
        records.append(audit_row(context, actor, "order.refund", order["number"], None, after))
    return row, records


def _owed(kind: str, refund: str, shard: int, at: int, seconds: float = 0.0) -> Record:
    return Record(
        "insert outbox",
        {
            "kind": kind,
            "key": f"{kind}:{refund}",
            "shard": shard,
            "payload": {"refund": refund},
            "run_at": rfc3339(at + int(seconds * limits.SECOND)),
            "attempts": 0,
            "created_at": rfc3339(at),
        },
    )


# --- Stripe ---------------------------------------------------------------------------------------------------------


async def send(context: Context, refund_id: str) -> str | None:
    """Ask Stripe for the refund under its own key; why it is to be tried again, or None when there is an end."""
    refund = await context.pool.run(refunds.find, refund_id)
    if refund is None or refund["stripe_refund"] is not None or refund["status"] != "pending":
        return None
    unmatched = refund["kind"] in ("late", "review")
    key = f"{refund['kind']}-refund:{refund['payment_intent']}" if unmatched else f"refund:{refund['id']}"
    try:
        made = await _make(context, refund, key)
    except (StripeUnavailable, StripeIndeterminate) as error:
        return str(error)
    except StripeRefused as error:
        if unmatched and error.code != "charge_already_refunded":
            return f"refused: {error.code}"
        if not unmatched:
            await _give_up(context, refund, error.code)
            return None
        made = {"id": None, "status": "succeeded"}
    await context.pool.transaction(
        refunds.taken, refund_id, made["id"], word_of(made["status"]), _after(context, refund)
    )
    context.outbox_came.now()
    return None


async def _make(context: Context, refund: Any, key: str) -> dict[str, Any]:
    """A stored failure would answer this key for ever: look for the refund, then take the next key."""
    metadata = {"order_number": refund["number"], "event": refund["event_id"], "refund": refund["id"]}
    for generation in range(limits.STRIPE_KEYS):
        one = key if generation == 0 else f"{key}:{generation}"
        try:
            return await context.stripe.refund(refund["payment_intent"], refund["amount"], metadata, one)
        except StripeIndeterminate:
            found = await context.stripe.find_refund(refund["payment_intent"], refund["id"])
            if found is not None:
                return found
    raise StripeUnavailable("Stripe keeps failing")


def word_of(status: str) -> str:
    """Stripe's state in ours."""
    return {"succeeded": "succeeded", "failed": "failed", "canceled": "failed"}.get(status, "pending")


def _after(context: Context, refund: Any) -> list[Record]:
    at = context.now()
    now = rfc3339(at)
    owed = [_owed("settle_refund", refund["id"], refund["shard"], at, clearing.FIRST_LOOK_SECONDS)]
    if refund["tickets"]:
        owed.append(_owed("return_places", refund["id"], refund["shard"], at))
    if refund["kind"] == "late":
        after = {"id": refund["order_id"], "status": "late_refunded", "refunded": refund["amount"]}
        owed.append(Record("update orders", after))
        owed.append(Record("insert outbox", payments.mail_row("late_refunded", refund["order_id"], now)))
    return owed


async def _give_up(context: Context, refund: Any, code: str) -> None:
    """Stripe refused outright: the entry is undone by its mirror."""
    log.error("refund.refused", order=refund["number"], code=code)
    booked = await context.pool.run(refunds.entry_of, refund["id"])
    entry = None
    if booked is not None:
        entry = to_row(
            mirror(_entry(booked), "refund", refund["id"], context.now(), "Refund refused by Stripe")
        )
    await context.pool.transaction(refunds.refused, refund, code, entry, failure_task(context, refund, code))


def _entry(row: dict[str, Any]) -> Entry:
    return Entry(
        source_type=row["source_type"],
        source_id=row["source_id"],
        kind=row["kind"],
        effective_at=0,
        description=row["description"],
        postings=tuple(msgspec.convert(row["postings"], list[Posting])),
        organizer=row["organizer"],
        event=row["event"],
        order=row["order_id"],
    )


def failure_task(context: Context, refund: Any, why: str) -> Record:
    row = {
        "kind": "refund_failed",
        "subject": refund["id"],
        "detail": {"order": refund["number"], "amount": refund["amount"], "why": why},
        "created_at": rfc3339(context.now()),
    }
    return Record("insert operator_tasks", row)


# --- places ---------------------------------------------------------------------------------------------------------


async def return_places(context: Context, refund_id: str) -> str | None:
    """The voided tickets' places back through the event's owner, once; why it is to be tried again, or None."""
    refund = await context.pool.run(refunds.find, refund_id)
    if refund is None or refund["places_returned_at"] is not None:
        return None
    places = await context.pool.run(refunds.places_of, refund_id)
    noted = {"id": refund_id, "places_returned_at": rfc3339(context.now())}
    outcome = await context.directory.ask(
        ReturnPlaces(
            event=refund["event"],
            refund=refund_id,
            places=tuple(places),
            resell=refund["resell_refunded"],
            records=(Record("update refunds", noted),),
        )
    )
    return None if outcome.ok else outcome.code.value
