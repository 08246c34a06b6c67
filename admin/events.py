"""`/api/events`: make, change, publish, pause, resume; and how it stands."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from quart import Blueprint, Response, request

from admin.auth import Permission, own, require, unknown
from admin.shapes import (
    Amount,
    Bps,
    Capacity,
    Instant,
    Name,
    Words,
    check_amount,
    check_currency,
    check_zone,
    given,
    once,
    read_instant,
    read_micros,
)
from engine import queries
from engine.actions import cancellations
from engine.actions import catalog as actions
from engine.actions.catalog import Actor
from engine.actions.context import Context
from engine.adapters import catalog, dashboard, http
from engine.adapters.cancellations import progress
from engine.adapters.face import answer, check_origin, page_size, read_body, read_document
from engine.adapters.http import Problem, refuse
from engine.adapters.times import micros, rfc3339
from engine.core import refund_policy
from engine.core.limits import SECOND
from engine.core.pricing import FeeSchedule

_UNDATED_SECONDS = 12 * 3600
HoldSeconds = Annotated[int, Meta(ge=1, le=86_400)]
PerBuyer = Annotated[int, Meta(ge=1, le=1_000_000)]


class Venue(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    capacity: Capacity
    address: Annotated[str, Meta(max_length=1000)] | None = None


class VenueChange(msgspec.Struct, forbid_unknown_fields=True):
    name: Name | UnsetType = UNSET
    capacity: Capacity | UnsetType = UNSET
    address: Annotated[str, Meta(max_length=1000)] | UnsetType | None = UNSET


class Fee(msgspec.Struct, forbid_unknown_fields=True):
    percent_bps: Bps | UnsetType = UNSET
    fixed: Amount | UnsetType = UNSET
    basis: Literal["ticket", "order"] | UnsetType = UNSET
    mode: Literal["passed_on", "absorbed"] | UnsetType = UNSET
    processing: Literal["platform", "organizer"] | UnsetType = UNSET
    disputes: Literal["platform", "organizer"] | UnsetType = UNSET
    comp_fixed: Amount | UnsetType = UNSET
    tax_bps: Bps | UnsetType = UNSET


class Queue(msgspec.Struct, forbid_unknown_fields=True):
    enabled: bool
    admit_per_minute: Annotated[int, Meta(ge=1, le=1_000_000)] = 100


class EventAsked(msgspec.Struct, forbid_unknown_fields=True):
    organizer: str
    name: Name
    starts_at: Instant
    timezone: str
    currency: str
    venue: Venue
    description: Words = ""
    ends_at: Instant | None = None
    fee: Fee | None = None
    refund_policy: dict[str, Any] | None = None
    on_sale_at: Instant | None = None
    hold_seconds: HoldSeconds | None = None
    max_per_buyer: PerBuyer | None = None
    resell_refunded: bool = True
    doors_at: Instant | None = None
    reentry: bool = False
    queue: Queue | None = None


class EventChange(msgspec.Struct, forbid_unknown_fields=True):
    name: Name | UnsetType = UNSET
    description: Words | UnsetType = UNSET
    starts_at: Instant | UnsetType = UNSET
    ends_at: Instant | UnsetType | None = UNSET
    timezone: str | UnsetType = UNSET
    venue: VenueChange | UnsetType = UNSET
    fee: Fee | UnsetType = UNSET
    refund_policy: dict[str, Any] | UnsetType = UNSET
    on_sale_at: Instant | UnsetType | None = UNSET
    hold_seconds: HoldSeconds | UnsetType = UNSET
    max_per_buyer: PerBuyer | UnsetType | None = UNSET
    resell_refunded: bool | UnsetType = UNSET
    doors_at: Instant | UnsetType | None = UNSET
    reentry: bool | UnsetType = UNSET
    queue: Queue | UnsetType | None = UNSET


def routes(context: Context) -> Blueprint:
    blueprint = Blueprint("events", __name__)

    async def owned(actor: Actor, event_id: str) -> Any:
        row = await context.pool.run(catalog.find_event, event_id, actor.organizer)
        if row is None:
            raise unknown("event")
        return row

    async def shown(event_id: str) -> dict[str, Any]:
        row = await context.pool.run(catalog.find_event, event_id, None)
        tiers = await context.pool.run(catalog.tiers_of, row["number"])
        document = queries.admin_event(row, tiers, context.now())
        if row["state"] == "cancelled":
            document["cancellation"] = await context.pool.run(progress, row["number"])
        return document

    @blueprint.post("/api/events")
    async def create() -> Response:
        actor = await require(context, Permission.CATALOG)
        _, document = await read_document()
        if isinstance(document, dict) and isinstance(document.get("organizer"), str):
            own(actor, document["organizer"])
        asked = http.convert(document, EventAsked)
        organizer = await context.pool.run(catalog.organizer, asked.organizer)
        if organizer is None:
            raise unknown("organizer")
        row = _row(asked, _fee(actor, asked.fee, organizer["fee"], asked.currency.lower()), context)

        async def act(new_id: Any) -> tuple[int, Any]:
            event_id = new_id("evt")
            await actions.create_event(context, actor, {"id": event_id, **row}, asked.venue.capacity)
            return 201, await shown(event_id)

        return await once(context, actor, document, act)

    @blueprint.get("/api/events")
    async def list_events() -> Response:
        actor = await require(context, Permission.CATALOG)
        limit, after = page_size(request.args)
        rows = await context.pool.run(catalog.list_events, actor.organizer, limit, after)
        data = [queries.admin_event(row, [], context.now()) for row in rows[:limit]]
        return answer({"data": data, "has_more": len(rows) > limit})

    @blueprint.get("/api/events/<event_id>")
    async def show(event_id: str) -> Response:
        actor = await require(context, Permission.CATALOG)
        await owned(actor, event_id)
        return answer(await shown(event_id))

    @blueprint.patch("/api/events/<event_id>")
    async def change(event_id: str) -> Response:
        actor = await require(context, Permission.CATALOG)
        check_origin()
        row = await owned(actor, event_id)
        _, document = await read_document()
        changes, columns = _changes(actor, http.convert(document, EventChange), row)
        outcome = await actions.change_event(context, actor, row, changes, columns)
        if not outcome.ok:
            raise refuse(outcome)
        context.shown.pop(event_id, None)
        return answer(await shown(event_id))

    @blueprint.post("/api/events/<event_id>/<any(publish, pause, resume, cancel):verb>")
    async def move(event_id: str, verb: str) -> Response:
        actor = await require(context, Permission.CATALOG)
        row = await owned(actor, event_id)
        body = await read_body()
        document = http.read_json(body) if body else {}
        if document != {}:
            raise http.invalid("body", "invalid", "this call takes no body")

        async def act(new_id: Any) -> tuple[int, Any]:
            # Whoever paid gets it back; begun in the same commit.
            follow_up = (cancellations.owed(row, context.now()),) if verb == "cancel" else ()
            outcome = await actions.move_event(context, actor, row, verb, follow_up)
            if not outcome.ok:
                raise refuse(outcome)
            context.shown.pop(event_id, None)
            return 200, await shown(event_id)

        return await once(context, actor, document, act)

    @blueprint.get("/api/events/<event_id>/dashboard")
    async def show_dashboard(event_id: str) -> Response:
        actor = await require(context, Permission.FIGURES)
        row = await owned(actor, event_id)
        return answer(await context.pool.run(dashboard.read, row))

    return blueprint


def _row(asked: EventAsked, fee: dict[str, Any], context: Context) -> dict[str, Any]:
    """The event's columns. Raises Problem 422."""
    row: dict[str, Any] = {
        "organizer": asked.organizer,
        "name": asked.name,
        "description": asked.description,
        "venue": {"name": asked.venue.name, "address": asked.venue.address},
        "timezone": check_zone(asked.timezone, "timezone"),
        "currency": check_currency(asked.currency, "currency"),
        "hold_seconds": asked.hold_seconds or context.settings.hold_seconds,
        "max_per_buyer": asked.max_per_buyer,
        "resell_refunded": asked.resell_refunded,
        "reentry": asked.reentry,
        "queue": None if asked.queue is None else msgspec.structs.asdict(asked.queue),
        "fee": fee,
        "refund_policy": _policy(asked.refund_policy or {"kind": "none"}),
    }
    for name in ("starts_at", "ends_at", "doors_at", "on_sale_at"):
        text = getattr(asked, name)
        row[name] = None if text is None else rfc3339(micros(read_instant(text, name)))
    if row["ends_at"] is not None and row["ends_at"] <= row["starts_at"]:
        raise http.invalid("ends_at", "invalid", "must be after starts_at")
    return row


