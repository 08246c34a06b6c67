"""`/api/orders`: refunds by the organizer, within the policy or beyond it with a reason."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from quart import Blueprint, Response

from admin.auth import Permission, require
from admin.shapes import check_amount, once
from engine import queries
from engine.actions import refunds
from engine.actions.context import Context
from engine.adapters import http, orders
from engine.adapters.face import read_document
from engine.adapters.http import Problem, refuse
from ledger.money import AMOUNT_MAX


class RefundAsked(msgspec.Struct, forbid_unknown_fields=True):
    tickets: Annotated[list[str], Meta(min_length=1, max_length=1000)] | None = None
    amount: Annotated[int, Meta(ge=1, le=AMOUNT_MAX)] | None = None
    keep_service_fee: bool | None = None
    override_policy: bool = False
    reason: Annotated[str, Meta(max_length=500)] = ""


def routes(context: Context) -> Blueprint:
    blueprint = Blueprint("orders", __name__)

    @blueprint.post("/api/orders/<order_id>/refunds")
    async def refund(order_id: str) -> Response:
        actor = await require(context, Permission.REFUND)
        found = await context.pool.run(orders.find, order_id)
        if found is None or actor.organizer not in (None, found["organizer"]):
            raise Problem(404, "unknown_order", "There is no such order.")
        _, document = await read_document()
        asked = http.convert(document, RefundAsked)
        if asked.tickets is not None and asked.amount is not None:
            raise http.invalid("amount", "invalid", "either tickets or an amount, not both")
        if asked.amount is not None:
            check_amount(asked.amount, found["currency"], "amount")

        async def act(new_id: Any) -> tuple[int, Any]:
            wish = refunds.Wish(
                order_id,
                new_id("ref"),
                "organizer",
                None if asked.tickets is None else tuple(asked.tickets),
                asked.amount,
                asked.keep_service_fee,
                asked.override_policy,
                asked.reason,
            )
            try:
                outcome = await refunds.request(context, wish, actor)
            except refunds.UnknownTickets as error:
                raise http.invalid("tickets", "unknown", str(error)) from None
            if not outcome.ok:
                raise refuse(outcome)
            return 201, queries.refund(outcome.value)

        return await once(context, actor, document, act)

    return blueprint
