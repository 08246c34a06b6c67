"""The organizers' and operators' app: its JSON API. Every route asks `admin.auth` who it is and what they may."""

from __future__ import annotations

from quart_trio import QuartTrio

from admin import blocks, books, events, organizers, promo_codes, tiers
from engine.adapters.face import make_app
from engine.bootstrap import Engine


def create_app(engine: Engine) -> QuartTrio:
    """The app over a running engine, which may own no shard and reach them by the link."""
    app = make_app("admin", engine.health, engine.settings.trusted_proxies)
    for module in (organizers, events, tiers, promo_codes, blocks, books):
        app.register_blueprint(module.routes(engine.context))
    return app
