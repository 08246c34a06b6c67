"""What an organizer promises about money back: none, all until a time before the start, or in steps. Read, and said in words.

Promises: `parse` accepts exactly the documents of the API; the boundary instant itself is still inside.
Must not know: what a refund does to places or to the books.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

PERCENT_BPS_MAX = 10_000
STEPS_MAX = 10
# Ten years: more than any event is on sale, and far from the end of the calendar.
HOURS_MAX = 87_600

_FIELD_IN_WORDS = re.compile(r"field `([^`]*)`$")

Hours = Annotated[int, Meta(ge=0, le=HOURS_MAX)]
PercentBps = Annotated[int, Meta(ge=0, le=PERCENT_BPS_MAX)]


class NoRefund(msgspec.Struct, frozen=True, tag="none", tag_field="kind", forbid_unknown_fields=True):
    """`{"kind":"none"}`"""


class Until(
    msgspec.Struct, frozen=True, tag="until", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """`percent_bps` of the price back until `hours_before` the start."""

    hours_before: Hours
    percent_bps: PercentBps
    keep_service_fee: bool


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One step: until `hours_before` the start, `percent_bps` of the price."""

    hours_before: Hours
    percent_bps: PercentBps


class Tiers(
    msgspec.Struct, frozen=True, tag="tiers", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """Steps, the earliest boundary first: the first one not yet past is the one that counts."""

    steps: Annotated[list[Step], Meta(min_length=1, max_length=STEPS_MAX)]
    keep_service_fee: bool


RefundPolicy = NoRefund | Until | Tiers


def parse(document: object) -> RefundPolicy:
    """The policy of a decoded JSON document. Raises ValueError, naming the field, for any other document."""
    try:
        policy: RefundPolicy = msgspec.convert(document, RefundPolicy)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `")
        field = "refund_policy" + path.rstrip("`").removeprefix("$")
        # A field that is missing or unknown stands in the words; the path ends at its object.
        absent = _FIELD_IN_WORDS.search(words)
        raise ValueError(f"{field}{'.' + absent[1] if absent else ''}: {words}") from None
    if isinstance(policy, Tiers):
        for at in range(1, len(policy.steps)):
            if policy.steps[at].hours_before >= policy.steps[at - 1].hours_before:
                raise ValueError(
                    f"refund_policy.steps[{at}].hours_before: Expected fewer hours than the step before it"
                )
    return policy


def policy_words(policy: RefundPolicy, starts_at: datetime, timezone: str) -> str:
    """The policy in plain English, its times in the event's zone. `starts_at` is aware."""
    if isinstance(policy, NoRefund):
        return "Tickets cannot be refunded, unless the event is cancelled."
    steps = [(policy.hours_before, policy.percent_bps)] if isinstance(policy, Until) else _steps(policy)
    offers = [
        f"{_share(percent_bps)} until {_boundary(starts_at, hours_before, timezone)}"
        for hours_before, percent_bps in steps
        if percent_bps
    ]
    if not offers:
        return "Tickets cannot be refunded, unless the event is cancelled."
    fee = (
        "The service fee is kept."
        if policy.keep_service_fee
        else "The service fee is given back in the same share."
    )
    return f"Refunds: {'; then '.join(offers)} ({timezone}). {fee}"


def _steps(policy: Tiers) -> list[tuple[int, int]]:
    return [(step.hours_before, step.percent_bps) for step in policy.steps]


def _share(percent_bps: int) -> str:
    if percent_bps == PERCENT_BPS_MAX:
        return "the full price"
    whole, hundredths = divmod(percent_bps, 100)
    percent = f"{whole}.{hundredths:02}".rstrip("0") if hundredths else str(whole)
    return f"{percent} % of the price"


def _boundary(starts_at: datetime, hours_before: int, timezone: str) -> str:
    """Hours are elapsed hours, so a change of clocks in between moves the wall time, not the right."""
    if hours_before == 0:
        return "the start"
    instant = starts_at.astimezone(UTC) - timedelta(hours=hours_before)
    local = instant.astimezone(ZoneInfo(timezone))
    return f"{local:%A} {local.day} {local:%B %Y, %H:%M}"
