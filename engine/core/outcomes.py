"""Every answer a healthy system can give, in order of precedence: an earlier one is said before a later one.

Why an enumeration: faces map each to a status and words in one table, and a test demands that none is missing.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec


class Code(enum.StrEnum):
    # yes
    OK = "ok"
    # no, in order of precedence
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    UNKNOWN_EVENT = "unknown_event"
    UNKNOWN_TIER = "unknown_tier"
    ABOVE_MAX_PER_ORDER = "above_max_per_order"
    BLOCKED = "blocked"
    RATE_LIMITED = "rate_limited"
    CHALLENGE_REQUIRED = "challenge_required"
    QUEUE_REQUIRED = "queue_required"
    UNKNOWN_HOLD = "unknown_hold"
    ALREADY_PAID = "already_paid"
    RELEASED = "released"
    HOLD_EXPIRED = "hold_expired"
    IN_CHECKOUT = "in_checkout"
    PAYMENT_PROCESSING = "payment_processing"
    NOT_ON_SALE = "not_on_sale"
    PROMO_INVALID = "promo_invalid"
    PROMO_EXHAUSTED = "promo_exhausted"
    LIMIT_REACHED = "limit_reached"
    BELOW_MINIMUM = "below_minimum"
    SOLD_OUT = "sold_out"
    LATE = "late"
    BELOW_COMMITTED = "below_committed"
    TIER_IN_USE = "tier_in_use"
    NOT_PAID = "not_paid"
    DISPUTED = "disputed"
    REFUND_IN_PROGRESS = "refund_in_progress"
    ALREADY_REFUNDED = "already_refunded"
    CHECKED_IN = "checked_in"
    REFUND_NOT_ALLOWED = "refund_not_allowed"
    EXCEEDS_REFUNDABLE = "exceeds_refundable"
    NEGATIVE_PAYABLE = "negative_payable"
    NOTHING_PAYABLE = "nothing_payable"
    EXCEEDS_PAYABLE = "exceeds_payable"
    CONFLICT = "conflict"
    PAYMENT_UNAVAILABLE = "payment_unavailable"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"


class Outcome(msgspec.Struct, gc=False):
    """`code`, what it is about (`value`: a hold, an order id, …) and the figures that go with a refusal."""

    code: Code
    value: Any = None
    detail: dict[str, Any] | None = None
    replayed: bool = False

    @property
    def ok(self) -> bool:
        return self.code is Code.OK
