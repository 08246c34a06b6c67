"""`/api/orders` and the artefacts of a paid one: tickets as PDF, calendar entry, QR codes."""

from __future__ import annotations

import trio
from quart import Blueprint, Response

from engine import queries
from engine.actions.context import Context
from engine.adapters import calendar, qr, ticket_pdf
from engine.adapters.documents import OrderDocument
from engine.adapters.face import answer
from engine.adapters.http import Problem

# Rendering is work for a thread, and there are two cores.
_RENDERING = trio.CapacityLimiter(2)


def routes(context: Context) -> Blueprint:
    blueprint = Blueprint("orders", __name__)

    @blueprint.get("/api/orders/<order_id>")
    async def show(order_id: str) -> Response:
        found = await queries.order(context, order_id)
        if found is None:
            raise unknown_order()
        return answer(found)

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
