"""What admin bodies may hold: field types with their bounds, and the checks that need more than a type."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta
from quart import Response, request

from engine.actions import idempotency
from engine.actions.catalog import Actor
from engine.actions.context import Context
from engine.adapters import http
from engine.adapters.face import check_origin, idempotency_key
from engine.adapters.http import Problem
from engine.adapters.secrets import random_id
from engine.adapters.times import micros
from engine.core import limits
from engine.core.outcomes import Code
from ledger.money import AMOUNT_MAX, CURRENCIES, quantum

# Something to read in it, on one line.
Name = Annotated[
    str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x1f\x7f\s][^\x00-\x1f\x7f]*\Z")
]
Words = Annotated[str, Meta(max_length=20_000)]
Capacity = Annotated[int, Meta(ge=1, le=limits.CAPACITY_MAX)]
NotNegative = Annotated[int, Meta(ge=0, le=limits.CAPACITY_MAX)]
Amount = Annotated[int, Meta(ge=0, le=AMOUNT_MAX)]
Bps = Annotated[int, Meta(ge=0, le=10_000)]
Instant = Annotated[str, Meta(max_length=40)]

_COUNTRY = re.compile("[A-Z]{2}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def read_instant(text: str, field: str) -> datetime:
    """RFC 3339 with its offset, in UTC. Raises Problem 422."""
    try:
        if not _INSTANT.fullmatch(text):
            raise ValueError
        found = datetime.fromisoformat(text.upper()).astimezone(UTC)
        # What storage, calendars and half a day's arithmetic can all carry.
        if not 2000 <= found.year < 2200:
            raise ValueError
        return found
    except (ValueError, OverflowError):
        raise http.invalid(
            field, "invalid", "an RFC 3339 time such as 2027-05-01T18:00:00Z, from 2000 to 2199"
        ) from None


def read_micros(text: str | None, field: str) -> int | None:
    return None if text is None else micros(read_instant(text, field))


def check_currency(currency: str, field: str) -> str:
    """Lower case, one that Stripe charges in. Raises Problem 422."""
    code = currency.lower()
    if code not in CURRENCIES:
        raise http.invalid(field, "invalid", "a currency code such as eur")
    return code


def check_amount(amount: int, currency: str, field: str) -> int:
    """Raises Problem 422 for an amount that the currency cannot carry."""
    step = quantum(currency)
    if amount % step:
        raise http.invalid(field, "invalid", f"amounts in {currency} are multiples of {step} minor units")
    return amount


def check_zone(name: str, field: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise http.invalid(field, "invalid", "an IANA time zone such as Europe/Berlin") from None
    return name


def check_country(country: str, field: str) -> str:
    if not _COUNTRY.fullmatch(country):
        raise http.invalid(field, "invalid", "a two-letter country code such as DE")
    return country


def given(document: msgspec.Struct) -> dict[str, Any]:
    """The fields that were sent."""
    return {
        name: value for name, value in msgspec.structs.asdict(document).items() if value is not msgspec.UNSET
    }


Made = tuple[int, Any]


async def once(
    context: Context, actor: Actor, document: Any, act: Callable[[Callable[[str], str]], Awaitable[Made]]
) -> Response:
    """A POST under its Idempotency-Key. `act(new_id)` answers (status, document)."""
    check_origin()
    key = idempotency_key()
    scope = f"{actor.name}\n{request.method} {request.path}"

    def new_id(prefix: str) -> str:
        return idempotency.new_id(prefix, scope, key, random_id())

    async def run() -> idempotency.Kept:
        status, made = await act(new_id)
        return idempotency.Kept(status, msgspec.json.encode(made))

    try:
        kept = await idempotency.once(context, scope, key, msgspec.json.encode(document, order="sorted"), run)
    except idempotency.KeyMismatch:
        status, code, words = http.ANSWERS[Code.IDEMPOTENCY_MISMATCH]
        raise Problem(status, code, words) from None
    response = Response(kept.body, status=kept.status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    if kept.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response
