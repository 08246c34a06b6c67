"""`/api/organizers`: who sells, and the keys they use."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from quart import Blueprint, Response

from admin.auth import Permission, own, require, unknown
from admin.shapes import Name, check_country, check_currency, once
from engine.actions import catalog as actions
from engine.actions.context import Context
from engine.adapters import catalog, http
from engine.adapters.face import answer, read_body, read_document
from engine.adapters.times import rfc3339_or_none


class OrganizerAsked(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    email: Annotated[str, Meta(min_length=3, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]
    country: str
    payout_currency: str
    stripe_account: Annotated[str, Meta(pattern="^acct_[A-Za-z0-9]+$", max_length=100)] | None = None


class KeyAsked(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=200)] = ""


def routes(context: Context) -> Blueprint:
    blueprint = Blueprint("organizers", __name__)

    @blueprint.post("/api/organizers")
    async def create() -> Response:
        actor = await require(context, Permission.OPERATE)
        _, document = await read_document()
        asked = http.convert(document, OrganizerAsked)
        row = msgspec.structs.asdict(asked)
        row["country"] = check_country(asked.country, "country")
        row["payout_currency"] = check_currency(asked.payout_currency, "payout_currency")

        async def act(new_id: Any) -> tuple[int, Any]:
            made = {"id": new_id("org"), **row}
            await actions.create_organizer(context, actor, made)
            return 201, made

        return await once(context, actor, document, act)

    @blueprint.get("/api/organizers/<organizer>")
    async def show(organizer: str) -> Response:
        actor = await require(context, Permission.CATALOG)
        own(actor, organizer)
        row = await context.pool.run(catalog.organizer, organizer)
        if row is None:
            raise unknown("organizer")
        found = {
            name: row[name]
            for name in ("id", "name", "email", "country", "payout_currency", "stripe_account")
        }
        return answer(found | {"created_at": rfc3339_or_none(row["created_at"])})

    @blueprint.post("/api/organizers/<organizer>/keys")
    async def mint(organizer: str) -> Response:
        actor = await require(context, Permission.OPERATE)
        document = await _optional_document()
        asked = http.convert(document, KeyAsked)
        if await context.pool.run(catalog.organizer, organizer) is None:
            raise unknown("organizer")

        async def act(new_id: Any) -> tuple[int, Any]:
            return 201, {"secret": await actions.mint_key(context, actor, organizer, asked.name)}

        return await once(context, actor, document, act)

    return blueprint


async def _optional_document() -> Any:
    """A body that may be left out."""
    body = await read_body()
    return (await read_document())[1] if body else {}
