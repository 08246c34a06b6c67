"""Refund policies: the API's documents and no others, and what they say in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.core.refund_policy import NoRefund, Step, Tiers, Until, parse, policy_words

STARTS = datetime(2027, 7, 24, 18, 0, tzinfo=UTC)
UNTIL = {"kind": "until", "hours_before": 48, "percent_bps": 10000, "keep_service_fee": True}


def tiers(*steps: tuple[Any, Any], **more: Any) -> dict[str, Any]:
    listed = [{"hours_before": hours, "percent_bps": percent} for hours, percent in steps]
    return {"kind": "tiers", "steps": listed, "keep_service_fee": True} | more


def test_the_three_kinds_are_read() -> None:
    assert parse({"kind": "none"}) == NoRefund()
    assert parse(UNTIL) == Until(hours_before=48, percent_bps=10000, keep_service_fee=True)
    assert parse(tiers((168, 10000), (48, 5000), (0, 0))) == Tiers(
        steps=[
            Step(hours_before=168, percent_bps=10000),
            Step(hours_before=48, percent_bps=5000),
            Step(hours_before=0, percent_bps=0),
        ],
        keep_service_fee=True,
    )


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (None, "refund_policy:"),
        ([], "refund_policy:"),
        ("none", "refund_policy:"),
        ({}, "refund_policy.kind:"),
        ({"kind": "always"}, "refund_policy.kind:"),
        ({"kind": "none", "percent_bps": 1}, "refund_policy.percent_bps:"),
        ({"kind": "until"}, "refund_policy.hours_before:"),
        (UNTIL | {"hours_before": -1}, "refund_policy.hours_before:"),
        (UNTIL | {"hours_before": 48.0}, "refund_policy.hours_before:"),
        (UNTIL | {"hours_before": True}, "refund_policy.hours_before:"),
        (UNTIL | {"hours_before": "48"}, "refund_policy.hours_before:"),
        (UNTIL | {"hours_before": 10**30}, "refund_policy.hours_before:"),
        (UNTIL | {"percent_bps": 10001}, "refund_policy.percent_bps:"),
        (UNTIL | {"percent_bps": -1}, "refund_policy.percent_bps:"),
        (UNTIL | {"keep_service_fee": 1}, "refund_policy.keep_service_fee:"),
        (UNTIL | {"steps": []}, "refund_policy.steps:"),
        (tiers(), "refund_policy.steps:"),
        (tiers(*[(hours, 1) for hours in range(20, 9, -1)]), "refund_policy.steps:"),
        (tiers((48, 10000), (48, 5000)), "refund_policy.steps[1].hours_before:"),
        (tiers((168, 10000), (24, 5000), (48, 100)), "refund_policy.steps[2].hours_before:"),
        (tiers((168, 10000), (24, 10001)), "refund_policy.steps[1].percent_bps:"),
        (tiers((168, None)), "refund_policy.steps[0].percent_bps:"),
    ],
)
def test_any_other_document_is_refused_and_the_field_named(document: object, field: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse(document)
    assert str(refused.value).startswith(field)


def test_boundaries_are_told_on_the_events_clock() -> None:
    assert policy_words(parse(UNTIL), STARTS, "Europe/Berlin") == (
        "Refunds: the full price until Thursday 22 July 2027, 20:00 (Europe/Berlin). The service fee is kept."
    )


def test_hours_are_elapsed_hours_over_a_change_of_clocks() -> None:
    """Clocks go forward on 28 March 2027: 24 hours before 12:00 it was 11:00."""
    starts = datetime(2027, 3, 28, 10, 0, tzinfo=UTC)
    words = policy_words(parse(UNTIL | {"hours_before": 24}), starts, "Europe/Berlin")
    assert "Saturday 27 March 2027, 11:00" in words


def test_steps_are_told_in_order_and_empty_ones_left_out() -> None:
    policy = parse(tiers((168, 10000), (48, 5025), (1, 0), keep_service_fee=False))
    assert policy_words(policy, STARTS, "Asia/Tokyo") == (
        "Refunds: the full price until Sunday 18 July 2027, 03:00; then 50.25 % of the price until "
        "Friday 23 July 2027, 03:00 (Asia/Tokyo). The service fee is given back in the same share."
    )


@pytest.mark.parametrize("document", [{"kind": "none"}, UNTIL | {"percent_bps": 0}, tiers((5, 0), (4, 0))])
def test_nothing_back_is_said_plainly(document: object) -> None:
    assert policy_words(parse(document), STARTS, "UTC") == (
        "Tickets cannot be refunded, unless the event is cancelled."
    )


def test_until_the_start_needs_no_clock() -> None:
    assert "the full price until the start" in policy_words(parse(UNTIL | {"hours_before": 0}), STARTS, "UTC")
