"""Payouts: what is payable, once, whatever runs beside it; in another currency at what it cost."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.system.conftest import Product
from tests.system.test_money import buy, entries, event_for

FEE = {"percent_bps": 500, "fixed": 50}


def balances(product: Product, organizer: str) -> dict[str, int]:
    data = product.admin("GET", "/api/ledger/trial_balance").json()["data"]
    return {
        one["account"]: one["balance"]
        for one in data
        if organizer in one["account"] or "transit" in one["account"]
    }


def owner_of(product: Product, event: str) -> str:
    found: str = product.admin("GET", f"/api/events/{event}").json()["organizer"]
    return found


def pay_out(product: Product, organizer: str, body: Any = None, key: str = "", **headers: str) -> Any:
    return product.admin("POST", f"/api/organizers/{organizer}/payouts", body, key=key, **headers)


def test_two_requests_at_once_make_one_transfer(product: Product) -> None:
    event = event_for(product, "eur", FEE)
    organizer = owner_of(product, event)
    assert pay_out(product, organizer).json()["code"] == "nothing_payable"
    entries(product, buy(product, event, 2), "clear")
    too_much = pay_out(product, organizer, {"amount": 5001})
    assert (too_much.status_code, too_much.json()["code"]) == (409, "exceeds_payable")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: pay_out(product, organizer), range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    made = next(answer.json() for answer in answers if answer.status_code == 201)
    assert made["amount"] == {"amount": 5000, "currency": "eur"}
    assert (made["events"], made["status"]) == ([{"event": event, "amount": 5000}], "executed")
    found = balances(product, organizer)
    assert found[f"org:{organizer}:payable:EUR"] == 0 and found["payout:in_transit:EUR"] == 0
    settlement = product.admin("GET", f"/api/events/{event}/settlement").json()
    assert (settlement["payouts"], settlement["closing"], settlement["net_payout"]) == (-5000, 0, 5000)
    asked = product.http.get(product.run["stripe_url"] + "/_local/requests").json()["data"]
    keys = {
        one["idempotency_key"] for one in asked if one["path"] == "/v1/transfers" and one["method"] == "POST"
    }
    assert len([key for key in keys if made["id"] in key]) == 1


def test_a_key_answers_again_and_an_organizer_waits_for_the_end(product: Product) -> None:
    event = event_for(product, "eur", FEE)
    organizer = owner_of(product, event)
    entries(product, buy(product, event, 2), "clear")
    own = product.admin("POST", f"/api/organizers/{organizer}/keys").json()["secret"]
    assert pay_out(product, organizer, key=own).json()["code"] == "nothing_payable"
    first = pay_out(product, organizer, {"amount": 1500}, **{"Idempotency-Key": "po-1"})
    again = pay_out(product, organizer, {"amount": 1500}, **{"Idempotency-Key": "po-1"})
    assert first.status_code == 201 and first.json() == again.json()
    assert balances(product, organizer)[f"org:{organizer}:payable:EUR"] == -3500
    for wrong in ("1", 1.5, 0, -1, True):
        assert pay_out(product, organizer, {"amount": wrong}).status_code == 422


def test_nothing_goes_out_while_more_was_given_back_than_is_owed(product: Product) -> None:
    event = event_for(product, "eur", FEE)
    organizer = owner_of(product, event)
    order = buy(product, event, 2)
    entries(product, order, "clear")
    buy(product, event_for(product, "eur", FEE), 4)  # somebody else's money, so that the refund can be paid
    assert pay_out(product, organizer).status_code == 201
    body = {"override_policy": True, "reason": "cancelled"}
    assert product.admin("POST", f"/api/orders/{order}/refunds", body).status_code == 201
    refused = pay_out(product, organizer)
    assert (refused.status_code, refused.json()["code"]) == (409, "negative_payable")


def test_a_payout_in_another_currency_closes_the_position(product: Product) -> None:
    rate = {"from": "eur", "to": "usd", "rate": "1.1", "source": "manual"}
    assert product.admin("POST", "/api/fx_rates", rate).status_code == 201
    event = event_for(product, "usd", FEE)
    organizer = owner_of(product, event)
    entries(product, buy(product, event, 2), "clear")
    assert balances(product, organizer)[f"org:{organizer}:payable:USD"] == -5500
    buy_dollars = event_for(product, "usd", FEE, currency="usd")
    entries(product, buy(product, buy_dollars, 4), "clear")
    made = pay_out(product, organizer)
    assert (made.status_code, made.json()["status"]) == (201, "executed")
    assert balances(product, organizer)[f"org:{organizer}:payable:USD"] == 0


def test_failures_that_stripe_stores_are_found_not_repeated(product: Product) -> None:
    event = event_for(product, "eur", FEE)
    organizer = owner_of(product, event)
    order = buy(product, event, 2)
    entries(product, order, "clear")
    for rate in ("error_after_success_rate", "error_rate"):
        product.stripe("/_local/faults", {"api": {rate: 0.5}})
    try:
        ticket = product.order(order)["tickets"][0]["id"]
        body = {"tickets": [ticket], "override_policy": True, "reason": "x"}
        assert product.admin("POST", f"/api/orders/{order}/refunds", body).status_code == 201
        made = pay_out(product, organizer).json()
    finally:
        product.stripe("/_local/faults", {"api": {"error_after_success_rate": 0.0, "error_rate": 0.0}})
    entries(product, order, "refund_settled")
    secret = {"Authorization": f"Bearer {product.run['stripe_secret_key']}"}

    def listed(path: str) -> list[Any]:
        found: list[Any] = product.http.get(product.run["stripe_url"] + path, headers=secret).json()["data"]
        return found

    deadline = time.monotonic() + 30
    while balances(product, organizer)["payout:in_transit:EUR"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(listed(f"/v1/transfers?transfer_group={made['id']}")) == 1
    number = product.order(order)["number"]
    assert (
        len([one for one in listed("/v1/refunds?limit=100") if one["metadata"].get("order_number") == number])
        == 1
    )
