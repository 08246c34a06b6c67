"""Every read the faces may ask. Counts of what is selling come from the owner's memory, the rest from Postgres."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.actions.context import Context
from engine.adapters import catalog, orders, refunds
from engine.adapters.documents import OrderDocument, TicketDocument
from engine.adapters.times import rfc3339, rfc3339_or_none
from engine.core import limits
from engine.core.inventory import Inventory, Tier
from engine.core.model import Basket, Hold, HoldState
from engine.core.pricing import unit_fee
from ledger.money import quantum

_SHOWN_SECONDS = 1.0


def money(amount: int, currency: str) -> dict[str, Any]:
    return {"amount": amount, "currency": currency}


# --- events for buyers --------------------------------------------------------------------------------------------


async def event(context: Context, event_id: str) -> dict[str, Any] | None:
    """API.md section 3; None for what buyers may not see."""
    inventory = context.directory.event(event_id)
    if inventory is None or inventory.facts.state == "draft":
        return None
    row = await _shown(context, event_id)
    if row is None:
        return None
    now = context.now()
    facts = inventory.facts
    tiers = [_tier(inventory, tier) for tier in inventory.tiers.values() if _visible(tier)]
    return {
        "id": facts.id,
        "name": row["name"],
        "slug": row["slug"],
        "description": row["description"],
        "starts_at": rfc3339_or_none(row["starts_at"]),
        "ends_at": rfc3339_or_none(row["ends_at"]),
        "doors_at": rfc3339_or_none(row["doors_at"]),
        "timezone": row["timezone"],
        "currency": facts.currency,
        "venue": {**_venue(row["venue"]), "capacity": inventory.venue.capacity},
        "state": _state(inventory, now),
        "on_sale_at": None if facts.on_sale_at is None else rfc3339(facts.on_sale_at),
        "max_per_buyer": facts.max_per_buyer,
        "hold_seconds": facts.hold_seconds,
        "tiers": tiers,
        "refund_policy": row["refund_policy"],
        "server_now": rfc3339(now),
    }


async def events(context: Context, limit: int, after: str | None) -> tuple[list[dict[str, Any]], bool]:
    ids = await context.pool.run(catalog.list_shown, limit, after)
    found = [await event(context, event_id) for event_id in ids[:limit]]
    return [one for one in found if one is not None], len(ids) > limit


async def event_id(context: Context, slug: str) -> str | None:
    """An event's id by slug or id."""
    return await context.pool.run(catalog.event_id_of, slug)


async def _shown(context: Context, event_id: str) -> Any:
    """What pages show of an event, at most a second old: thousands ask for the same one."""
    cached = context.shown.get(event_id)
    now = context.now()
    if cached is not None and now - cached[0] < _SHOWN_SECONDS * limits.SECOND:
        return cached[1]
    row = await context.pool.run(catalog.find_event, event_id, None)
    context.shown[event_id] = (now, row)
    return row


def _venue(venue: dict[str, Any]) -> dict[str, Any]:
    return {"name": venue["name"], "address": venue.get("address")}


def _visible(tier: Tier) -> bool:
    return not tier.facts.hidden and not tier.facts.deleted


def _state(inventory: Inventory, now: int) -> str:
    facts = inventory.facts
    if facts.state == "cancelled":
        return "cancelled"
    if now >= facts.ends_at:
        return "ended"
    if facts.state == "paused":
        return "paused"
    tiers = [tier for tier in inventory.tiers.values() if _visible(tier)]
    openings = [max(facts.on_sale_at or 0, tier.facts.sale_starts_at or 0) for tier in tiers]
    if tiers and all(opening > now for opening in openings):
        return "scheduled"
    if all(inventory.sellable(tier) == 0 for tier in tiers):
        return "sold_out"
    return "on_sale"


