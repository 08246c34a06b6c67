"""Reserve, look, amend, release: what a buyer does before paying.

One decision path for every door: the web route, the lane and the pages call these.
"""

from __future__ import annotations

import math

from engine.actions.context import Caller, Context
from engine.adapters import challenge, limits
from engine.adapters.secrets import random_id
from engine.core.inventory import Inventory
from engine.core.limits import SECOND
from engine.core.model import Amend, Look, Release, Reserve
from engine.core.outcomes import Code, Outcome
from engine.core.reserving import AskedLines, refuse_shape

_UNKNOWN_EVENT = Outcome(Code.UNKNOWN_EVENT)
_UNKNOWN_HOLD = Outcome(Code.UNKNOWN_HOLD)


async def reserve(
    context: Context,
    event_id: str,
    lines: AskedLines,
    promo: str | None,
    caller: Caller,
    key: int | None = None,
    body: int = 0,
) -> Outcome:
    """A durable hold (`value`), or the first refusal in API.md's order. Cancellation may leave a hold that expires."""
    inventory = context.directory.event(event_id)
    if inventory is None or inventory.facts.state == "draft":
        return _UNKNOWN_EVENT
    promo = promo.strip().upper() if promo else None
    if key is None or key not in inventory.keys:
        refusal = await _guard(context, inventory, lines, promo, caller)
        if refusal is not None:
            return refusal
    outcome = await context.directory.ask(
        Reserve(
            event=inventory.facts.number,
            hold=random_id(),
            lines=lines,
            promo=promo,
            key=key,
            body=body,
            owners=owners(context, caller) if inventory.facts.max_per_buyer is not None else (),
        )
    )
    if outcome.code is Code.PROMO_INVALID:
        await context.limiter.wait(limits.PROMO_FAILURES, limits.network_of(caller.address))
    return outcome


async def _guard(
    context: Context, inventory: Inventory, lines: AskedLines, promo: str | None, caller: Caller
) -> Outcome | None:
    """What can be refused before the owner is asked: shape, blocks, limits."""
    refusal = refuse_shape(inventory, lines, promo, context.now())
    if refusal is not None:
        return refusal
    if context.blocks.blocked(
        inventory.facts.organizer, context.now(), ip=caller.address, fingerprint=caller.fingerprint
    ):
        return Outcome(Code.BLOCKED)
    return await limit_holds(context, caller)


async def limit_holds(context: Context, caller: Caller) -> Outcome | None:
    """The limits of holds and checkouts: session's and fingerprint's first, then the address'."""
    if not context.limiter.enabled:
        return None
    for subject in (caller.session, caller.fingerprint):
        if subject is not None:
            seconds = await context.limiter.wait(limits.HOLDS_BY_BUYER, subject)
            if seconds:
                return Outcome(Code.RATE_LIMITED, detail={"retry_after": math.ceil(seconds)})
    crowded = await context.limiter.wait(limits.HOLDS_BY_ADDRESS, limits.network_of(caller.address))
    if crowded and (
        caller.solved is None
        or await context.limiter.wait(limits.CHALLENGED, caller.session or caller.solved)
    ):
        puzzle = challenge.make(context.secrets.challenge_key, context.now() // SECOND)
        return Outcome(Code.CHALLENGE_REQUIRED, detail={"challenge": puzzle})
    return None


def owners(context: Context, caller: Caller) -> tuple[int, ...]:
    """Keyed hashes of whom a limit per buyer counts."""
    found = []
    if caller.session is not None:
        found.append(context.secrets.buyer("session", caller.session))
    if caller.fingerprint is not None:
        found.append(context.secrets.buyer("fingerprint", caller.fingerprint))
    return tuple(found)


async def look(context: Context, hold_id: str) -> Outcome:
    """The hold (`value`) or UNKNOWN_HOLD."""
    found = context.inventory_of("hold", hold_id)
    if found is None:
        return _UNKNOWN_HOLD
    inventory, hold = found
    return await context.directory.ask(Look(event=inventory.facts.number, hold=hold))


async def amend(context: Context, hold_id: str, lines: AskedLines) -> Outcome:
    """Other lines in one decision, same expiry."""
    found = context.inventory_of("hold", hold_id)
    if found is None:
        return _UNKNOWN_HOLD
    inventory, hold = found
    return await context.directory.ask(Amend(event=inventory.facts.number, hold=hold, lines=lines))


async def release(context: Context, hold_id: str) -> Outcome:
    """Places back at once. IN_CHECKOUT is for `engine.actions.payments.abandon` to end."""
    found = context.inventory_of("hold", hold_id)
    if found is None:
        return _UNKNOWN_HOLD
    inventory, hold = found
    return await context.directory.ask(Release(event=inventory.facts.number, hold=hold))
