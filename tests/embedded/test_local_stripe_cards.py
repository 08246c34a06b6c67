"""Every test card of Stripe's list at the local Stripe, 3-D Secure, and what a browser may do."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import asyncpg
import pytest

from tests.embedded.stripe_program import (
    PUBLISHABLE_KEY,
    SECRET_KEY,
    Program,
    Shop,
    stranger,
    wait_for,
)

# The SDK hands httpx its bodies in a way that httpx has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


# --- cards -------------------------------------------------------------------------------------------------------------

_DECLINES = [
    ("pm_card_visa_chargeDeclined", "4000000000000002", "card_declined", "generic_decline"),
    ("pm_card_chargeDeclined", "4000000000000002", "card_declined", "generic_decline"),
    ("pm_card_chargeDeclinedInsufficientFunds", "4000000000009995", "card_declined", "insufficient_funds"),
    ("pm_card_chargeDeclinedLostCard", "4000000000009987", "card_declined", "lost_card"),
    ("pm_card_chargeDeclinedStolenCard", "4000000000009979", "card_declined", "stolen_card"),
    (
        "pm_card_chargeDeclinedVelocityLimitExceeded",
        "4000000000006975",
        "card_declined",
        "card_velocity_exceeded",
    ),
    ("pm_card_chargeDeclinedExpiredCard", "4000000000000069", "expired_card", None),
    ("pm_card_chargeDeclinedIncorrectCvc", "4000000000000127", "incorrect_cvc", None),
    ("pm_card_chargeDeclinedProcessingError", "4000000000000119", "processing_error", None),
    ("pm_card_radarBlock", "4100000000000019", "card_declined", "fraudulent"),
    ("pm_card_riskLevelHighest", "4000000000004954", "card_declined", "fraudulent"),
]


def _with_number(number: str, **card: str) -> dict[str, str]:
    fields = {"number": number, "exp_month": "12", "exp_year": "2040", "cvc": "123"} | card
    return {"payment_method_data[type]": "card"} | {
        f"payment_method_data[card][{name}]": value for name, value in fields.items()
    }


@pytest.mark.parametrize(
    ("name", "number", "code", "decline_code"), _DECLINES, ids=lambda value: str(value)[8:]
)
def test_a_declined_card_leaves_a_failed_charge_and_a_payment_to_try_again(
    local: Program, shop: Shop, name: str, number: str, code: str, decline_code: str | None
) -> None:
    made = local.sdk.v1.payment_intents.create({"amount": 1000, "currency": "usd"})
    path = f"/v1/payment_intents/{made.id}/confirm"
    for given in ({"payment_method": name}, _with_number(number)):
        answer = local.http.post(path, data=given)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["code"]) == (402, "card_error", code)
        assert error.get("decline_code") == decline_code and error["message"]
        assert error["payment_intent"]["status"] == "requires_payment_method"
        charge = local.sdk.v1.charges.retrieve(error["charge"])
        assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, code)
        assert charge.outcome is not None
        blocked = charge.outcome.type == "blocked"
        assert blocked == (decline_code == "fraudulent")
        assert charge.outcome.network_status == ("not_sent_to_network" if blocked else "declined_by_network")
    again = local.sdk.v1.payment_intents.retrieve(made.id)
    assert again.last_payment_error is not None and again.last_payment_error.code == code
    assert (
        local.sdk.v1.payment_intents.confirm(made.id, {"payment_method": "pm_card_visa"}).status
        == "succeeded"
    )
    wait_for(lambda: "payment_intent.succeeded" in shop.kinds())
    wait_for(lambda: shop.kinds().count("payment_intent.payment_failed") == 2)
    assert shop.kinds().count("charge.failed") == 2


_SUCCEEDING = [
    "visa",
    "visa_debit",
    "mastercard",
    "amex",
    "discover",
    "jcb",
    "unionpay",
    "gb",
    "de",
    "threeDSecureOptional",
    "bypassPending",
    "bypassPendingInternational",
    "createDispute",
    "createDisputeProductNotReceived",
    "createDisputeInquiry",
    "createIssuerFraudRecord",
    "riskLevelElevated",
    "pendingRefund",
    "refundFail",
    "cvcCheckFail",
    "avsFail",
]


def test_cards_that_succeed(local: Program) -> None:
    for name in _SUCCEEDING:
        charge = local.charge_of(local.pay(f"pm_card_{name}"))
        assert charge.status == "succeeded" and charge.outcome is not None, name
        assert charge.outcome.type == "authorized", name
        assert charge.outcome.risk_level == ("elevated" if name == "riskLevelElevated" else "normal"), name


@pytest.mark.parametrize(
    ("card", "code"),
    [
        (_with_number("4242424242424241"), "incorrect_number"),
        (_with_number("not a card"), "incorrect_number"),
        (_with_number("4242424242424242", exp_year="2020"), "invalid_expiry_year"),
        (_with_number("4242424242424242", exp_month="13"), "invalid_expiry_month"),
        (_with_number("4242424242424242", cvc="1"), "invalid_cvc"),
        (_with_number("4111111111111111"), "card_declined"),
    ],
    ids=["checksum", "words", "expired", "month", "cvc", "real"],
)
def test_what_is_no_test_card_is_refused_without_a_charge(
    local: Program, card: dict[str, str], code: str
) -> None:
    made = local.sdk.v1.payment_intents.create({"amount": 1000, "currency": "usd"})
    refused = local.http.post(f"/v1/payment_intents/{made.id}/confirm", data=card)
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, code)
    assert not local.sdk.v1.charges.list({"payment_intent": made.id}).data
    assert local.sdk.v1.payment_intents.retrieve(made.id).status == "requires_payment_method"


def test_one_number_has_one_fingerprint_and_is_kept_nowhere(
    local: Program, local_stripe_database: str
) -> None:
    number = "5555555555554444"
    prints = set()
    for shown in (number, "5555 5555 5555 4444"):
        made = local.sdk.v1.payment_intents.create({"amount": 1000, "currency": "usd"})
        local.http.post(f"/v1/payment_intents/{made.id}/confirm", data=_with_number(shown)).raise_for_status()
        paid = local.sdk.v1.payment_intents.retrieve(made.id)
        prints.add(local.charge_of(paid).payment_method_details.card.fingerprint)
    assert len(prints) == 1
    # Where no card belongs, too.
    local.http.post("/v1/tokens", data={"card[number]": number, "card[cvc]": "987"})
    local.http.post("/v1/refunds", data={"charge": number})
    assert number not in _everything_kept(local_stripe_database)
    asked = local.http.get("/_local/requests").text
    assert number not in asked and "987" not in asked and SECRET_KEY not in asked


def _everything_kept(url: str) -> str:
    async def read() -> str:
        conn = await asyncpg.connect(url)
        try:
            tables = await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            rows = [await conn.fetch(f"SELECT t::text FROM {table[0]} t") for table in tables]
            return "\n".join(row[0] for many in rows for row in many)
        finally:
            await conn.close()

    return asyncio.run(read())


# --- authentication ----------------------------------------------------------------------------------------------------

_AUTHENTICATED = [
    "authenticationRequired",
    "authenticationRequiredOnSetup",
    "threeDSecure2Required",
    "threeDSecureRequired",
]


def _challenge(local: Program, card: str, return_url: str | None = None) -> tuple[Any, str]:
    """A payment that waits for its buyer, and the address of the page that asks."""
    made = local.sdk.v1.payment_intents.create({"amount": 1000, "currency": "usd"})
    params: Any = {"payment_method": card} | ({"return_url": return_url} if return_url else {})
    waiting = local.sdk.v1.payment_intents.confirm(made.id, params)
    assert waiting.status == "requires_action" and waiting.next_action is not None
    assert waiting.latest_charge is None and waiting.next_action.redirect_to_url is not None
    url = waiting.next_action.redirect_to_url.url
    assert waiting.next_action.type == "redirect_to_url" and url is not None
    return waiting, url


@pytest.mark.parametrize("name", _AUTHENTICATED)
def test_an_approved_authentication_pays_once(local: Program, name: str) -> None:
    waiting, url = _challenge(local, f"pm_card_{name}", "https://shop.example/orders/1?from=bank")
    with stranger(local) as browser:
        page = browser.get(url)
        assert page.status_code == 200 and "<script" not in page.text
        assert re.search("<button[^>]*>Approve<", page.text) and re.search("<button[^>]*>Fail<", page.text)
        target = re.search('action="([^"]+)"', page.text)
        assert target is not None
        gone_on = browser.post(target[1], data={"outcome": "approve"})
        assert gone_on.status_code == 303
        assert gone_on.headers["location"] == (
            f"https://shop.example/orders/1?from=bank&payment_intent={waiting.id}"
            f"&payment_intent_client_secret={waiting.client_secret}&redirect_status=succeeded"
        )
        assert browser.post(target[1], data={"outcome": "fail"}).status_code == 410
    paid = local.sdk.v1.payment_intents.retrieve(waiting.id)
    assert (paid.status, paid.next_action) == ("succeeded", None)
    proof = local.charge_of(paid).payment_method_details.card.three_d_secure
    assert proof is not None and proof.result == "authenticated"


def test_a_failed_authentication_and_a_decline_after_one_can_be_tried_again(local: Program) -> None:
    for card, outcome, code, charges in (
        ("pm_card_threeDSecureRequired", "fail", "payment_intent_authentication_failure", 0),
        ("pm_card_threeDSecureRequiredChargeDeclined", "approve", "card_declined", 1),
    ):
        waiting, url = _challenge(local, card, "https://shop.example/back")
        with stranger(local) as browser:
            back = browser.post(url, data={"outcome": outcome}).headers["location"]
        assert "redirect_status=failed" in back
        failed = local.sdk.v1.payment_intents.retrieve(waiting.id)
        assert failed.status == "requires_payment_method" and failed.last_payment_error is not None
        assert failed.last_payment_error.code == code
        assert len(local.sdk.v1.charges.list({"payment_intent": waiting.id}).data) == charges
        again = local.sdk.v1.payment_intents.confirm(waiting.id, {"payment_method": "pm_card_visa"})
        assert again.status == "succeeded"


def test_a_cancelled_payment_cannot_be_approved_any_more(local: Program) -> None:
    waiting, url = _challenge(local, "pm_card_threeDSecure2Required")
    local.sdk.v1.payment_intents.cancel(waiting.id)
    with stranger(local) as browser:
        assert browser.post(url, data={"outcome": "approve"}).status_code == 410
    assert local.sdk.v1.payment_intents.retrieve(waiting.id).status == "canceled"


# --- what a browser may ------------------------------------------------------------------------------------------------


def test_a_browser_pays_with_the_publishable_key_and_the_client_secret(local: Program) -> None:
    made = local.sdk.v1.payment_intents.create({"amount": 1000, "currency": "usd"})
    other = local.sdk.v1.payment_intents.create({"amount": 1000, "currency": "usd"})
    path = f"/v1/payment_intents/{made.id}"
    assert made.client_secret is not None and other.client_secret is not None
    with stranger(local) as browser:
        asked = browser.options(
            f"{path}/confirm",
            headers={"Origin": "http://shop.example", "Access-Control-Request-Method": "POST"},
        )
        assert asked.status_code in (200, 204) and asked.headers["access-control-allow-origin"] == "*"
        assert "POST" in asked.headers["access-control-allow-methods"]
        key, secret = {"key": PUBLISHABLE_KEY}, {"client_secret": made.client_secret}
        card = {"payment_method": "pm_card_visa"}
        assert browser.post(f"{path}/confirm", data=key | card).status_code in (401, 403)
        wrong = browser.post(f"{path}/confirm", data=key | card | {"client_secret": other.client_secret})
        assert wrong.status_code == 400
        assert browser.get("/v1/payment_intents", params=key | secret).status_code in (401, 403)
        assert browser.post(path, data=key | secret | {"amount": "50"}).status_code >= 400
        assert browser.post(f"{path}/cancel", data=key | secret).status_code >= 400
        assert browser.post("/v1/refunds", data=key | secret | {"payment_intent": made.id}).status_code >= 400
        assert browser.post(f"{path}/confirm", data=secret | card).status_code == 401
        paid = browser.post(f"{path}/confirm", data=key | secret | card)
        assert (paid.status_code, paid.json()["status"]) == (200, "succeeded")
        assert paid.headers["access-control-allow-origin"] == "*"
        seen = browser.get(path, params=secret, headers={"Authorization": f"Bearer {PUBLISHABLE_KEY}"})
        assert (seen.status_code, seen.json()["amount"]) == (200, 1000)
    assert not local.sdk.v1.refunds.list({"payment_intent": made.id}).data


def test_without_the_key_there_is_nothing(local: Program) -> None:
    with stranger(local) as browser:
        for headers in ({}, {"Authorization": "Bearer sk_test_wrong"}, {"Authorization": "Basic !"}):
            refused = browser.get("/v1/charges", headers=headers)
            assert refused.status_code == 401 and refused.json()["error"]["message"]
        assert (
            browser.get("/v1/charges", auth=(SECRET_KEY, "")).headers["stripe-version"] == "2026-10-28.endive"
        )
        assert browser.get("/healthz").status_code == 200
