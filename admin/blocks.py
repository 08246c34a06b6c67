"""`/api/blocks`: buyers and addresses that may not buy, of one organizer or everywhere."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from quart import Blueprint, Response

from admin.auth import Permission, require, unknown
from admin.shapes import Instant, once, read_instant
from engine.actions.catalog import audit_row
from engine.actions.context import Context
from engine.adapters import blocks, http
from engine.adapters.blocks import normalise_email
from engine.adapters.face import answer, check_origin, read_document
from engine.adapters.times import micros, rfc3339


class BlockAsked(msgspec.Struct, forbid_unknown_fields=True):
    kind: Literal["email", "card", "ip", "fingerprint", "buyer"]
    value: Annotated[str, Meta(min_length=1, max_length=254)]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    until: Instant | None = None


def _value(asked: BlockAsked) -> str:
    if asked.kind == "email":
        return normalise_email(asked.value)
    if asked.kind == "ip":
        try:
            return str(ipaddress.ip_network(asked.value, strict=False))
        except ValueError:
            raise http.invalid("value", "invalid", "an address or a network such as 192.0.2.0/24") from None
    return asked.value


def routes(context: Context) -> Blueprint:
    blueprint = Blueprint("blocks", __name__)

    @blueprint.post("/api/blocks")
    async def create() -> Response:
        actor = await require(context, Permission.CATALOG)
        _, document = await read_document()
        asked = http.convert(document, BlockAsked)
        value = _value(asked)
        until = None if asked.until is None else rfc3339(micros(read_instant(asked.until, "until")))

        async def act(new_id: Any) -> tuple[int, Any]:
            row = {
                "id": new_id("blk"),
                "organizer": actor.organizer,
                "kind": asked.kind,
                "value": value,
                "reason": asked.reason,
                "until": until,
            }
            audit = audit_row(context, actor, "block.create", row["id"], None, row)
            await context.pool.transaction(blocks.insert, row, audit)
            await context.blocks.refresh()
            return 201, row

        return await once(context, actor, document, act)

    @blueprint.get("/api/blocks")
    async def list_blocks() -> Response:
        actor = await require(context, Permission.CATALOG)
        return answer({"data": await context.pool.run(blocks.listed, actor.organizer), "has_more": False})

    @blueprint.delete("/api/blocks/<block_id>")
    async def delete(block_id: str) -> Response:
        actor = await require(context, Permission.CATALOG)
        check_origin()
        audit = audit_row(context, actor, "block.delete", block_id, None, None)
        if not await context.pool.transaction(blocks.delete, block_id, actor.organizer, audit):
            raise unknown("block")
        await context.blocks.refresh()
        return Response(b"", status=204)

    return blueprint
