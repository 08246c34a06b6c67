"""The buyers' app: JSON for programs, pages for people, one webhook."""

from __future__ import annotations

from quart import Response, g, request
from quart_trio import QuartTrio

from engine.adapters import limits, openapi
from engine.adapters.face import answer, make_app
from engine.adapters.http import Problem
from engine.bootstrap import Engine
from web import events, holds, orders, pages, webhooks

_BODIES = {
    "POST /api/events/<event_id>/holds": holds.HoldAsked,
    "PATCH /api/holds/<hold_id>": holds.AmendAsked,
    "POST /api/holds/<hold_id>/checkout": holds.CheckoutAsked,
    "POST /api/orders/<order_id>/refunds": orders.RefundAsked,
}


def create_app(engine: Engine) -> QuartTrio:
    """The app over a running engine."""
    app = make_app(
        "web",
        engine.health,
        engine.settings.trusted_proxies,
        template_folder="templates",
        static_folder="static",
    )
    context = engine.context

    @app.before_request
    async def _limit() -> None:
        # Holds and checkouts have tighter limits of their own; the webhook's are for what cannot be verified.
        if request.method == "POST" or request.path.startswith(("/healthz", "/readyz", "/static/")):
            return
        seconds = await context.limiter.wait(limits.READS, limits.network_of(g.address))
        if seconds:
            raise Problem(
                429,
                "rate_limited",
                "Too many requests; wait as long as Retry-After says.",
                retry_after=_whole(seconds),
            )

    for blueprint in (
        events.routes(context),
        holds.routes(context),
        orders.routes(context),
        webhooks.routes(context),
        pages.routes(engine),
    ):
        app.register_blueprint(blueprint)

    @app.get("/openapi.json")
    async def openapi_json() -> Response:
        return answer(openapi.describe(app, "Force Majeure for buyers", _BODIES, bearer=False))

    return app


def _whole(seconds: float) -> int:
    return max(1, int(seconds) + 1)