def _tier(inventory: Inventory, tier: Tier) -> dict[str, Any]:
    facts, event_facts = tier.facts, inventory.facts
    currency = event_facts.currency
    fee = unit_fee(facts.price, event_facts.fee, quantum(currency))
    return {
        "id": facts.id,
        "name": facts.name,
        "price": money(facts.price, currency),
        "fee": money(fee, currency),
        "total": money(facts.price + fee, currency),
        "capacity": tier.pool.capacity,
        "available": inventory.sellable(tier),
        "max_per_order": facts.max_per_order,
        "sale_starts_at": None if facts.sale_starts_at is None else rfc3339(facts.sale_starts_at),
        "sale_ends_at": None if facts.sale_ends_at is None else rfc3339(facts.sale_ends_at),
    }


# --- holds --------------------------------------------------------------------------------------------------------

_HOLD_WORDS = {
    HoldState.HELD: "held",
    HoldState.IN_CHECKOUT: "in_checkout",
    HoldState.OVERDUE: "expired",
    HoldState.SOLD: "sold",
    HoldState.RELEASED: "released",
    HoldState.EXPIRED: "expired",
    HoldState.CANCELLED: "released",
}


def hold(inventory: Inventory, found: Hold, hold_id: str, now: int, made: bool = False) -> dict[str, Any]:
    """API.md section 3. `made`: as it was answered when it was made, so that a repeat answers the same bytes."""
    status = "held" if made else _HOLD_WORDS[found.state]
    if status in ("held", "in_checkout") and not made and now >= found.expires:
        status = "expired"
    currency = inventory.facts.currency
    return {
        "id": hold_id,
        "event": inventory.facts.id,
        "status": status,
        "expires_at": rfc3339(found.expires),
        "server_now": rfc3339(found.created if made else now),
        "lines": basket_lines(inventory, found.basket),
        "quote": quote(found.basket.quote, currency),
        "promo_code": None if found.basket.promo is None else inventory.promos[found.basket.promo].facts.code,
    }


def basket_lines(inventory: Inventory, basket: Basket) -> list[dict[str, Any]]:
    currency = inventory.facts.currency
    return [
        {
            "tier": inventory.tiers[line.tier].facts.id,
            "name": inventory.tiers[line.tier].facts.name,
            "quantity": line.quantity,
            "unit_price": money(line.unit_price, currency),
            "unit_fee": money(line.unit_fee, currency),
            "discount": money(line.discount, currency),
            "fees": money(line.fees, currency),
            "tax": money(line.tax, currency),
            "total": money(line.total, currency),
        }
        for line in basket.quote.lines
    ]


def quote(found: Any, currency: str) -> dict[str, Any]:
    """`found`: a Quote, or one as stored."""
    figures = found if isinstance(found, dict) else msgspec.structs.asdict(found)
    return {name: money(figures[name], currency) for name in ("subtotal", "discount", "fees", "tax", "total")}


# --- orders -------------------------------------------------------------------------------------------------------


async def order(context: Context, order_id: str) -> dict[str, Any] | None:
    """API.md section 3; None if unknown. Codes only of tickets that are valid or used."""
    row = await context.pool.run(orders.find, order_id)
    return None if row is None else await order_of(context, row)


async def order_of(context: Context, row: Any) -> dict[str, Any]:
    currency = row["currency"]
    tickets = await context.pool.run(orders.tickets, row["id"])
    paid_back = await context.pool.run(refunds.of_order, row["id"])
    return {
        "id": row["id"],
        "number": row["number"],
        "event": row["event_id"],
        "status": row["status"],
        "email": row["email"],
        "name": row["name"],
        "quote": quote(row["quote"], currency),
        "total": money(row["total"], currency),
        "refunded": money(row["refunded"], currency),
        "needs_review": row["needs_review"],
        "created_at": rfc3339_or_none(row["created_at"]),
        "paid_at": rfc3339_or_none(row["paid_at"]),
        "refund_policy": row["refund_policy"],
        "tickets": [
            {
                "id": ticket["id"],
                "tier": ticket["tier_id"],
                "tier_name": ticket["tier_name"],
                "status": ticket["status"],
                "code": None if ticket["status"] == "void" else ticket_code(context, ticket),
                "name": ticket["name"],
            }
            for ticket in tickets
        ],
        "refunds": [refund(one) for one in paid_back],
    }


