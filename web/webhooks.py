"""`POST /webhooks/stripe`: stored, then answered."""

from __future__ import annotations

from quart import Blueprint, Response, g, request

from engine.actions import notices
from engine.actions.context import Context
from engine.adapters import limits
from engine.adapters.face import answer, read_body
from engine.adapters.http import Problem


def routes(context: Context) -> Blueprint:
    blueprint = Blueprint("webhooks", __name__)

    @blueprint.post("/webhooks/stripe")
    async def stripe() -> Response:
        body = await read_body()
        try:
            await notices.receive(context, body, request.headers.get("Stripe-Signature"))
        except notices.NotGenuine as error:
            if await context.limiter.wait(limits.WEBHOOKS_UNVERIFIED, limits.network_of(g.address)):
                raise Problem(429, "rate_limited", "Too many unverifiable notices.", retry_after=5) from None
            raise Problem(400, "not_genuine", f"This notice cannot be verified: {error}.") from None
        return answer({"received": True})

    return blueprint
