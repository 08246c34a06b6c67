"""The local Stripe against Stripe's contract, by Stripe's own SDK: payments, keys, events, webhooks, faults."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import httpx
import pytest
import stripe

from tests.embedded.stripe_program import (
    SECRET_KEY,
    Program,
    Shop,
    cleared,
    money_of,
    wait_for,
)

# The SDK hands httpx its bodies in a way that httpx has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


# --- paying ------------------------------------------------------------------------------------------------------------


def test_a_payment_keeps_its_metadata_and_makes_one_charge(local: Program) -> None:
    intents = local.sdk.v1.payment_intents
    made = intents.create(
        {
            "amount": 5350,
            "currency": "EUR",
            "metadata": {"order_number": "A-1", "0": "ü & = %"},
            "receipt_email": "ada@example.com",
            "automatic_payment_methods": {"enabled": True},
        }
    )
    assert (made.status, made.currency, made.latest_charge) == ("requires_payment_method", "eur", None)
    paid = intents.confirm(made.id, {"payment_method": "pm_card_mastercard"})
    assert (paid.status, paid.amount_received) == ("succeeded", 5350)
    assert paid.metadata is not None and dict(paid.metadata.to_dict()) == {
        "order_number": "A-1",
        "0": "ü & = %",
    }
    charge = local.charge_of(paid)
    assert (charge.paid, charge.receipt_email) == (True, "ada@example.com")
    card = charge.payment_method_details.card
    assert (card.brand, card.last4, card.country) == ("mastercard", "4444", "US") and card.fingerprint
    with pytest.raises(stripe.InvalidRequestError) as refused:
        intents.confirm(made.id, {"payment_method": "pm_card_visa"})
    assert refused.value.code == "payment_intent_unexpected_state"
    assert len(local.sdk.v1.charges.list({"payment_intent": made.id}).data) == 1


def test_two_confirmations_at_once_are_one_charge(local: Program) -> None:
    made = local.sdk.v1.payment_intents.create({"amount": 1000, "currency": "usd"})
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(
                lambda _: (
                    httpx.post(
                        f"{local.url}/v1/payment_intents/{made.id}/confirm",
                        auth=(SECRET_KEY, ""),
                        data={"payment_method": "pm_card_visa"},
                        timeout=15,
                    ).status_code
                ),
                range(8),
            )
        )
    assert sorted(answers) == [200] + [400] * 7
    assert len(local.sdk.v1.charges.list({"payment_intent": made.id}).data) == 1


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        ("49", "usd", "amount_too_small"),
        ("100000000", "usd", "amount_too_large"),
        ("-5", "usd", "parameter_invalid_integer"),
        ("12.5", "usd", "parameter_invalid_integer"),
        ("7505", "kwd", "invalid_amount"),
        ("5000", "zzz", None),
    ],
)
def test_an_amount_that_cannot_be_is_refused_and_leaves_its_key_free(
    local: Program, amount: str, currency: str, code: str | None
) -> None:
    headers = {"Idempotency-Key": "k"}
    refused = local.http.post(
        "/v1/payment_intents", data={"amount": amount, "currency": currency}, headers=headers
    )
    assert (refused.status_code, refused.json()["error"].get("code")) == (400, code)
    taken = local.http.post(
        "/v1/payment_intents", data={"amount": "5000", "currency": "usd"}, headers=headers
    )
    assert taken.status_code == 200


def test_a_cancelled_payment_can_never_be_paid_and_a_paid_one_never_cancelled(local: Program) -> None:
    intents = local.sdk.v1.payment_intents
    made = intents.create({"amount": 1000, "currency": "usd"})
    cancelled = intents.cancel(made.id, {"cancellation_reason": "abandoned"})
    assert (cancelled.status, cancelled.cancellation_reason) == ("canceled", "abandoned")
    with pytest.raises(stripe.InvalidRequestError, match="canceled"):
        intents.confirm(made.id, {"payment_method": "pm_card_visa"})
    paid = local.pay()
    with pytest.raises(stripe.InvalidRequestError) as refused:
        intents.cancel(paid.id)
    assert refused.value.code == "payment_intent_unexpected_state"
    assert refused.value.error is not None and refused.value.error.payment_intent is not None
    assert refused.value.error.payment_intent.status == "succeeded"


# --- idempotency -------------------------------------------------------------------------------------------------------


def test_a_key_answers_the_same_again_and_refuses_other_parameters(local: Program) -> None:
    data, headers = {"amount": "1000", "currency": "usd"}, {"Idempotency-Key": "payment:1"}
    first = local.http.post("/v1/payment_intents", data=data, headers=headers)
    again = local.http.post("/v1/payment_intents", data=dict(reversed(data.items())), headers=headers)
    assert (again.content, again.status_code) == (first.content, 200)
    assert "idempotent-replayed" not in first.headers and again.headers["idempotent-replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError) as mismatch:
        local.sdk.v1.payment_intents.create(
            {"amount": 1001, "currency": "usd"}, {"idempotency_key": "payment:1"}
        )
    assert mismatch.value.http_status == 400
    assert len(local.sdk.v1.payment_intents.list().data) == 1


def test_a_decline_is_kept_under_its_key(local: Program) -> None:
    made = local.sdk.v1.payment_intents.create({"amount": 1000, "currency": "usd"})
    answers = [
        local.http.post(
            f"/v1/payment_intents/{made.id}/confirm",
            data={"payment_method": "pm_card_chargeDeclined"},
            headers={"Idempotency-Key": "confirm:1"},
        )
        for _ in range(2)
    ]
    assert answers[0].content == answers[1].content and answers[0].status_code == 402
    assert len(local.sdk.v1.charges.list({"payment_intent": made.id}).data) == 1


def test_a_key_in_use_is_a_conflict(local: Program) -> None:
    def ask() -> httpx.Response:
        return httpx.post(
            f"{local.url}/v1/payment_intents",
            data={"amount": "1000", "currency": "usd"},
            headers={"Idempotency-Key": "slow"},
            auth=(SECRET_KEY, ""),
            timeout=30,
        )

    async def while_the_first_waits() -> tuple[httpx.Response, httpx.Response]:
        """The first request's answer, and that of a second one asked while it could not finish."""
        conn = await asyncpg.connect(local.database_url)
        try:
            async with conn.transaction():
                await conn.execute("LOCK TABLE objects IN SHARE MODE")
                first = asyncio.create_task(asyncio.to_thread(ask))
                waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'RowExclusiveLock'"
                async with asyncio.timeout(20):
                    while not await conn.fetchval(waiting):  # noqa: ASYNC110 (Postgres has no event for it)
                        await asyncio.sleep(0.02)
                second = await asyncio.to_thread(ask)
            return await first, second
        finally:
            await conn.close()

    first, second = asyncio.run(while_the_first_waits())
    assert (second.status_code, second.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    assert first.status_code == 200
    # A conflict is not remembered.
    again = ask()
    assert again.content == first.content and again.headers["idempotent-replayed"] == "true"


def test_a_stored_failure_is_repeated_although_the_work_was_done(local: Program) -> None:
    local.faults(api={"error_after_success_rate": 1.0})
    data = {"amount": "1000", "currency": "usd", "metadata[order]": "A-9"}
    first = local.http.post("/v1/payment_intents", data=data, headers={"Idempotency-Key": "k"})
    local.faults(api={"error_after_success_rate": 0.0})
    again = local.http.post("/v1/payment_intents", data=data, headers={"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code) == (500, 500) and first.content == again.content
    found = local.sdk.v1.payment_intents.list({"limit": 100}).data
    assert [one.metadata.to_dict() for one in found if one.metadata] == [{"order": "A-9"}]


# --- events and webhooks -----------------------------------------------------------------------------------------------


def test_every_event_is_delivered_signed_and_listed(local: Program, shop: Shop) -> None:
    payment = local.pay()
    expected = {"payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "charge.updated"}
    wait_for(lambda: expected <= set(shop.kinds()))
    listed = local.sdk.v1.events.list({"limit": 100}).data
    assert {event.id for event in listed} == {event.id for event in shop.events()}
    success = next(event for event in listed if event.type == "payment_intent.succeeded")
    assert success.api_version == "2026-10-28.endive" and success.livemode is False
    assert success.data.object["id"] == payment.id and success.data.object["status"] == "succeeded"
    # A snapshot: what came later does not change what was told.
    created = next(event for event in listed if event.type == "payment_intent.created")
    assert created.data.object["status"] == "requires_payment_method"
    assert local.sdk.v1.events.retrieve(success.id).id == success.id
    one = local.sdk.v1.events.list({"types": ["charge.succeeded", "charge.updated"]}).data
    assert {event.type for event in one} == {"charge.succeeded", "charge.updated"}


def test_lists_walk_by_pages_without_gaps(local: Program) -> None:
    made = [local.sdk.v1.payment_intents.create({"amount": 1000, "currency": "usd"}).id for _ in range(5)]
    walked = [one.id for one in local.sdk.v1.payment_intents.list({"limit": 2}).auto_paging_iter()]
    assert walked == made[::-1]
    since = local.sdk.v1.payment_intents.retrieve(made[0]).created
    assert len(local.sdk.v1.payment_intents.list({"created": {"gte": since}}).data) == 5
    assert not local.sdk.v1.payment_intents.list({"created": {"lt": since}}).data
    newer = local.sdk.v1.payment_intents.list({"ending_before": made[1], "limit": 2})
    assert [one.id for one in newer.data] == [made[3], made[2]] and newer.has_more


def test_a_webhook_is_tried_until_it_is_taken_with_a_signature_of_its_own(local: Program, shop: Shop) -> None:
    shop.status = 500
    local.sdk.v1.payment_intents.create({"amount": 1000, "currency": "usd"})
    wait_for(lambda: len(shop.came) >= 3)
    shop.status = 204
    tries = len(shop.came)
    wait_for(lambda: len(shop.came) > tries)
    assert len({event.id for event in shop.events()}) == 1
    assert len({signature for _, signature in shop.came}) > 1


def test_kill_9_loses_no_webhook_and_no_balance_transaction(local: Program, shop: Shop) -> None:
    shop.status = 503
    local.faults(balance_transaction_delay_ms=1500)
    payment = local.pay()
    wait_for(lambda: len(shop.came) >= 1)
    local.kill()
    shop.came.clear()
    shop.status = 200
    local.start()
    expected = {"payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "charge.updated"}
    wait_for(lambda: expected <= set(shop.kinds()))
    assert [kind for kind, *_ in money_of(local, payment.latest_charge)] == ["charge"]
    assert local.http.get("/_local/faults").json()["balance_transaction_delay_ms"] == 1500


def test_it_stops_when_asked(local: Program) -> None:
    assert local.stop() == 0


# --- faults ------------------------------------------------------------------------------------------------------------


def test_a_dropped_webhook_is_listed_and_can_be_replayed(local: Program, shop: Shop) -> None:
    local.faults(webhooks={"drop": 1.0})
    local.sdk.v1.payment_intents.create({"amount": 1000, "currency": "usd"})
    (event,) = local.sdk.v1.events.list().data
    wait_for(lambda: _waiting_deliveries(local) == 0)
    local.faults(webhooks={"drop": 0.0})
    marker = local.sdk.v1.payment_intents.create({"amount": 1000, "currency": "usd"})
    wait_for(lambda: [one.data.object["id"] for one in shop.events()] == [marker.id])
    local.http.post("/_local/events/replay", json={"id": event.id}).raise_for_status()
    wait_for(lambda: event.id in [one.id for one in shop.events()])
    local.faults(webhooks={"duplicate": 1.0})
    local.http.post("/_local/events/replay").raise_for_status()
    wait_for(lambda: len(shop.came) == 6)


def _waiting_deliveries(local: Program) -> int:
    async def count() -> int:
        conn = await asyncpg.connect(local.database_url)
        try:
            found: int = await conn.fetchval("SELECT count(*) FROM deliveries")
            return found
        finally:
            await conn.close()

    return asyncio.run(count())


def test_the_api_fails_and_limits_when_told(local: Program) -> None:
    before = local.http.get("/_local/faults").json()
    local.faults(api={"error_rate": 1.0})
    failed = local.http.post("/v1/payment_intents", data={"amount": "1000", "currency": "usd"})
    assert (failed.status_code, failed.json()["error"]["type"]) == (500, "api_error")
    local.faults(api={"error_rate": 0.0, "rate_limit_per_s": 0})
    with pytest.raises(stripe.RateLimitError):
        local.sdk.v1.payment_intents.list()
    local.faults(api={"rate_limit_per_s": None})
    assert local.http.get("/_local/faults").json() == before
    assert not local.sdk.v1.payment_intents.list().data
    wrong: tuple[Any, ...] = (
        {"webhoks": {}},
        {"webhooks": {"drop": None}},
        {"webhooks": 5},
        {"api": {"latency_ms": -1}},
    )
    for part in wrong:
        assert local.http.post("/_local/faults", json=part).status_code == 400
    assert local.http.get("/_local/faults").json() == before


def test_a_caller_who_hangs_up_does_not_undo_the_work(local: Program) -> None:
    local.faults(api={"latency_ms": 700})
    data = {"amount": "1000", "currency": "usd"}
    with pytest.raises(httpx.TimeoutException):
        local.http.post("/v1/payment_intents", data=data, headers={"Idempotency-Key": "k"}, timeout=0.2)
    done = ("POST", "/v1/payment_intents", 200)
    wait_for(
        lambda: (
            [done]
            == [
                (asked["method"], asked["path"], asked["status"])
                for asked in local.http.get("/_local/requests").json()["data"]
            ]
        )
    )
    again = local.http.post("/v1/payment_intents", data=data, headers={"Idempotency-Key": "k"})
    assert again.headers["idempotent-replayed"] == "true"
    assert [one.id for one in local.sdk.v1.payment_intents.list().data] == [again.json()["id"]]


def test_it_tells_what_it_was_asked_and_forgets_everything_when_told(local: Program) -> None:
    made = local.sdk.v1.payment_intents.create(
        {"amount": 1000, "currency": "usd", "metadata": {"order": "A"}}, {"idempotency_key": "payment:7"}
    )
    asked = local.http.get("/_local/requests").json()["data"][-1]
    assert (asked["method"], asked["path"], asked["status"]) == ("POST", "/v1/payment_intents", 200)
    assert asked["idempotency_key"] == "payment:7" and asked["params"]["metadata"] == {"order": "A"}
    local.http.post("/_local/reset").raise_for_status()
    with pytest.raises(stripe.InvalidRequestError) as missing:
        local.sdk.v1.payment_intents.retrieve(made.id)
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    assert not local.sdk.v1.events.list().data


def test_the_balance_adds_up(local: Program) -> None:
    cleared(local, local.pay(amount=5350))
    balance = local.sdk.v1.balance.retrieve()
    assert sum(part["amount"] for part in [*balance.available, *balance.pending]) == 5165
    assert json.loads(local.http.get("/v1/account").content)["object"] == "account"
