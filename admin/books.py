"""`/api/ledger`: the books, read only."""

from __future__ import annotations

from quart import Blueprint, Response, request

from admin.auth import Permission, require
from engine.actions.context import Context
from engine.adapters import books
from engine.adapters.face import answer
from engine.adapters.http import Problem


def routes(context: Context) -> Blueprint:
    blueprint = Blueprint("books", __name__)

    @blueprint.get("/api/ledger/trial_balance")
    async def trial_balance() -> Response:
        await require(context, Permission.OPERATE)
        return answer({"data": await context.pool.run(books.trial_balance)})

    @blueprint.get("/api/ledger/entries")
    async def entries() -> Response:
        actor = await require(context, Permission.FIGURES)
        order = request.args.get("order")
        if not order:
            raise Problem(422, "invalid_request", "Say which order: ?order=ord_…")
        found = await context.pool.run(books.entries_of, order, actor.organizer)
        return answer({"data": found, "has_more": False})

    return blueprint
