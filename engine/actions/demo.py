"""An organizer and an event to click through, made once."""

from __future__ import annotations

from engine.actions import catalog as actions
from engine.actions.catalog import Actor
from engine.actions.context import Context
from engine.actions.idempotency import new_id
from engine.adapters import catalog
from engine.adapters.times import rfc3339
from engine.core.limits import SECOND
from engine.core.pricing import FeeSchedule

_DAY = 24 * 3600 * SECOND
_ACTOR = Actor("demo", None, "local")


async def ensure(context: Context) -> str:
    """The demo event's id."""
    event_id = new_id("evt", "demo", "demo", 0)
    organizer = new_id("org", "demo", "demo", 0)
    if await context.pool.run(catalog.find_event, event_id, None) is not None:
        return event_id
    await actions.create_organizer(
        context,
        _ACTOR,
        {
            "id": organizer,
            "name": "Kulturhaus Demo",
            "email": "office@kulturhaus.invalid",
            "country": "DE",
            "payout_currency": "eur",
        },
    )
    starts = context.now() // _DAY * _DAY + 30 * _DAY + 18 * 3600 * SECOND
    row = {
        "id": event_id,
        "organizer": organizer,
        "name": "Nachtmusik: live at the Kulturhaus",
        "description": "An evening to try Force Majeure with. Nothing here costs money.",
        "venue": {"name": "Kulturhaus", "address": "Hafenstraße 1, Hamburg"},
        "timezone": "Europe/Berlin",
        "currency": "eur",
        "starts_at": rfc3339(starts),
        "ends_at": rfc3339(starts + 4 * 3600 * SECOND),
        "doors_at": rfc3339(starts - 3600 * SECOND),
        "on_sale_at": None,
        "hold_seconds": context.settings.hold_seconds,
        "max_per_buyer": None,
        "resell_refunded": True,
        "reentry": False,
        "queue": None,
        "fee": {**_fee(), "percent_bps": 500, "fixed": 50},
        "refund_policy": {
            "kind": "until",
            "hours_before": 48,
            "percent_bps": 10000,
            "keep_service_fee": True,
        },
    }
    number = await actions.create_event(context, _ACTOR, row, 500)
    for name, price, capacity in (("General admission", 2500, 450), ("Balcony", 4000, 80)):
        tier = new_id("tier", "demo", name, 0)
        changes = {"name": name, "price": price, "capacity": capacity, "max_per_order": 8}
        await actions.put_tier(context, _ACTOR, number, tier, changes, "create")
    promo = new_id("promo", "demo", "demo", 0)
    await actions.put_promo(
        context, _ACTOR, number, promo, {"code": "FRIENDS", "percent_bps": 2000, "max_uses": 50}
    )
    event = await context.pool.run(catalog.find_event, event_id, None)
    await actions.move_event(context, _ACTOR, event, "publish")
    return event_id


def _fee() -> dict[str, object]:
    schedule = FeeSchedule()
    return {name: getattr(schedule, name) for name in schedule.__struct_fields__}
