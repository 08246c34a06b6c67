"""What both faces share of HTTP: problems, the table from outcomes to status and words, request ids, strict bodies.

Why one table: a test walks `Code` and demands a row for each, so no "no" reaches a client unexplained.
"""

from __future__ import annotations

import re
import secrets
from typing import Any, TypeVar

import msgspec

from engine.adapters import strict_json
from engine.core import limits
from engine.core.outcomes import Code, Outcome

T = TypeVar("T")

# code → (status, API code, what happened and what to do)
ANSWERS: dict[Code, tuple[int, str, str]] = {
    Code.OK: (200, "ok", "Done."),
    Code.IDEMPOTENCY_MISMATCH: (
        422,
        "idempotency_mismatch",
        "This Idempotency-Key was used with another body; use a new key for a new request.",
    ),
    Code.UNKNOWN_EVENT: (404, "unknown_event", "There is no such event."),
    Code.UNKNOWN_TIER: (422, "unknown_tier", "The event has no such tier; read the event again."),
    Code.ABOVE_MAX_PER_ORDER: (422, "invalid_request", "More of one tier than one order may hold."),
    Code.BLOCKED: (
        403,
        "blocked",
        "This purchase is not possible; write to the organizer if you think it should be.",
    ),
    Code.RATE_LIMITED: (429, "rate_limited", "Too many requests; wait as long as Retry-After says."),
    Code.CHALLENGE_REQUIRED: (
        403,
        "challenge_required",
        "Solve the challenge and send the request again with its solution in the header FM-Challenge.",
    ),
    Code.QUEUE_REQUIRED: (403, "queue_required", "Join the queue of this event first."),
    Code.UNKNOWN_HOLD: (404, "unknown_hold", "There is no such hold."),
    Code.ALREADY_PAID: (409, "already_paid", "This hold is already paid; see its order."),
    Code.RELEASED: (409, "released", "This hold was given back; make a new one."),
    Code.HOLD_EXPIRED: (409, "hold_expired", "This hold has expired; make a new one."),
    Code.IN_CHECKOUT: (409, "in_checkout", "This hold is in checkout and cannot change any more."),
    Code.PAYMENT_PROCESSING: (
        409,
        "payment_processing",
        "The payment is being processed; ask again in a minute.",
    ),
    Code.NOT_ON_SALE: (409, "not_on_sale", "Not on sale at this moment; see the event's sale times."),
    Code.PROMO_INVALID: (
        422,
        "promo_invalid",
        "This promo code does not apply; check its spelling and dates.",
    ),
    Code.PROMO_EXHAUSTED: (409, "promo_exhausted", "This promo code has been used up."),
    Code.LIMIT_REACHED: (409, "limit_reached", "You hold or own as many tickets as one buyer may."),
    Code.BELOW_MINIMUM: (422, "below_minimum", "The total is below what a card payment may be."),
    Code.SOLD_OUT: (409, "sold_out", "Not enough places left; `available` says how many there are."),
    Code.LATE: (409, "late", "The payment came after the places were sold; it is refunded in full."),
    Code.BELOW_COMMITTED: (
        409,
        "below_committed",
        "The capacity would be below the places already sold, held, given away or withheld.",
    ),
    Code.TIER_IN_USE: (
        409,
        "tier_in_use",
        "A tier with sold or held places cannot be deleted; hide it instead.",
    ),
    Code.NOT_PAID: (409, "not_paid", "This order is not paid; there is nothing to give back."),
    Code.DISPUTED: (
        409,
        "disputed",
        "The buyer's bank is deciding about this payment; it cannot be refunded.",
    ),
    Code.REFUND_IN_PROGRESS: (
        409,
        "refund_in_progress",
        "A refund of this order is on its way; ask again when it is done.",
    ),
    Code.ALREADY_REFUNDED: (409, "already_refunded", "This is refunded already; see the order's refunds."),
    Code.CHECKED_IN: (409, "checked_in", "A ticket that was used at the door is not refunded."),
    Code.REFUND_NOT_ALLOWED: (
        409,
        "refund_not_allowed",
        "The refund policy of this order does not allow it at this time; ask the organizer.",
    ),
    Code.EXCEEDS_REFUNDABLE: (
        409,
        "exceeds_refundable",
        "More than is left of this order; `refundable` says how much that is.",
    ),
    Code.NEGATIVE_PAYABLE: (
        409,
        "negative_payable",
        "The organizer owes more than they are owed; later sales or a payment must make up for it first.",
    ),
    Code.NOTHING_PAYABLE: (409, "nothing_payable", "Nothing can be paid out now."),
    Code.EXCEEDS_PAYABLE: (
        409,
        "exceeds_payable",
        "More than can be paid out; `payable` says how much that is.",
    ),
    Code.CONFLICT: (409, "conflict", "The object is not in a state that allows this."),
    Code.PAYMENT_UNAVAILABLE: (
        503,
        "payment_unavailable",
        "The payment provider does not answer; your hold is kept. Try again as Retry-After says.",
    ),
    Code.BUSY: (503, "busy", "Too many buyers at this moment; try again as Retry-After says."),
    Code.UNAVAILABLE: (503, "unavailable", "The service is recovering; try again as Retry-After says."),
}

