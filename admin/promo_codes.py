"""`/api/events/{id}/promo_codes`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from quart import Blueprint, Response

from admin.auth import Permission, require, unknown
from admin.shapes import Instant, check_amount, once, read_micros
from engine.actions import catalog as actions
from engine.actions.context import Context
from engine.adapters import catalog, http
from engine.adapters.face import read_document
from engine.adapters.http import refuse
from engine.core import limits
from engine.core.outcomes import Code
from ledger.money import AMOUNT_MAX


class PromoAsked(msgspec.Struct, forbid_unknown_fields=True):
    code: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\s\x00-\x1f\x7f]+$")]
    percent_bps: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    amount: Annotated[int, Meta(ge=0, le=AMOUNT_MAX)] | None = None
    max_uses: Annotated[int, Meta(ge=0, le=limits.CAPACITY_MAX)] | None = None
    tiers: Annotated[list[str], Meta(min_length=1, max_length=100)] | None = None
    reveals_hidden: bool = False
    valid_from: Instant | None = None
    valid_until: Instant | None = None


def routes(context: Context) -> Blueprint:
    blueprint = Blueprint("promo_codes", __name__)

    @blueprint.post("/api/events/<event_id>/promo_codes")
    async def create(event_id: str) -> Response:
        actor = await require(context, Permission.CATALOG)
        event = await context.pool.run(catalog.find_event, event_id, actor.organizer)
        if event is None:
            raise unknown("event")
        _, document = await read_document()
        asked = http.convert(document, PromoAsked)
        if (asked.percent_bps is None) == (asked.amount is None):
            raise http.invalid("percent_bps", "invalid", "give percent_bps or amount, not both")
        if asked.amount is not None:
            check_amount(asked.amount, event["currency"], "amount")
        changes = msgspec.structs.asdict(asked) | {
            "code": asked.code.strip().upper(),
            "valid_from": read_micros(asked.valid_from, "valid_from"),
            "valid_until": read_micros(asked.valid_until, "valid_until"),
        }

        async def act(new_id: Any) -> tuple[int, Any]:
            promo = new_id("promo")
            outcome = await actions.put_promo(context, actor, event["number"], promo, changes)
            if not outcome.ok and not (
                outcome.code is Code.CONFLICT and await context.pool.run(catalog.find_promo, promo)
            ):
                raise refuse(outcome)
            return 201, {
                "id": promo,
                "event": event_id,
                **msgspec.structs.asdict(asked),
                "code": changes["code"],
            }

        return await once(context, actor, document, act)

    return blueprint
