"""`/api/fx_rates`: what a currency is worth in another, stated by the operator."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from quart import Blueprint, Response

from admin.auth import Permission, require
from admin.shapes import Instant, check_currency, once, read_micros
from engine.actions import catalog as actions
from engine.actions.context import Context
from engine.adapters import http
from engine.adapters.face import read_document
from engine.adapters.rates import check_rate


class RateAsked(
    msgspec.Struct, forbid_unknown_fields=True, rename={"source_currency": "from", "target": "to"}
):
    source_currency: str
    target: str
    rate: str
    source: Annotated[str, Meta(min_length=1, max_length=100)] = "manual"
    at: Instant | None = None


def routes(context: Context) -> Blueprint:
    blueprint = Blueprint("rates", __name__)

    @blueprint.post("/api/fx_rates")
    async def create() -> Response:
        actor = await require(context, Permission.OPERATE)
        _, document = await read_document()
        asked = http.convert(document, RateAsked)
        source = check_currency(asked.source_currency, "from")
        target = check_currency(asked.target, "to")
        if source == target:
            raise http.invalid("to", "invalid", "another currency than from")
        rate = check_rate(asked.rate)
        at = read_micros(asked.at, "at") or context.now()

        async def act(new_id: Any) -> tuple[int, Any]:
            return 201, await actions.add_rate(context, actor, source, target, rate, asked.source, at)

        return await once(context, actor, document, act)

    return blueprint