def refund(row: Any) -> dict[str, Any]:
    """A refund as buyers and organizers see it."""
    return {
        "id": row["id"],
        "kind": row["kind"],
        "status": row["status"],
        "amount": money(row["amount"], row["currency"]),
        "kept_fee": money(row["kept_fee"], row["currency"]),
        "tickets": list(row["tickets"]),
        "created_at": rfc3339_or_none(row["created_at"]),
    }


def ticket_code(context: Context, ticket: Any) -> str:
    """The scannable code: made on demand, since the same ticket always signs to the same code."""
    return context.signers[ticket["key_id"]].code(
        ticket["event"], ticket["number"], ticket["tier"], ticket["serial"]
    )


async def ticket(context: Context, ticket_id: str) -> Any:
    """A ticket's row with its order's status; None if unknown."""
    return await context.pool.run(orders.ticket, ticket_id)


async def order_document(context: Context, order_id: str) -> OrderDocument | None:
    """What mail, PDF and calendar are made of."""
    row = await context.pool.run(orders.find, order_id)
    if row is None:
        return None
    event_row = await context.pool.run(catalog.find_event, row["event_id"], None)
    tickets = await context.pool.run(orders.tickets, order_id)
    figures = row["quote"]
    return OrderDocument(
        order_id=row["id"],
        number=row["number"],
        order_url=f"{context.settings.public_url}/orders/{row['id']}",
        event_name=event_row["name"],
        event_id=event_row["id"],
        starts_at=event_row["starts_at"],
        ends_at=event_row["ends_at"],
        doors_at=event_row["doors_at"],
        timezone=event_row["timezone"],
        venue_name=event_row["venue"]["name"],
        venue_address=event_row["venue"].get("address") or "",
        currency=row["currency"],
        subtotal=figures["subtotal"],
        discount=figures["discount"],
        fees=figures["fees"],
        tax=figures["tax"],
        total=row["total"],
        refund_policy=row["refund_policy"],
        buyer_name=row["name"],
        email=row["email"],
        paid_at=row["paid_at"],
        refunded=row["refunded"],
        tickets=[
            TicketDocument(
                id=ticket_row["id"],
                tier_name=ticket_row["tier_name"],
                name=ticket_row["name"],
                code=ticket_code(context, ticket_row),
                status=ticket_row["status"],
                price_minor=ticket_row["price"]["face"] - ticket_row["price"]["discount"],
            )
            for ticket_row in tickets
            if ticket_row["status"] != "void"
        ],
    )


# --- admin --------------------------------------------------------------------------------------------------------


def admin_event(row: Any, tiers: list[Any], now: int) -> dict[str, Any]:
    """Everything the organizer set, and where it stands."""
    currency = row["currency"]
    return {
        "id": row["id"],
        "organizer": row["organizer"],
        "name": row["name"],
        "slug": row["slug"],
        "description": row["description"],
        "starts_at": rfc3339_or_none(row["starts_at"]),
        "ends_at": rfc3339_or_none(row["ends_at"]),
        "doors_at": rfc3339_or_none(row["doors_at"]),
        "timezone": row["timezone"],
        "currency": currency,
        "venue": {**_venue(row["venue"]), "capacity": row["capacity"]},
        "state": row["state"],
        "fee": row["fee"],
        "refund_policy": row["refund_policy"],
        "on_sale_at": rfc3339_or_none(row["on_sale_at"]),
        "hold_seconds": row["hold_seconds"],
        "max_per_buyer": row["max_per_buyer"],
        "resell_refunded": row["resell_refunded"],
        "reentry": row["reentry"],
        "queue": row["queue"],
        "tiers": [admin_tier(tier, currency) for tier in tiers],
        "server_now": rfc3339(now),
    }


def admin_tier(row: Any, currency: str) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "price": money(row["price"], currency),
        "tax_bps": row["tax_bps"],
        "capacity": row["capacity"],
        "withheld": row["withheld"],
        "max_per_order": row["max_per_order"],
        "hidden": row["hidden"],
        "sale_starts_at": rfc3339_or_none(row["sale_starts_at"]),
        "sale_ends_at": rfc3339_or_none(row["sale_ends_at"]),
    }
