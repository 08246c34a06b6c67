"""Who asks and what they may: a Bearer key, the operator's or one organizer's.

What belongs to another organizer is 404, exactly as if it did not exist.
"""

from __future__ import annotations

import enum

from quart import g, request

from engine.actions.catalog import Actor
from engine.actions.context import Context
from engine.adapters import catalog, limits
from engine.adapters.http import Problem
from engine.adapters.secrets import hash_api_key


class Permission(enum.Enum):
    """What a route needs. An organizer's key has its own organizer's; the operator's has all."""

    OPERATE = "operate"
    CATALOG = "catalog"
    FIGURES = "figures"
    REFUND = "refund"
    SETTLE = "settle"


_OPERATOR_ONLY = frozenset({Permission.OPERATE})


async def require(context: Context, permission: Permission) -> Actor:
    """The caller. Raises Problem 401, 403, 429."""
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    subject = limits.network_of(g.address)
    if kind.lower() != "bearer" or not secret or len(secret) > 200 or not secret.isascii():
        await _throttle(context, subject)
        raise Problem(401, "unauthorized", "Send an API key as: Authorization: Bearer fm_…")
    row = await context.pool.run(catalog.find_key, hash_api_key(secret.strip()))
    if row is None:
        await _throttle(context, subject)
        raise Problem(401, "unauthorized", "This API key is unknown or revoked.")
    if await context.limiter.wait(limits.ADMIN, row["id"]):
        raise Problem(429, "rate_limited", "Too many requests with this key.", retry_after=1)
    if permission in _OPERATOR_ONLY and row["organizer"] is not None:
        raise Problem(403, "forbidden", "Only the operator may do this.")
    return Actor(f"key:{row['id']}", row["organizer"], g.address)


async def _throttle(context: Context, subject: str) -> None:
    if await context.limiter.wait(limits.LOGINS, subject):
        raise Problem(429, "rate_limited", "Too many failed requests; wait a little.", retry_after=5)


def own(actor: Actor, organizer: str) -> None:
    """Raises Problem 404 when the object is somebody else's."""
    if actor.organizer is not None and actor.organizer != organizer:
        raise unknown("organizer")


def unknown(what: str) -> Problem:
    return Problem(404, f"unknown_{what}", f"There is no such {what.replace('_', ' ')}.")
