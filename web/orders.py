"""`/api/orders` and the artefacts of a paid one: tickets as PDF, calendar entry, QR codes."""

from __future__ import annotations

from typing import Annotated

import msgspec
import trio
from msgspec import Meta
from quart import Blueprint, Response, request

from engine import queries
from engine.actions import idempotency, refunds
from engine.actions.context import Context
from engine.actions.reservations import limit_holds
from engine.adapters import calendar, http, orders, qr, ticket_pdf
from engine.adapters.documents import OrderDocument
from engine.adapters.face import answer, check_origin, idempotency_key, read_body, read_document
from engine.adapters.http import Problem, refuse
from engine.adapters.secrets import random_id
from web.caller import caller
from web.holds import mismatch, replay

# Rendering is work for a thread, and there are two cores.
_RENDERING = trio.CapacityLimiter(2)


class RefundAsked(msgspec.Struct, forbid_unknown_fields=True):
    tickets: Annotated[list[str], Meta(min_length=1, max_length=1000)] | None = None


def routes(context: Context) -> Blueprint:
    blueprint = Blueprint("orders", __name__)

    @blueprint.get("/api/orders/<order_id>")
    async def show(order_id: str) -> Response:
        found = await queries.order(context, order_id)
        if found is None:
            raise unknown_order()
        return answer(found)

    @blueprint.post("/api/orders/<order_id>/refunds")
    async def refund(order_id: str) -> Response:
        check_origin()
        key, who = idempotency_key(), caller(context)
        if await limit_holds(context, who) is not None:
            raise Problem(429, "rate_limited", "Too many requests; wait a little.", retry_after=1)
        if await context.pool.run(orders.find, order_id) is None:
            raise unknown_order()
        document = (await read_document())[1] if await read_body() else {}
        asked = http.convert(document, RefundAsked)
        scope = f"{who.scope}\n{request.method} {request.path}"

        async def act() -> idempotency.Kept:
            wish = refunds.Wish(
                order_id,
                idempotency.new_id("ref", scope, key, random_id()),
                "policy",
                None if asked.tickets is None else tuple(asked.tickets),
            )
            try:
                outcome = await refunds.request(context, wish, None)
            except refunds.UnknownTickets as error:
                raise http.invalid("tickets", "unknown", str(error)) from None
            if not outcome.ok:
                raise refuse(outcome)
            return idempotency.Kept(201, msgspec.json.encode(queries.refund(outcome.value)))

        try:
            kept = await idempotency.once(
                context, scope, key, msgspec.json.encode(document, order="sorted"), act
            )
        except idempotency.KeyMismatch:
            raise mismatch() from None
        return replay(kept)

    @blueprint.get("/orders/<order_id>/tickets.pdf")
    async def tickets_pdf(order_id: str) -> Response:
        document = await _paid(order_id)
        body = await trio.to_thread.run_sync(ticket_pdf.render, document, limiter=_RENDERING)
        return _file(body, "application/pdf", f"tickets-{document.number}.pdf")

    @blueprint.get("/orders/<order_id>/calendar.ics")
    async def calendar_ics(order_id: str) -> Response:
        document = await _paid(order_id)
        body = await trio.to_thread.run_sync(calendar.render, document, limiter=_RENDERING)
        return _file(body, "text/calendar; charset=utf-8", f"event-{document.number}.ics")

    @blueprint.get("/tickets/<ticket_id>/qr.svg")
    async def ticket_qr(ticket_id: str) -> Response:
        row = await queries.ticket(context, ticket_id)
        if row is None:
            raise Problem(404, "unknown_ticket", "There is no such ticket.")
        if row["status"] == "void":
            raise Problem(409, "void", "This ticket is no longer valid.")
        return Response(qr.svg(queries.ticket_code(context, row)), content_type="image/svg+xml")

    async def _paid(order_id: str) -> OrderDocument:
        document = await queries.order_document(context, order_id)
        if document is None:
            raise unknown_order()
        if not document.tickets:
            raise Problem(409, "not_paid", "This order has no valid tickets; see its page.")
        return document

    return blueprint


def _file(body: bytes, content_type: str, name: str) -> Response:
    response = Response(body, content_type=content_type)
    response.headers["Content-Disposition"] = f'inline; filename="{name}"'
    response.headers["Cache-Control"] = "private, no-store"
    return response


def unknown_order() -> Problem:
    return Problem(404, "unknown_order", "There is no such order.")
