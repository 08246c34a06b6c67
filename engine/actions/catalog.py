"""What is for sale: organizers, their keys, events, tiers, promo codes.

Display columns are written here or travel as records; figures that decide about places go through the event's owner.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from typing import Any

import msgspec

from engine.actions.context import Context
from engine.adapters import catalog, rates, records
from engine.adapters.secrets import hash_api_key, random_id
from engine.adapters.times import rfc3339
from engine.core import limits
from engine.core.ids import shard_number
from engine.core.model import ChangeEvent, PutPromo, PutTier, Record
from engine.core.outcomes import Code, Outcome


class Actor(msgspec.Struct, frozen=True):
    """Who asks on the admin side: `organizer` None is the operator."""

    name: str
    organizer: str | None
    address: str


async def create_organizer(context: Context, actor: Actor, row: dict[str, Any]) -> None:
    """`row`: the columns of organizers. Again with the same id changes nothing."""
    audit = audit_row(context, actor, "organizer.create", row["id"], None, row)
    await context.pool.transaction(catalog.insert_organizer, row, audit)


async def mint_key(context: Context, actor: Actor, organizer: str | None, name: str = "") -> str:
    """A new API key; its secret is shown once and stored hashed."""
    mode = "live" if context.stripe.livemode else "test"
    secret = f"fm_{mode}_{secrets.token_urlsafe(32)}"
    key_id = f"key_{random_id():032x}"
    audit = audit_row(context, actor, "key.create", key_id, None, {"organizer": organizer})
    await context.pool.transaction(catalog.insert_key, key_id, organizer, hash_api_key(secret), name, audit)
    return secret


async def create_event(context: Context, actor: Actor, row: dict[str, Any], capacity: int) -> int:
    """The event's number. Its owner knows it when this returns, or learns of it with the first command."""
    row = row | {"slug": _slug(row["name"], row["id"])}
    audit = audit_row(context, actor, "event.create", row["id"], None, row | {"capacity": capacity})
    number: int = await context.pool.transaction(
        catalog.insert_event, row, capacity, lambda n: shard_number(n, context.directory.shard_count), audit
    )
    await context.directory.ask(ChangeEvent(event=number, changes={}))
    return number


def _slug(name: str, event_id: str) -> str:
    words = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", words).strip("-")[:60] or "event"
    return f"{base}-{event_id[-6:]}"


async def change_event(
    context: Context, actor: Actor, event: Any, changes: dict[str, Any], columns: dict[str, Any]
) -> Outcome:
    """`changes`: figures of `EventFacts` and `capacity`; `columns`: what only pages show."""
    rows = [audit_row(context, actor, "event.change", event["id"], None, columns | changes)]
    if columns:
        rows.insert(0, Record("update events", {"id": event["id"], **columns}))
    return await context.directory.ask(
        ChangeEvent(event=event["number"], changes=changes, records=tuple(rows))
    )


# verb → (states it is legal from, state it leads to)
_VERBS = {
    "publish": (("draft", "published"), "published"),
    "pause": (("published", "paused"), "paused"),
    "resume": (("paused", "published"), "published"),
    "cancel": (("draft", "published", "paused", "cancelled"), "cancelled"),
}


async def move_event(
    context: Context, actor: Actor, event: Any, verb: str, follow_up: tuple[Record, ...] = ()
) -> Outcome:
    """`follow_up`: rows written with the decision. Publish, pause, resume, cancel. CONFLICT from a state that does not allow it, with what to do."""
    legal, state = _VERBS[verb]
    if event["state"] not in legal:
        return Outcome(Code.CONFLICT, detail={"reason": f"the event is {event['state']}"})
    if verb == "publish" and not await context.pool.run(catalog.has_tier, event["number"]):
        return Outcome(Code.CONFLICT, detail={"reason": "add a tier before publishing"})
    if verb == "publish" and (wrong := await _no_rate(context, event)) is not None:
        return Outcome(Code.CONFLICT, detail={"reason": wrong})
    audit = audit_row(
        context, actor, f"event.{verb}", event["id"], {"state": event["state"]}, {"state": state}
    )
    return await context.directory.ask(
        ChangeEvent(event=event["number"], changes={"state": state}, records=(audit, *follow_up))
    )


async def _no_rate(context: Context, event: Any) -> str | None:
    """Why an event cannot be sold in its currency: no fresh rate into the organizer's. Asked before anybody buys."""
    organizer = await context.pool.run(catalog.organizer, event["organizer"])
    source, target = event["currency"], organizer["payout_currency"]
    if source == target:
        return None
    rate = await context.pool.run(rates.newest, source, target)
    if rate is None or rate["age_seconds"] > limits.RATE_FRESH_SECONDS:
        days = limits.RATE_FRESH_SECONDS // 86_400
        return f"no rate from {source} to {target} of the last {days} days; the operator adds one at /api/fx_rates"
    return None


async def add_rate(
    context: Context, actor: Actor, source: str, target: str, rate: str, name: str, at: int
) -> Any:
    """A rate of exchange, in force for purchases from `at` on."""

    async def write(conn: Any) -> Any:
        made = await rates.insert(conn, source, target, rate, name, at)
        await records.write(
            conn, [audit_row(context, actor, "fx_rate.add", f"{source}-{target}", None, made)]
        )
        return made

    return await context.pool.transaction(write)


async def put_tier(
    context: Context, actor: Actor, event: int, tier: str, changes: dict[str, Any], verb: str
) -> Outcome:
    """A tier made (`verb` create), changed or deleted, in force from the next decision."""
    audit = audit_row(context, actor, f"tier.{verb}", tier, None, changes)
    return await context.directory.ask(PutTier(event=event, id=tier, changes=changes, records=(audit,)))


async def put_promo(
    context: Context, actor: Actor, event: int, promo: str, changes: dict[str, Any]
) -> Outcome:
    audit = audit_row(context, actor, "promo_code.create", promo, None, changes)
    return await context.directory.ask(PutPromo(event=event, id=promo, changes=changes, records=(audit,)))


def audit_row(context: Context, actor: Actor, action: str, subject: str, before: Any, after: Any) -> Record:
    """A line of the audit log, written in the transaction of what it tells."""
    row = {
        "at": rfc3339(context.now()),
        "organizer": actor.organizer,
        "actor": actor.name,
        "action": action,
        "object": subject,
        "ip": actor.address,
        "before": before,
        "after": msgspec.to_builtins(after),
    }
    return Record("insert audit", row)