_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

_CHARSET = re.compile(r"""(?:^|;)\s*charset\s*=\s*"?([^";\s]*)""", re.IGNORECASE)
_VISIBLE_ASCII = re.compile(rf"[\x21-\x7e]{{1,{limits.IDEMPOTENCY_KEY_CHARS}}}")


class Problem(Exception):
    """An answer that is a no: status, code, words, and whatever members go with it."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        retry_after: int | None = None,
        **members: Any,
    ) -> None:
        super().__init__(code)
        self.status, self.code, self.detail = status, code, detail
        self.errors, self.retry_after, self.members = errors, retry_after, members

    def body(self, request_id: str) -> bytes:
        """application/problem+json"""
        document: dict[str, Any] = {
            "type": f"urn:force-majeure:problem:{self.code}",
            "title": _TITLES.get(self.status, "Error"),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.errors is not None:
            document["errors"] = self.errors
        document.update(self.members)
        return msgspec.json.encode(document)

    @property
    def headers(self) -> dict[str, str]:
        found = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
        if self.retry_after is not None:
            found["Retry-After"] = str(self.retry_after)
        return found


def refuse(outcome: Outcome) -> Problem:
    """The problem that says an outcome."""
    status, code, words = ANSWERS[outcome.code]
    detail = dict(outcome.detail or {})
    retry_after = detail.pop("retry_after", None)
    if status in (429, 503) and retry_after is None:
        retry_after = 1
    errors = None
    if outcome.code is Code.ABOVE_MAX_PER_ORDER:
        errors = [{"field": "lines", "code": "above_max_per_order"}]
    return Problem(status, code, words, errors=errors, retry_after=retry_after, **detail)


def new_request_id() -> str:
    return "req_" + secrets.token_hex(12)


def check_idempotency_key(key: str | None) -> str | None:
    """The header's value. Raises Problem 422."""
    if key is None:
        return None
    if not _VISIBLE_ASCII.fullmatch(key):
        raise Problem(
            422,
            "invalid_idempotency_key",
            f"Idempotency-Key must be 1 to {limits.IDEMPOTENCY_KEY_CHARS} visible ASCII characters.",
        )
    return key


def check_media_type(content_type: str | None, expected: str = "application/json") -> None:
    """Raises Problem 415, also for a character set that is not UTF-8."""
    kind, _, parameters = (content_type or "").partition(";")
    charset = _CHARSET.search(parameters)
    if kind.strip().lower() != expected or (charset and charset[1].lower() not in ("utf-8", "utf8")):
        raise Problem(415, "unsupported_media_type", f"Send the body as {expected} in UTF-8.")


def read_json(body: bytes) -> Any:
    """One strict JSON document. Raises Problem 413 or 400."""
    if len(body) > limits.BODY_BYTES:
        raise too_large()
    try:
        return strict_json.decode(body)
    except strict_json.BadJson as error:
        raise Problem(400, "invalid_json", f"The body is not one strict JSON document: {error}.") from None


def too_large() -> Problem:
    return Problem(413, "body_too_large", f"A body may have at most {limits.BODY_BYTES // 1024} KiB.")


def convert(document: Any, shape: type[T]) -> T:
    """The document as `shape` (a Struct that forbids unknown fields). Raises Problem 422 naming the field."""
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `")
        field = path.rstrip("`").removeprefix("$").removeprefix(".")
        code = "invalid"
        if "unknown field" in words:
            code, field = "unknown_field", _join(field, words)
        elif "missing required field" in words:
            code, field = "missing", _join(field, words)
        raise invalid(field or "body", code, words) from None


def _join(path: str, words: str) -> str:
    name = words.rpartition(" field ")[2].strip("`")
    return f"{path}.{name}" if path else name


def invalid(field: str, code: str, words: str) -> Problem:
    """422 invalid_request about one field."""
    return Problem(
        422, "invalid_request", f"{field}: {words}", errors=[{"field": field, "code": code, "detail": words}]
    )
