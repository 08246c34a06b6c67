"""`/api/events`: what is on sale."""

from __future__ import annotations

from quart import Blueprint, Response, request

from engine import queries
from engine.actions.context import Context
from engine.adapters.face import answer, page_size
from engine.adapters.http import refuse
from engine.core.outcomes import Code, Outcome


def routes(context: Context) -> Blueprint:
    blueprint = Blueprint("events", __name__)

    @blueprint.get("/api/events")
    async def list_events() -> Response:
        limit, after = page_size(request.args)
        data, more = await queries.events(context, limit, after)
        return answer({"data": data, "has_more": more})

    @blueprint.get("/api/events/<event_id>")
    async def show_event(event_id: str) -> Response:
        found = await queries.event(context, event_id)
        if found is None:
            raise refuse(Outcome(Code.UNKNOWN_EVENT))
        return answer(found)

    return blueprint
