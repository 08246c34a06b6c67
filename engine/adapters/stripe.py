"""The only file that talks to Stripe: paced, keyed, with its errors sorted by who must act.

Errors: `StripeUnavailable` (nobody knows the outcome, or Stripe asks to wait: try again with the same key),
`StripeIndeterminate` (Stripe answered 500 and will repeat it under this key: look for the object, or take a new key),
`StripeRefused` (a definite no; `code` is Stripe's).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import stripe
import structlog
import trio

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 12.0


class StripeUnavailable(Exception):
    """No answer, or a request to wait. The same call with the same key is right later."""


class StripeIndeterminate(Exception):
    """A stored failure: the effect may or may not exist."""


class StripeRefused(Exception):
    """A definite no."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Payment(msgspec.Struct, frozen=True):
    """What we need of a PaymentIntent. Amounts in minor units, currency in lower case."""

    id: str
    status: str
    amount: int
    amount_received: int
    currency: str
    client_secret: str | None
    latest_charge: str | None
    metadata: dict[str, str]
    livemode: bool
    created: int


class Pacer:
    """At most `rate` calls a second for each endpoint, first come, first served; 0 switches it off."""

    def __init__(self, rate: int) -> None:
        self._gap = 1.0 / rate if rate else 0.0
        self._next: dict[str, float] = {}

    async def wait(self, endpoint: str) -> None:
        """Wait for a place. Cancelled callers leave theirs unused."""
        if not self._gap:
            return
        now = trio.current_time()
        at = max(now, self._next.get(endpoint, 0.0))
        self._next[endpoint] = at + self._gap
        if at > now:
            await trio.sleep_until(at)


