"""Refunds as buyers and organizers ask for them: policy, parts, races, failures, places that come back."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.system.conftest import Product
from tests.system.test_money import buy, entries, event_for

FEE = {"percent_bps": 500, "fixed": 50}
GENEROUS = {"kind": "until", "hours_before": 48, "percent_bps": 10000, "keep_service_fee": False}


@pytest.fixture
def event(product: Product) -> str:
    return event_for(product, "eur", FEE, refund_policy=GENEROUS, capacity=10, tiers=(10,))


def back(product: Product, order: str, body: Any = None) -> Any:
    return product.web("POST", f"/api/orders/{order}/refunds", {} if body is None else body)


def settled(product: Product, order: str, status: str = "succeeded") -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while True:
        found = product.order(order)
        if found["refunds"] and all(one["status"] == status for one in found["refunds"]):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def wait_for_places(product: Product, event: str, available: int) -> None:
    deadline = time.monotonic() + 20
    while product.pools(event)["available"] != available:
        assert time.monotonic() < deadline, product.pools(event)
        time.sleep(0.05)


def test_a_buyer_gets_everything_back_and_the_places_are_free_again(product: Product, event: str) -> None:
    order = buy(product, event, 2)
    answer = back(product, order)
    assert answer.status_code == 201, answer.text
    assert answer.json()["amount"] == {"amount": 5350, "currency": "eur"}
    assert answer.json()["kept_fee"]["amount"] == 0
    found = settled(product, order)
    assert (found["status"], found["refunded"]["amount"]) == ("refunded", 5350)
    assert {one["status"] for one in found["tickets"]} == {"void"}
    books = entries(product, order, "sale", "clear", "refund", "refund_settled")
    organizer = next(account for account in books["sale"] if account.startswith("org:"))
    assert books["refund"] == {
        organizer: 5000,
        "revenue:platform_fee:EUR": 350,
        "buyer:refund_payable:EUR": -5350,
    }
    assert books["refund_settled"] == {"buyer:refund_payable:EUR": 5350, "stripe:clearing:EUR": -5350}
    wait_for_places(product, event, 10)
    assert back(product, order).json()["code"] == "already_refunded"
    revenue = product.admin("GET", f"/api/events/{event}/dashboard").json()["revenue"]
    assert (revenue["refunded"]["amount"], revenue["net"]["amount"]) == (5000, 0)
    assert any("refund" in mail["subject"].lower() for mail in product.mails())
    assert not product.findings()


def test_one_ticket_then_the_other(product: Product, event: str) -> None:
    order = buy(product, event, 2)
    first, second = [one["id"] for one in product.order(order)["tickets"]]
    assert back(product, order, {"tickets": [first]}).json()["amount"]["amount"] == 2675
    found = settled(product, order)
    assert (found["status"], [one["status"] for one in found["tickets"]]) == (
        "partially_refunded",
        ["void", "valid"],
    )
    assert back(product, order, {"tickets": [first]}).json()["code"] == "already_refunded"
    for wrong in (["tkt_unknown"], [second, second], []):
        answer = back(product, order, {"tickets": wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert back(product, order, {"tickets": [second]}).status_code == 201
    assert settled(product, order)["status"] == "refunded"


def test_twenty_requests_make_one_refund(product: Product, event: str) -> None:
    order = buy(product, event, 1)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: back(product, order), range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {
        "refund_in_progress",
        "already_refunded",
    }
    assert len(settled(product, order)["refunds"]) == 1


def test_the_policy_binds_the_buyer_and_an_override_is_audited(product: Product) -> None:
    event = event_for(product, "eur", FEE)
    order = buy(product, event, 2)
    refused = back(product, order)
    assert (refused.status_code, refused.json()["code"]) == (409, "refund_not_allowed")
    path = f"/api/orders/{order}/refunds"
    assert product.admin("POST", path, {"reason": "kind"}).json()["code"] == "refund_not_allowed"
    body = {"amount": 1000, "override_policy": True, "reason": "rain", "keep_service_fee": False}
    key = {"Idempotency-Key": "rain-1"}
    made = product.admin("POST", path, body, **key)
    assert (made.status_code, made.json()["amount"]["amount"]) == (201, 1000)
    assert product.admin("POST", path, body, **key).json() == made.json()
    assert product.order(order)["status"] == "partially_refunded"
    assert {one["status"] for one in product.order(order)["tickets"]} == {"valid"}
    too_much = product.admin("POST", path, {"amount": 4351, "override_policy": True, "reason": "more"})
    assert (too_much.status_code, too_much.json()["code"]) == (409, "exceeds_refundable")
    for wrong in ("10", 1.5, -1, 0, True, 10**12):
        assert product.admin("POST", path, {"amount": wrong, "reason": "x"}).status_code == 422
    other = product.admin(
        "POST",
        "/api/organizers",
        {"name": "P", "email": "p@example.com", "country": "DE", "payout_currency": "eur"},
    ).json()["id"]
    stranger = product.admin("POST", f"/api/organizers/{other}/keys").json()["secret"]
    assert product.admin("POST", path, {"reason": "x"}, key=stranger).status_code == 404


def test_places_are_withheld_where_the_organizer_wants_that(product: Product) -> None:
    event = event_for(
        product, "eur", FEE, refund_policy=GENEROUS, capacity=2, tiers=(2,), resell_refunded=False
    )
    order = buy(product, event, 2)
    assert back(product, order).status_code == 201
    deadline = time.monotonic() + 20
    while product.pools(event)["withheld"] != 2:
        assert time.monotonic() < deadline, product.pools(event)
        time.sleep(0.05)
    assert product.pools(event)["sold"] == 0


def test_a_refund_that_fails_leaves_the_money_owed_and_a_task(product: Product, event: str) -> None:
    hold = product.hold(event, 1).json()["id"]
    placed = product.checkout(hold).json()
    order = placed["order"]["id"]
    assert product.pay(placed["payment"], "pm_card_refundFail").status_code == 200
    product.wait_for(order, "paid")
    assert back(product, order).status_code == 201
    settled(product, order, "failed")
    books = entries(product, order, "refund_settled", "refund_failed")
    assert books["refund_failed"] == {"stripe:clearing:EUR": 2675, "buyer:refund_payable:EUR": -2675}


def test_an_unpaid_order_has_nothing_to_give_back(product: Product, event: str) -> None:
    hold = product.hold(event, 1).json()["id"]
    order = product.checkout(hold).json()["order"]["id"]
    assert back(product, order).json()["code"] == "not_paid"
    assert back(product, "ord_unknown").status_code == 404


def test_a_cancelled_event_gives_everybody_their_money_back(product: Product, event: str) -> None:
    paid = [buy(product, event, 1) for _ in range(3)]
    assert back(product, paid[0]).status_code == 201
    waiting = product.hold(event, 1).json()["id"]
    unpaid = product.checkout(waiting).json()["order"]["id"]
    assert product.admin("POST", f"/api/events/{event}/cancel").status_code == 200
    for order in paid:
        found = product.wait_for(order, "refunded")
        assert found["refunded"] == found["total"]
        assert len(settled(product, order)["refunds"]) == 1
    assert product.wait_for(unpaid, "expired")["refunds"] == []
    deadline = time.monotonic() + 20
    while True:
        progress = product.admin("GET", f"/api/events/{event}").json()["cancellation"]
        if progress["left"] == 0 and progress["pending"] == 0:
            break
        assert time.monotonic() < deadline, progress
        time.sleep(0.05)
    assert (progress["orders"], progress["refunded"], progress["failed"]) == (3, 2, 0)
    assert product.hold(event).json()["code"] in ("not_on_sale", "unknown_event")
    wait_for_places(product, event, 10)


def test_a_cancellation_goes_on_after_a_kill(own_product: Product) -> None:
    own_product.start()
    event = event_for(own_product, "eur", FEE)
    paid = [buy(own_product, event, 1) for _ in range(4)]
    assert own_product.admin("POST", f"/api/events/{event}/cancel").status_code == 200
    own_product.kill()
    own_product.start()
    for order in paid:
        found = own_product.wait_for(order, "refunded", seconds=90)
        assert len(found["refunds"]) == 1
    sums: dict[str, int] = {}
    for one in own_product.admin("GET", "/api/ledger/trial_balance").json()["data"]:
        sums[one["account"].rpartition(":")[2]] = (
            sums.get(one["account"].rpartition(":")[2], 0) + one["balance"]
        )
    assert sums == {"EUR": 0}
