"""Stripe's error object: what a refused request answers, and whether its idempotency key remembers it."""

from __future__ import annotations

from typing import Any


class StripeError(Exception):
    """A refusal in Stripe's words.

    `executed` is true when the endpoint had begun its work: then the answer belongs to the idempotency key. Refused
    parameters leave the key free.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        executed: bool = False,
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.executed = executed
        self.headers = headers or {}
        self.body = error_body(kind, message, **fields)


def error_body(kind: str, message: str, **fields: Any) -> dict[str, Any]:
    """`{"error": {"type", "message", …}}`; fields that are None are left out."""
    given = {name: value for name, value in fields.items() if value is not None}
    return {"error": {**given, "message": message, "type": kind}}


def bad_parameter(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    """400: the parameters cannot be used. Nothing was begun."""
    return StripeError(400, message, param=param, code=code)


def missing(kind: str, id: str, param: str = "id") -> StripeError:
    """404 in Stripe's words."""
    return StripeError(404, f"No such {kind}: '{id}'", code="resource_missing", param=param)


def wrong_state(message: str, code: str, **fields: Any) -> StripeError:
    """400: the object is not in a state that allows this."""
    return StripeError(400, message, executed=True, code=code, **fields)


def server_error() -> dict[str, Any]:
    """What Stripe answers when it failed itself."""
    return error_body("api_error", "An unknown error occurred. Please try again later.")
