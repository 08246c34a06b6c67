"""PaymentIntents and the charges they make: created, confirmed with a card, authenticated, declined, cancelled.

Every function runs in the transaction of its request and answers (status, body).
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode, urlsplit

from engine.embedded.stripe import currencies, forms, store
from engine.embedded.stripe.cards import BEHAVIOURS, Card, named_card, read_card
from engine.embedded.stripe.charges import charge
from engine.embedded.stripe.errors import StripeError, bad_parameter, error_body, wrong_state
from engine.embedded.stripe.forms import Params
from engine.embedded.stripe.store import Stored
from engine.embedded.stripe.work import Answer, Work

_OPEN = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
_CREATE = frozenset(
    [
        "amount",
        "currency",
        "metadata",
        "description",
        "automatic_payment_methods",
        "payment_method_types",
        "receipt_email",
        "confirm",
        "payment_method",
        "payment_method_data",
        "return_url",
        "transfer_group",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "capture_method",
        "confirmation_method",
        "setup_future_usage",
        "customer",
        "radar_options",
        "shipping",
        "off_session",
        "payment_method_options",
    ]
)
_CONFIRM = frozenset(
    [
        "payment_method",
        "payment_method_data",
        "return_url",
        "client_secret",
        "receipt_email",
        "radar_options",
        "shipping",
        "off_session",
        "payment_method_options",
        "setup_future_usage",
        "use_stripe_sdk",
        "expected_payment_method_type",
        "mandate_data",
    ]
)


async def create(work: Work, params: Params) -> Answer:
    forms.allow(params, _CREATE)
    amount = forms.integer(params, "amount")
    if amount is None:
        raise bad_parameter("Missing required param: amount.", "amount", "parameter_missing")
    currency = forms.needed_text(params, "currency").lower()
    currencies.check(amount, currency, work.settings.currency)
    intent_id = store.new_id("payment_intent")
    automatic = forms.nested(params, "automatic_payment_methods")
    intent = Stored(
        {
            "id": intent_id,
            "object": "payment_intent",
            "amount": amount,
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": 0,
            "application": None,
            "application_fee_amount": None,
            "automatic_payment_methods": {
                "enabled": automatic.get("enabled", "true") == "true",
                "allow_redirects": automatic.get("allow_redirects", "always"),
            },
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": forms.choice(params, "capture_method", ("automatic", "automatic_async"))
            or "automatic_async",
            "client_secret": f"{intent_id}_secret_{store.random_text()}",
            "confirmation_method": "automatic",
            "created": int(time.time()),
            "currency": currency,
            "customer": forms.text(params, "customer"),
            "description": forms.text(params, "description"),
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "metadata": forms.metadata(params, {}),
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": None,
            "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
            "payment_method_types": forms.texts(params, "payment_method_types") or ["card"],
            "processing": None,
            "receipt_email": forms.email(params, "receipt_email"),
            "review": None,
            "setup_future_usage": None,
            "shipping": None,
            "statement_descriptor": forms.text(params, "statement_descriptor"),
            "statement_descriptor_suffix": forms.text(params, "statement_descriptor_suffix"),
            "status": "requires_payment_method",
            "transfer_data": None,
            "transfer_group": forms.text(params, "transfer_group"),
        }
    )
    await store.insert(work.conn, intent)
    await work.emit("payment_intent.created", intent.data)
    if forms.boolean(params, "confirm"):
        return await _confirm(work, intent, params)
    return 200, intent.data


async def update(work: Work, intent_id: str, params: Params) -> Answer:
    forms.allow(params, {"amount", "metadata", "description", "receipt_email", "transfer_group"})
    intent = await store.fetch(work.conn, "payment_intent", intent_id, lock=True, param="intent")
    amount = forms.integer(params, "amount")
    if amount is not None:
        if intent.data["status"] not in _OPEN:
            raise _unexpected(intent, "updated")
        currencies.check(amount, intent.data["currency"], work.settings.currency)
        intent.data["amount"] = amount
    intent.data["metadata"] = forms.metadata(params, intent.data["metadata"])
    for name in ("description", "transfer_group"):
        if name in params:
            intent.data[name] = forms.text(params, name)
    if "receipt_email" in params:
        intent.data["receipt_email"] = forms.email(params, "receipt_email")
    await store.save(work.conn, intent)
    return 200, intent.data


async def confirm(work: Work, intent_id: str, params: Params) -> Answer:
    forms.allow(params, _CONFIRM)
    intent = await store.fetch(work.conn, "payment_intent", intent_id, lock=True, param="intent")
    check_secret(intent, params)
    return await _confirm(work, intent, params)


def check_secret(intent: Stored, params: Params) -> None:
    """A client secret, when given, must be this intent's."""
    secret = params.get("client_secret")
    if secret is not None and secret != intent.data["client_secret"]:
        raise StripeError(
            400,
            "The client_secret provided does not match the client_secret associated with this intent.",
            code="payment_intent_invalid_parameter",
            param="client_secret",
        )


def _unexpected(intent: Stored, verb: str) -> StripeError:
    status = intent.data["status"]
    return wrong_state(
        f"This PaymentIntent could not be {verb} because it has a status of {status}.",
        "payment_intent_unexpected_state",
        payment_intent=intent.data,
    )


