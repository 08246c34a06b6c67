"""`/api/…/holds`: reserve, look, amend, give back, check out."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta
from quart import Blueprint, Response, request

from engine import queries
from engine.actions import idempotency, orders, payments, reservations
from engine.actions.context import Context
from engine.adapters import http
from engine.adapters.face import answer, check_origin, idempotency_key, read_document
from engine.adapters.http import Problem, refuse
from engine.adapters.secrets import body_hash
from engine.core import ids, limits
from engine.core.model import Hold
from engine.core.outcomes import Code
from web.caller import caller

Text = Annotated[str, Meta(min_length=1, max_length=200)]


class Line(msgspec.Struct, forbid_unknown_fields=True):
    tier: Annotated[str, Meta(min_length=1, max_length=100)]
    quantity: Annotated[int, Meta(ge=1, le=limits.CAPACITY_MAX)]


Lines = Annotated[list[Line], Meta(min_length=1, max_length=limits.LINES_MAX)]


class HoldAsked(msgspec.Struct, forbid_unknown_fields=True):
    lines: Lines
    promo_code: Annotated[str, Meta(max_length=100)] | None = None
    fingerprint: Annotated[str, Meta(max_length=200)] | None = None
    queue_token: Annotated[str, Meta(max_length=1000)] | None = None


class AmendAsked(msgspec.Struct, forbid_unknown_fields=True):
    lines: Lines


class Attendee(msgspec.Struct, forbid_unknown_fields=True):
    name: Text


class CheckoutAsked(msgspec.Struct, forbid_unknown_fields=True):
    email: Annotated[str, Meta(min_length=3, max_length=254)]
    name: Text
    attendees: Annotated[list[Attendee], Meta(max_length=limits.MAX_PER_ORDER_MAX)] | None = None


_EMAIL = re.compile(
    r"[^@\s\x00-\x1f\x7f<>,;:\"()\[\]\\]+@[^@\s\x00-\x1f\x7f<>,;:\"()\[\]\\]+\.[^@\s.<>,;:]{2,}"
)


def read_lines(lines: list[Line]) -> tuple[tuple[str, int], ...]:
    """Lines as the engine counts them. Raises Problem 422 for a tier named twice."""
    found = tuple((line.tier, line.quantity) for line in lines)
    if len({tier for tier, _ in found}) != len(found):
        raise http.invalid("lines", "duplicate_tier", "each tier at most once")
    return found


def _check_email(email: str) -> str:
    email = email.strip()
    if not _EMAIL.fullmatch(email):
        raise http.invalid("email", "invalid", "not an e-mail address")
    return email


def _check_name(name: str, field: str) -> str:
    name = " ".join(name.split())
    if not name or not name.isprintable():
        raise http.invalid(field, "invalid", "a name of printable characters")
    return name


def routes(context: Context) -> Blueprint:
    blueprint = Blueprint("holds", __name__)

    def show(hold_id: str, hold: Hold, status: int = 200, made: bool = False) -> Response:
        found = context.inventory_of("hold", hold_id)
        assert found is not None
        return answer(queries.hold(found[0], hold, hold_id, context.now(), made), status)

    @blueprint.post("/api/events/<event_id>/holds")
    async def reserve(event_id: str) -> Response:
        check_origin()
        _, document = await read_document()
        key = idempotency_key()
        asked = http.convert(document, HoldAsked)
        who = caller(context, asked.fingerprint)
        scope = f"{who.scope}\nPOST /api/events/{event_id}/holds"
        outcome = await reservations.reserve(
            context,
            event_id,
            read_lines(asked.lines),
            asked.promo_code,
            who,
            key=None if key is None else context.secrets.idempotency(scope, key),
            # The meaning of the request, so that spacing and order of its members make no other body.
            body=body_hash(msgspec.json.encode(document, order="sorted")),
        )
        if not outcome.ok:
            raise refuse(outcome)
        inventory = context.directory.event(event_id)
        assert inventory is not None
        response = show(
            ids.spell("hold", inventory.facts.number, outcome.value.id), outcome.value, 201, made=True
        )
        if outcome.replayed:
            response.headers["Idempotent-Replayed"] = "true"
        return response

    @blueprint.get("/api/holds/<hold_id>")
    async def look(hold_id: str) -> Response:
        outcome = await reservations.look(context, hold_id)
        if not outcome.ok:
            raise refuse(outcome)
        return show(hold_id, outcome.value)

    @blueprint.patch("/api/holds/<hold_id>")
    async def amend(hold_id: str) -> Response:
        check_origin()
        _, document = await read_document()
        asked = http.convert(document, AmendAsked)
        outcome = await reservations.amend(context, hold_id, read_lines(asked.lines))
        if not outcome.ok:
            raise refuse(outcome)
        return show(hold_id, outcome.value)

    @blueprint.delete("/api/holds/<hold_id>")
    async def release(hold_id: str) -> Response:
        check_origin()
        outcome = await reservations.release(context, hold_id)
        if outcome.code is Code.IN_CHECKOUT:
            outcome = await payments.abandon(context, hold_id)
        if not outcome.ok:
            raise refuse(outcome)
        return Response(b"", status=204)

    @blueprint.post("/api/holds/<hold_id>/checkout")
    async def checkout(hold_id: str) -> Response:
        check_origin()
        _, document = await read_document()
        key = idempotency_key()
        who = caller(context)

        async def act() -> idempotency.Kept:
            refusal = await orders.refuse_checkout(context, hold_id)
            if refusal is not None:
                raise refuse(refusal)
            asked = http.convert(document, CheckoutAsked)
            email, name = _check_email(asked.email), _check_name(asked.name, "name")
            attendees: list[str | None] = [
                _check_name(one.name, f"attendees[{at}].name") for at, one in enumerate(asked.attendees or [])
            ]
            outcome = await orders.place_order(context, hold_id, email, name, attendees, who)
            if not outcome.ok:
                raise refuse(outcome)
            body = {
                "order": await queries.order_of(context, outcome.value.order),
                "payment": _payment(context, outcome.value),
            }
            return idempotency.Kept(201, msgspec.json.encode(body))

        scope = f"{who.scope}\n{request.method} {request.path}"
        try:
            kept = await idempotency.once(
                context, scope, key, msgspec.json.encode(document, order="sorted"), act
            )
        except idempotency.KeyMismatch:
            raise mismatch() from None
        return replay(kept)

    return blueprint


def _payment(context: Context, placed: orders.Placed) -> dict | None:
    if placed.payment_intent is None:
        return None
    return {
        "payment_intent": placed.payment_intent,
        "client_secret": placed.client_secret,
        "publishable_key": context.settings.stripe_publishable_key,
        "amount": queries.money(placed.order["total"], placed.order["currency"]),
    }


def mismatch() -> Problem:
    status, code, words = http.ANSWERS[Code.IDEMPOTENCY_MISMATCH]
    return Problem(status, code, words)


def replay(kept: idempotency.Kept) -> Response:
    response = Response(kept.body, status=kept.status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    if kept.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response
