"""The organizers' and operators' app: its JSON API. Every route asks `admin.auth` who it is and what they may."""

from __future__ import annotations

from quart import Response
from quart_trio import QuartTrio

from admin import blocks, books, events, orders, organizers, promo_codes, rates, settlements, tiers
from engine.adapters import openapi
from engine.adapters.face import answer, make_app
from engine.bootstrap import Engine

_BODIES = {
    "POST /api/organizers": organizers.OrganizerAsked,
    "POST /api/organizers/<organizer>/keys": organizers.KeyAsked,
    "POST /api/events": events.EventAsked,
    "PATCH /api/events/<event_id>": events.EventChange,
    "POST /api/events/<event_id>/tiers": tiers.TierAsked,
    "PATCH /api/tiers/<tier_id>": tiers.TierChange,
    "POST /api/events/<event_id>/promo_codes": promo_codes.PromoAsked,
    "POST /api/orders/<order_id>/refunds": orders.RefundAsked,
    "POST /api/organizers/<organizer>/payouts": settlements.PayoutAsked,
    "POST /api/ledger/opening": settlements.OpeningAsked,
    "POST /api/fx_rates": rates.RateAsked,
    "POST /api/blocks": blocks.BlockAsked,
}


def create_app(engine: Engine) -> QuartTrio:
    """The app over a running engine, which may own no shard and reach them by the link."""
    app = make_app("admin", engine.health, engine.settings.trusted_proxies)
    for module in (organizers, events, tiers, promo_codes, blocks, orders, books, rates, settlements):
        app.register_blueprint(module.routes(engine.context))

    @app.get("/openapi.json")
    async def openapi_json() -> Response:
        return answer(openapi.describe(app, "Force Majeure for organizers", _BODIES, bearer=True))

    return app
