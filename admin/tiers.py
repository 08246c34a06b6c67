"""`/api/…/tiers`: classes of places with their own capacity."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from quart import Blueprint, Response

from admin.auth import Permission, require, unknown
from admin.shapes import (
    Amount,
    Bps,
    Capacity,
    Instant,
    Name,
    NotNegative,
    check_amount,
    given,
    once,
    read_micros,
)
from engine import queries
from engine.actions import catalog as actions
from engine.actions.context import Context
from engine.adapters import catalog, http
from engine.adapters.face import answer, check_origin, read_document
from engine.adapters.http import refuse
from engine.core import limits

PerOrder = Annotated[int, Meta(ge=1, le=limits.MAX_PER_ORDER_MAX)]


class TierAsked(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    price: Amount
    capacity: Capacity
    tax_bps: Bps = 0
    max_per_order: PerOrder = 10
    withheld: NotNegative = 0
    hidden: bool = False
    sale_starts_at: Instant | None = None
    sale_ends_at: Instant | None = None


class TierChange(msgspec.Struct, forbid_unknown_fields=True):
    name: Name | UnsetType = UNSET
    price: Amount | UnsetType = UNSET
    capacity: NotNegative | UnsetType = UNSET
    tax_bps: Bps | UnsetType = UNSET
    max_per_order: PerOrder | UnsetType = UNSET
    withheld: NotNegative | UnsetType = UNSET
    hidden: bool | UnsetType = UNSET
    sale_starts_at: Instant | UnsetType | None = UNSET
    sale_ends_at: Instant | UnsetType | None = UNSET


def _figures(document: msgspec.Struct, currency: str) -> dict[str, Any]:
    changes = given(document)
    if "price" in changes:
        check_amount(changes["price"], currency, "price")
    for name in ("sale_starts_at", "sale_ends_at"):
        if name in changes:
            changes[name] = read_micros(changes[name], name)
    return changes


def routes(context: Context) -> Blueprint:
    blueprint = Blueprint("tiers", __name__)

    async def shown(tier_id: str) -> dict[str, Any]:
        row = await context.pool.run(catalog.find_tier, tier_id, None)
        return {"event": row["event_id"], **queries.admin_tier(row, row["currency"])}

    @blueprint.post("/api/events/<event_id>/tiers")
    async def create(event_id: str) -> Response:
        actor = await require(context, Permission.CATALOG)
        event = await context.pool.run(catalog.find_event, event_id, actor.organizer)
        if event is None:
            raise unknown("event")
        _, document = await read_document()
        changes = _figures(http.convert(document, TierAsked), event["currency"])

        async def act(new_id: Any) -> tuple[int, Any]:
            tier = new_id("tier")
            outcome = await actions.put_tier(context, actor, event["number"], tier, changes, "create")
            if not outcome.ok:
                raise refuse(outcome)
            return 201, await shown(tier)

        return await once(context, actor, document, act)

    @blueprint.get("/api/events/<event_id>/tiers")
    async def list_tiers(event_id: str) -> Response:
        actor = await require(context, Permission.CATALOG)
        event = await context.pool.run(catalog.find_event, event_id, actor.organizer)
        if event is None:
            raise unknown("event")
        rows = await context.pool.run(catalog.tiers_of, event["number"])
        return answer(
            {"data": [queries.admin_tier(row, event["currency"]) for row in rows], "has_more": False}
        )

    @blueprint.patch("/api/tiers/<tier_id>")
    async def change(tier_id: str) -> Response:
        actor = await require(context, Permission.CATALOG)
        check_origin()
        row = await context.pool.run(catalog.find_tier, tier_id, actor.organizer)
        if row is None:
            raise unknown("tier")
        _, document = await read_document()
        changes = _figures(http.convert(document, TierChange), row["currency"])
        outcome = await actions.put_tier(context, actor, row["event"], tier_id, changes, "change")
        if not outcome.ok:
            raise refuse(outcome)
        return answer(await shown(tier_id))

    @blueprint.delete("/api/tiers/<tier_id>")
    async def delete(tier_id: str) -> Response:
        actor = await require(context, Permission.CATALOG)
        check_origin()
        row = await context.pool.run(catalog.find_tier, tier_id, actor.organizer)
        if row is None:
            raise unknown("tier")
        outcome = await actions.put_tier(context, actor, row["event"], tier_id, {"deleted": True}, "delete")
        if not outcome.ok:
            raise refuse(outcome)
        return Response(b"", status=204)

    return blueprint