async def _confirm(work: Work, intent: Stored, params: Params) -> Answer:
    if intent.data["status"] not in _OPEN:
        raise _unexpected(intent, "confirmed")
    card, billing = await _card(work, intent, params)
    method = await _payment_method(work, card, billing)
    behaviour = BEHAVIOURS[card.behaviour]
    intent.data["payment_method"] = method.id
    if behaviour.authenticate:
        return await _ask_for_authentication(work, intent, card, billing, forms.text(params, "return_url"))
    return await charge(work, intent, card, billing, None)


async def _card(work: Work, intent: Stored, params: Params) -> tuple[Card, dict[str, Any]]:
    named = forms.text(params, "payment_method")
    if named is not None:
        found = named_card(named, work.settings.secret_key)
        if found is None:
            stored = await store.fetch(work.conn, "payment_method", named, param="payment_method")
            found = Card(stored.data["card"], stored.private["behaviour"])
            return found, stored.data["billing_details"]
        return found, _billing({})
    data = forms.nested(params, "payment_method_data")
    if data:
        if data.get("type", "card") != "card":
            raise bad_parameter("Only cards are taken here.", "payment_method_data[type]")
        given = forms.nested(data, "card")
        try:
            return read_card(given, work.settings.secret_key), _billing(forms.nested(data, "billing_details"))
        except StripeError as error:
            error.body["error"]["payment_intent"] = intent.data
            raise
    if intent.data["payment_method"] is not None:
        stored = await store.fetch(work.conn, "payment_method", intent.data["payment_method"])
        return Card(stored.data["card"], stored.private["behaviour"]), stored.data["billing_details"]
    raise bad_parameter(
        "You cannot confirm this PaymentIntent because it's missing a payment method.",
        "payment_method",
        "payment_intent_unexpected_state",
    )


def _billing(given: Params) -> dict[str, Any]:
    address = given.get("address")
    address = address if isinstance(address, dict) else {}
    names = ("city", "country", "line1", "line2", "postal_code", "state")
    return {
        "address": {name: address.get(name) for name in names},
        "email": given.get("email"),
        "name": given.get("name"),
        "phone": given.get("phone"),
        "tax_id": None,
    }


async def _payment_method(work: Work, card: Card, billing: dict[str, Any]) -> Stored:
    method = Stored(
        {
            "id": store.new_id("payment_method"),
            "object": "payment_method",
            "billing_details": billing,
            "card": card.details,
            "created": int(time.time()),
            "customer": None,
            "livemode": False,
            "metadata": {},
            "type": "card",
        },
        {"behaviour": card.behaviour},
    )
    await store.insert(work.conn, method)
    return method


async def _ask_for_authentication(
    work: Work, intent: Stored, card: Card, billing: dict[str, Any], return_url: str | None
) -> Answer:
    token = store.random_text(32)
    intent.private["attempt"] = {
        "token": token,
        "return_url": return_url,
        "method": intent.data["payment_method"],
    }
    intent.data["status"] = "requires_action"
    intent.data["last_payment_error"] = None
    intent.data["next_action"] = {
        "type": "redirect_to_url",
        "redirect_to_url": {
            "url": f"{work.base_url}/_local/3ds/{intent.id}/{token}",
            "return_url": return_url,
        },
    }
    await store.save(work.conn, intent)
    await work.emit("payment_intent.requires_action", intent.data)
    return 200, intent.data


async def authenticate(work: Work, intent_id: str, token: str, approved: bool) -> str | None:
    """Finish a 3-D Secure step; the address to go on to. Raises StripeError when there is no such step any more."""
    intent = await store.fetch(work.conn, "payment_intent", intent_id, lock=True)
    attempt = intent.private.get("attempt")
    if intent.data["status"] != "requires_action" or not attempt or attempt["token"] != token:
        raise StripeError(410, "This authentication is over.")
    intent.private.pop("attempt")
    intent.data["next_action"] = None
    method = await store.fetch(work.conn, "payment_method", attempt["method"])
    card = Card(method.data["card"], method.private["behaviour"])
    if approved:
        proof = {"authentication_flow": "challenge", "result": "authenticated", "version": "2.2.0"}
        status, _body = await charge(work, intent, card, method.data["billing_details"], proof)
    else:
        status = 402
        error = error_body(
            "invalid_request_error",
            "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
            code="payment_intent_authentication_failure",
        )["error"]
        intent.data |= {
            "status": "requires_payment_method",
            "last_payment_error": {**error, "payment_method": method.data},
            "payment_method": None,
        }
        await store.save(work.conn, intent)
        await work.emit("payment_intent.payment_failed", intent.data)
    if not attempt["return_url"]:
        return None
    query = urlencode(
        {
            "payment_intent": intent.id,
            "payment_intent_client_secret": intent.data["client_secret"],
            "redirect_status": "succeeded" if status == 200 else "failed",
        }
    )
    return f"{attempt['return_url']}{'&' if urlsplit(attempt['return_url']).query else '?'}{query}"


async def cancel(work: Work, intent_id: str, params: Params) -> Answer:
    forms.allow(params, {"cancellation_reason"})
    reason = forms.choice(
        params, "cancellation_reason", ("duplicate", "fraudulent", "requested_by_customer", "abandoned")
    )
    intent = await store.fetch(work.conn, "payment_intent", intent_id, lock=True, param="intent")
    if intent.data["status"] not in _OPEN:
        raise _unexpected(intent, "canceled")
    intent.private.pop("attempt", None)
    intent.data |= {
        "status": "canceled",
        "canceled_at": int(time.time()),
        "cancellation_reason": reason,
        "next_action": None,
    }
    await store.save(work.conn, intent)
    await work.emit("payment_intent.canceled", intent.data)
    return 200, intent.data
