"""The local Stripe as the official SDK sees it, unchanged: the contract that our own adapter relies on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe

from tests.system.conftest import Product

# The SDK's own way of calling httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def sdk(product: Product) -> Iterator[stripe.StripeClient]:
    http = stripe.HTTPXClient(timeout=20, allow_sync_methods=True)
    yield stripe.StripeClient(
        product.run["stripe_secret_key"],
        http_client=http,
        base_addresses={"api": product.run["stripe_url"]},
        max_network_retries=0,
    )
    http.close()


def make(sdk: stripe.StripeClient, **more: Any) -> stripe.PaymentIntent:
    params: Any = {"amount": 5350, "currency": "eur", "metadata": {"probe": "1"}, **more}
    return sdk.v1.payment_intents.create(params)


def until(read: Callable[[], Any], seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := read()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_a_payment_its_charge_and_the_balance_that_comes_later(sdk: stripe.StripeClient) -> None:
    intent = make(sdk)
    assert intent.status == "requires_payment_method" and intent.client_secret.startswith(
        intent.id + "_secret_"
    )
    paid = sdk.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert (paid.status, paid.amount_received) == ("succeeded", 5350)
    charge = sdk.v1.charges.retrieve(str(paid.latest_charge))
    assert charge.outcome is not None and charge.outcome.type == "authorized"
    assert charge.payment_method_details.card.last4 == "4242"
    found = until(lambda: sdk.v1.charges.retrieve(charge.id).balance_transaction)
    transaction = sdk.v1.balance_transactions.retrieve(str(found))
    assert transaction.currency == "eur" and transaction.exchange_rate is None
    assert transaction.net == transaction.amount - transaction.fee and transaction.source == charge.id
    expanded = sdk.v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge.balance_transaction"]})
    assert expanded.latest_charge.balance_transaction.id == found


DECLINES = {
    "4000000000000002": ("card_declined", "generic_decline"),
    "4000000000009995": ("card_declined", "insufficient_funds"),
    "4000000000009987": ("card_declined", "lost_card"),
    "4000000000009979": ("card_declined", "stolen_card"),
    "4000000000006975": ("card_declined", "card_velocity_exceeded"),
    "4000000000000069": ("expired_card", None),
    "4000000000000127": ("incorrect_cvc", None),
    "4000000000000119": ("processing_error", None),
    "4100000000000019": ("card_declined", "fraudulent"),
    "4000000000004954": ("card_declined", "fraudulent"),
    "4242424242424241": ("incorrect_number", None),
}


@pytest.mark.parametrize("number", DECLINES)
def test_cards_that_decline(product: Product, sdk: stripe.StripeClient, number: str) -> None:
    intent = make(sdk)
    form = {
        "key": product.run["stripe_publishable_key"],
        "client_secret": str(intent.client_secret),
        "payment_method_data[type]": "card",
        "payment_method_data[card][number]": number,
        "payment_method_data[card][exp_month]": "12",
        "payment_method_data[card][exp_year]": "2039",
        "payment_method_data[card][cvc]": "123",
    }
    answer = product.http.post(
        product.run["stripe_url"] + f"/v1/payment_intents/{intent.id}/confirm", data=form
    )
    error = answer.json()["error"]
    assert answer.status_code == 402 and answer.headers["access-control-allow-origin"] == "*"
    assert (error["code"], error.get("decline_code")) == DECLINES[number]
    after = sdk.v1.payment_intents.retrieve(intent.id)
    assert after.status == "requires_payment_method" and after.amount_received == 0
    if number.startswith("41"):
        charge = sdk.v1.charges.retrieve(str(after.latest_charge))
        assert charge.outcome is not None and charge.outcome.type == "blocked"
    # Nobody keeps a card number.
    asked = product.http.get(product.run["stripe_url"] + "/_local/requests").text
    assert number not in asked


def test_the_sdk_raises_its_own_card_error(sdk: stripe.StripeClient) -> None:
    with pytest.raises(stripe.CardError) as caught:
        sdk.v1.payment_intents.confirm(make(sdk).id, {"payment_method": "pm_card_chargeDeclined"})
    assert caught.value.code == "card_declined"


@pytest.mark.parametrize(
    ("answer", "status"), [("approve", "succeeded"), ("fail", "requires_payment_method")]
)
def test_authentication(product: Product, sdk: stripe.StripeClient, answer: str, status: str) -> None:
    intent = make(sdk)
    step = sdk.v1.payment_intents.confirm(
        intent.id,
        {"payment_method": "pm_card_threeDSecure2Required", "return_url": "http://127.0.0.1:9/back"},
    )
    assert step.status == "requires_action" and step.next_action is not None
    back = product.http.post(step.next_action.redirect_to_url.url, data={"outcome": answer})
    assert back.status_code == 303 and f"payment_intent={intent.id}" in back.headers["location"]
    assert sdk.v1.payment_intents.retrieve(intent.id).status == status
    again = product.http.post(step.next_action.redirect_to_url.url, data={"outcome": "approve"})
    assert again.status_code == 410


def test_cancelling(sdk: stripe.StripeClient) -> None:
    intent = make(sdk)
    assert sdk.v1.payment_intents.cancel(intent.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        sdk.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert caught.value.code == "payment_intent_unexpected_state"
    paid = make(sdk)
    sdk.v1.payment_intents.confirm(paid.id, {"payment_method": "pm_card_visa"})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        sdk.v1.payment_intents.cancel(paid.id)
    assert caught.value.code == "payment_intent_unexpected_state"


def test_refunds(sdk: stripe.StripeClient) -> None:
    intent = make(sdk)
    sdk.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    first = sdk.v1.refunds.create({"payment_intent": intent.id, "amount": 1000})
    assert first.status == "succeeded"
    assert sdk.v1.refunds.create({"payment_intent": intent.id}).amount == 4350
    with pytest.raises(stripe.InvalidRequestError) as caught:
        sdk.v1.refunds.create({"payment_intent": intent.id})
    assert caught.value.code == "charge_already_refunded"
    assert len(sdk.v1.refunds.list({"payment_intent": intent.id}).data) == 2


@pytest.mark.parametrize(
    ("card", "before", "after"),
    [("pm_card_pendingRefund", "pending", "succeeded"), ("pm_card_refundFail", "succeeded", "failed")],
)
def test_refunds_that_change_their_mind(sdk: stripe.StripeClient, card: str, before: str, after: str) -> None:
    intent = make(sdk)
    sdk.v1.payment_intents.confirm(intent.id, {"payment_method": card})
    refund = sdk.v1.refunds.create({"payment_intent": intent.id})
    assert refund.status == before
    until(lambda: sdk.v1.refunds.retrieve(refund.id).status == after)
    if after == "failed":
        assert sdk.v1.refunds.retrieve(refund.id).failure_balance_transaction


def test_idempotency_keys(product: Product, sdk: stripe.StripeClient) -> None:
    params: Any = {"amount": 700, "currency": "eur"}
    key = f"probe-{time.time_ns()}"
    first = sdk.v1.payment_intents.create(params, {"idempotency_key": key})
    again = sdk.v1.payment_intents.create(params, {"idempotency_key": key})
    assert first.id == again.id
    with pytest.raises(stripe.IdempotencyError):
        sdk.v1.payment_intents.create(params | {"amount": 701}, {"idempotency_key": key})


def test_a_key_in_use_and_a_stored_failure(product: Product, sdk: stripe.StripeClient) -> None:
    params: Any = {"amount": 700, "currency": "eur"}
    key = f"busy-{time.time_ns()}"
    product.stripe("/_local/faults", {"api": {"latency_ms": 400}})
    try:

        def ask(_: int) -> str:
            try:
                return sdk.v1.payment_intents.create(params, {"idempotency_key": key}).id
            except stripe.StripeError as error:
                return str(error.http_status)

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(ask, range(4)))
        assert answers.count("409") == 3
    finally:
        product.stripe("/_local/faults", {"api": {"latency_ms": 0, "error_after_success_rate": 1.0}})
    key = f"stored-{time.time_ns()}"
    try:
        with pytest.raises(stripe.APIError):
            sdk.v1.payment_intents.create(params, {"idempotency_key": key})
    finally:
        product.stripe("/_local/faults", {"api": {"error_after_success_rate": 0.0}})
    with pytest.raises(stripe.APIError):
        sdk.v1.payment_intents.create(params, {"idempotency_key": key})


def test_events_are_listed_and_keys_are_checked(product: Product, sdk: stripe.StripeClient) -> None:
    intent = make(sdk)
    sdk.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    listed = sdk.v1.events.list({"type": "payment_intent.succeeded", "limit": 5}).data
    assert listed[0].data.object["id"] == intent.id and listed[0].api_version == "2026-10-28.endive"
    url = product.run["stripe_url"] + f"/v1/payment_intents/{intent.id}"
    assert product.http.get(url, headers={"Authorization": "Bearer sk_test_wrong"}).status_code == 401
    public = {"key": product.run["stripe_publishable_key"]}
    assert product.http.get(url, params=public).status_code == 401
    assert product.http.get(url, params=public | {"client_secret": "wrong"}).status_code == 400
    assert (
        product.http.get(url, params=public | {"client_secret": str(intent.client_secret)}).status_code == 200
    )


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"amount": 49, "currency": "eur"}, "amount_too_small"),
        ({"amount": 100_000_000, "currency": "eur"}, "amount_too_large"),
        ({"amount": 7505, "currency": "kwd"}, "invalid_amount"),
        ({"amount": 500, "currency": "xxx"}, None),
        ({"amount": 500, "currency": "eur", "nonsense": "1"}, "parameter_unknown"),
    ],
)
def test_parameters_are_checked(sdk: stripe.StripeClient, params: Any, code: str | None) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        sdk.v1.payment_intents.create(params)
    assert caught.value.code == code


def test_a_rate_limit(product: Product, sdk: stripe.StripeClient) -> None:
    product.stripe("/_local/faults", {"api": {"rate_limit_per_s": 0}})
    try:
        with pytest.raises(stripe.RateLimitError):
            make(sdk)
    finally:
        product.stripe("/_local/faults", {"api": {"rate_limit_per_s": None}})
