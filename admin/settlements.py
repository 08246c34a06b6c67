"""Settlements of events, statements of months, balances carried over."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from quart import Blueprint, Response

from admin.auth import Permission, own, require, unknown
from admin.shapes import Name, check_amount, check_currency, once
from engine.actions import payouts, settlements
from engine.actions.catalog import Actor
from engine.actions.context import Context
from engine.adapters import catalog, http
from engine.adapters.face import read_body, read_document
from engine.adapters.http import refuse
from ledger.money import AMOUNT_MAX, quantum


class OpeningAsked(msgspec.Struct, forbid_unknown_fields=True):
    organizer: str
    amount: Annotated[int, Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]
    currency: str
    reason: Name


class PayoutAsked(msgspec.Struct, forbid_unknown_fields=True):
    amount: Annotated[int, Meta(ge=1, le=10**12)] | None = None


_TYPES = {
    "": ("document", "application/json"),
    ".csv": ("csv", "text/csv; charset=utf-8"),
    ".pdf": ("pdf", "application/pdf"),
}


def routes(context: Context) -> Blueprint:
    blueprint = Blueprint("settlements", __name__)

    async def owned_event(actor: Actor, event_id: str) -> Any:
        row = await context.pool.run(catalog.find_event, event_id, actor.organizer)
        if row is None:
            raise unknown("event")
        return row

    async def owned_organizer(actor: Actor, organizer: str) -> Any:
        own(actor, organizer)
        row = await context.pool.run(catalog.organizer, organizer)
        if row is None:
            raise unknown("organizer")
        return row

    @blueprint.get("/api/events/<event_id>/settlement")
    async def settlement(event_id: str) -> Response:
        actor = await require(context, Permission.FIGURES)
        event = await owned_event(actor, event_id)
        return _file(await settlements.settlement(context, event), "application/json")

    @blueprint.post("/api/events/<event_id>/settlement/close")
    async def close(event_id: str) -> Response:
        actor = await require(context, Permission.SETTLE)
        event = await owned_event(actor, event_id)
        body = await read_body()
        document = http.read_json(body) if body else {}
        if document != {}:
            raise http.invalid("body", "invalid", "this call takes no body")

        async def act(new_id: Any) -> tuple[int, Any]:
            outcome = await settlements.close(context, actor, event)
            if not outcome.ok:
                raise refuse(outcome)
            return 200, msgspec.Raw(outcome.value)

        return await once(context, actor, document, act)

    @blueprint.get("/api/organizers/<organizer>/statements/<month>")
    async def statement(organizer: str, month: str) -> Response:
        actor = await require(context, Permission.FIGURES)
        row = await owned_organizer(actor, organizer)
        suffix = month[7:]
        if suffix not in _TYPES:
            raise unknown("statement")
        papers = await settlements.statement(context, row, month[:7])
        if papers is None:
            raise unknown("statement")
        form, content_type = _TYPES[suffix]
        return _file(getattr(papers, form), content_type)

    @blueprint.post("/api/organizers/<organizer>/payouts")
    async def payout(organizer: str) -> Response:
        actor = await require(context, Permission.SETTLE)
        row = await owned_organizer(actor, organizer)
        document = (await read_document())[1] if await read_body() else {}
        asked = http.convert(document, PayoutAsked)
        if asked.amount is not None:
            check_amount(asked.amount, row["payout_currency"], "amount")

        async def act(new_id: Any) -> tuple[int, Any]:
            outcome = await payouts.request(context, actor, row, asked.amount, new_id("po"))
            if not outcome.ok:
                raise refuse(outcome)
            return 201, payouts.shown(outcome.value)

        return await once(context, actor, document, act)

    @blueprint.post("/api/ledger/opening")
    async def opening() -> Response:
        actor = await require(context, Permission.OPERATE)
        _, document = await read_document()
        asked = http.convert(document, OpeningAsked)
        row = await context.pool.run(catalog.organizer, asked.organizer)
        if row is None:
            raise unknown("organizer")
        currency = check_currency(asked.currency, "currency")
        if currency != row["payout_currency"]:
            raise http.invalid("currency", "invalid", f"the organizer is paid in {row['payout_currency']}")
        if not asked.amount or asked.amount % quantum(currency):
            raise http.invalid("amount", "invalid", f"an amount other than zero that {currency} can carry")

        async def act(new_id: Any) -> tuple[int, Any]:
            made = {"id": new_id("opn"), **msgspec.structs.asdict(asked), "currency": currency}
            await settlements.open_balance(
                context, actor, made["id"], asked.organizer, currency, asked.amount, asked.reason
            )
            return 201, made

        return await once(context, actor, document, act)

    return blueprint


def _file(body: bytes, content_type: str) -> Response:
    response = Response(body, content_type=content_type)
    response.headers["Cache-Control"] = "private, no-store"
    return response