def _policy(document: dict[str, Any]) -> dict[str, Any]:
    try:
        refund_policy.parse(document)
    except ValueError as error:
        raise http.invalid("refund_policy", "invalid", str(error)) from None
    return document


def _fee(actor: Actor, asked: Fee | None, base: Any, currency: str) -> dict[str, Any]:
    """The whole schedule: the organizer's own, then what was asked. Raises Problem 403, 422."""
    schedule = msgspec.structs.asdict(FeeSchedule()) | (base or {})
    changes = {} if asked is None else given(asked)
    if actor.organizer is not None and any(
        schedule[name] != value for name, value in changes.items() if name != "mode"
    ):
        raise Problem(
            403, "forbidden", "In `fee` an organizer may set `mode` only; the rest is the operator's."
        )
    for name in ("fixed", "comp_fixed"):
        if name in changes:
            check_amount(changes[name], check_currency(currency, "currency"), f"fee.{name}")
    return schedule | changes


def _changes(actor: Actor, asked: EventChange, row: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(figures for the owner, columns for pages). Raises Problem."""
    sent = given(asked)
    changes: dict[str, Any] = {}
    columns: dict[str, Any] = {
        name: sent[name] for name in ("name", "description", "resell_refunded", "reentry") if name in sent
    }
    if "timezone" in sent:
        columns["timezone"] = check_zone(sent["timezone"], "timezone")
    if "refund_policy" in sent:
        columns["refund_policy"] = _policy(sent["refund_policy"])
    for name in ("starts_at", "ends_at", "doors_at"):
        if name in sent:
            text = sent[name]
            columns[name] = None if text is None else rfc3339(micros(read_instant(text, name)))
    for name in ("hold_seconds", "max_per_buyer"):
        if name in sent:
            changes[name] = sent[name]
    if "on_sale_at" in sent:
        changes["on_sale_at"] = read_micros(sent["on_sale_at"], "on_sale_at")
    if "queue" in sent:
        queue = sent["queue"]
        columns["queue"] = None if queue is None else msgspec.structs.asdict(queue)
        changes["queue"] = bool(queue and queue.enabled)
    if "venue" in sent:
        venue = given(sent["venue"])
        if "capacity" in venue:
            changes["capacity"] = venue.pop("capacity")
        if venue:
            columns["venue"] = row["venue"] | venue
    if "fee" in sent:
        changes["fee"] = msgspec.convert(_fee(actor, sent["fee"], row["fee"], row["currency"]), FeeSchedule)
    if "starts_at" in sent or "ends_at" in sent:
        changes["ends_at"] = _last_sale(columns, row)
    return changes, columns


def _last_sale(columns: dict[str, Any], row: Any) -> int:
    """When selling ends: with the event, or half a day after its start."""
    starts = (
        read_micros(columns["starts_at"], "starts_at") if "starts_at" in columns else micros(row["starts_at"])
    )
    assert starts is not None
    if "ends_at" in columns:
        ends = read_micros(columns["ends_at"], "ends_at")
    else:
        ends = None if row["ends_at"] is None else micros(row["ends_at"])
    if ends is not None and ends <= starts:
        raise http.invalid("ends_at", "invalid", "must be after starts_at")
    return ends if ends is not None else starts + _UNDATED_SECONDS * SECOND