class StripePort:
    """Calls that the actions need, each awaitable under trio."""

    def __init__(self, api_key: str, api_base: str, rate: int) -> None:
        base: Any = {"base_addresses": {"api": api_base, "files": api_base}} if api_base else {}
        self._client = stripe.StripeClient(
            api_key, http_client=stripe.HTTPXClient(timeout=TIMEOUT_SECONDS), max_network_retries=0, **base
        )
        self._pacer = Pacer(rate)
        self.livemode = "_live_" in api_key

    async def create_payment(
        self, amount: int, currency: str, metadata: dict[str, str], description: str, key: str
    ) -> Payment:
        params: Any = {
            "amount": amount,
            "currency": currency,
            "metadata": metadata,
            "description": description,
            "automatic_payment_methods": {"enabled": True},
        }
        intents = self._client.v1.payment_intents
        return _payment(
            await self._call("payment_intents", intents.create_async, params, {"idempotency_key": key})
        )

    async def payment(self, payment_intent: str) -> Payment:
        return _payment(
            await self._call(
                "payment_intents", self._client.v1.payment_intents.retrieve_async, payment_intent
            )
        )

    async def cancel_payment(self, payment_intent: str, key: str) -> Payment:
        """The cancelled payment; StripeRefused `payment_intent_unexpected_state` when it is too late."""
        intents = self._client.v1.payment_intents
        return _payment(
            await self._call(
                "payment_intents", intents.cancel_async, payment_intent, {}, {"idempotency_key": key}
            )
        )

    async def find_payment(self, order_number: str, since: int) -> Payment | None:
        """The PaymentIntent made for an order since `since` (seconds), by its metadata."""
        async for payment in self.payments(since):
            if payment.metadata.get("order_number") == order_number:
                return payment
        return None

    async def payments(self, since: int) -> AsyncIterator[Payment]:
        """PaymentIntents created since `since` (seconds), newest first."""
        after: str | None = None
        while True:
            params: Any = {"created": {"gte": since}, "limit": 100}
            if after:
                params["starting_after"] = after
            page = await self._call("payment_intents", self._client.v1.payment_intents.list_async, params)
            for intent in page.data:
                yield _payment(intent)
            if not page.has_more or not page.data:
                return
            after = page.data[-1].id

    async def refund(
        self, payment_intent: str, amount: int, metadata: dict[str, str], key: str
    ) -> dict[str, Any]:
        """`{"id", "status"}` of the refund."""
        params: Any = {"payment_intent": payment_intent, "amount": amount, "metadata": metadata}
        made = await self._call(
            "refunds", self._client.v1.refunds.create_async, params, {"idempotency_key": key}
        )
        return {"id": made.id, "status": made.status}

    async def refund_document(self, refund: str) -> dict[str, Any]:
        """A refund with its balance transactions, as Stripe renders it."""
        params: Any = {"expand": ["balance_transaction", "failure_balance_transaction"]}
        found = await self._call("refunds", self._client.v1.refunds.retrieve_async, refund, params)
        result: dict[str, Any] = found.to_dict()
        return result

    async def find_refund(self, payment_intent: str, ours: str) -> dict[str, Any] | None:
        """`{"id", "status"}` of the refund that carries our id in its metadata."""
        params: Any = {"payment_intent": payment_intent, "limit": 100}
        page = await self._call("refunds", self._client.v1.refunds.list_async, params)
        for found in page.data:
            if (found.to_dict().get("metadata") or {}).get("refund") == ours:
                return {"id": found.id, "status": found.status}
        return None

    async def create_account(self, email: str, country: str, organizer: str, key: str) -> str:
        """The id of a connected account for an organizer."""
        params: Any = {
            "type": "express",
            "country": country,
            "email": email,
            "capabilities": {"transfers": {"requested": True}},
            "metadata": {"organizer": organizer},
        }
        made = await self._call(
            "accounts", self._client.v1.accounts.create_async, params, {"idempotency_key": key}
        )
        return str(made.id)

    async def create_transfer(
        self, amount: int, currency: str, account: str, payout: str, key: str
    ) -> dict[str, Any]:
        """A transfer with its balance transaction, as Stripe renders it."""
        params: Any = {
            "amount": amount,
            "currency": currency,
            "destination": account,
            "transfer_group": payout,
            "metadata": {"payout": payout},
            "expand": ["balance_transaction"],
        }
        made = await self._call(
            "transfers", self._client.v1.transfers.create_async, params, {"idempotency_key": key}
        )
        result: dict[str, Any] = made.to_dict()
        return result

    async def find_transfer(self, payout: str) -> dict[str, Any] | None:
        """The transfer made for a payout."""
        params: Any = {"transfer_group": payout, "expand": ["data.balance_transaction"]}
        page = await self._call("transfers", self._client.v1.transfers.list_async, params)
        return page.data[0].to_dict() if page.data else None

    async def charge(self, charge: str) -> dict[str, Any]:
        """A charge with its balance transaction, as Stripe renders it."""
        params: Any = {"expand": ["balance_transaction"]}
        found = await self._call("charges", self._client.v1.charges.retrieve_async, charge, params)
        result: dict[str, Any] = found.to_dict()
        return result

    async def _call(self, endpoint: str, method: Any, *args: Any) -> Any:
        await self._pacer.wait(endpoint)
        try:
            with trio.fail_after(TIMEOUT_SECONDS):
                return await method(*args)
        except trio.TooSlowError as error:
            raise StripeUnavailable("no answer in time") from error
        except stripe.StripeError as error:
            raise _sorted(error) from error


def _sorted(error: stripe.StripeError) -> Exception:
    status = error.http_status or 0
    if isinstance(error, stripe.CardError | stripe.InvalidRequestError) and status not in (409, 429):
        return StripeRefused(error.code or "invalid_request", error.user_message or "Stripe refused")
    if status >= 500:
        return StripeIndeterminate(f"Stripe answered {status}")
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        log.error("stripe.key_refused", status=status)
    return StripeUnavailable(f"{type(error).__name__} {status}")


def _payment(found: Any) -> Payment:
    intent = found.to_dict()
    charge = intent.get("latest_charge")
    return Payment(
        id=intent["id"],
        status=intent["status"],
        amount=intent["amount"],
        amount_received=intent.get("amount_received") or 0,
        currency=intent["currency"],
        client_secret=intent.get("client_secret"),
        latest_charge=charge if isinstance(charge, str) or charge is None else charge["id"],
        metadata=dict(intent.get("metadata") or {}),
        livemode=bool(intent.get("livemode")),
        created=intent["created"],
    )
