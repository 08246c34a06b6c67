"""Money as an organizer and an accountant see it: two steps of a sale, currencies, who bears which fee."""

from __future__ import annotations

import time
from typing import Any

from tests.system.conftest import Product


def buy(product: Product, event: str, quantity: int = 1, card: str = "pm_card_visa") -> str:
    """A paid order's id."""
    hold = product.hold(event, quantity).json()["id"]
    placed = product.checkout(hold).json()
    assert product.pay(placed["payment"], card).status_code == 200
    order: str = placed["order"]["id"]
    product.wait_for(order, "paid")
    return order


def entries(product: Product, order: str, *kinds: str) -> dict[str, dict[str, int]]:
    """Postings by kind and account, once all these kinds are booked."""
    deadline = time.monotonic() + 20
    while True:
        data = product.admin("GET", f"/api/ledger/entries?order={order}").json()["data"]
        found: dict[str, dict[str, int]] = {}
        for entry in data:
            for posting in entry["postings"]:
                accounts = found.setdefault(entry["kind"], {})
                accounts[posting["account"]] = accounts.get(posting["account"], 0) + posting["amount"]
        if set(kinds) <= set(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def event_for(product: Product, payout: str, fee: dict[str, Any], price: int = 2500, **more: Any) -> str:
    """A published event of an organizer paid in `payout`."""
    organizer = product.admin(
        "POST",
        "/api/organizers",
        {"name": "O", "email": "o@example.com", "country": "DE", "payout_currency": payout},
    ).json()["id"]
    return product.make_event(organizer=organizer, fee=fee, price=price, **more)


def test_a_sale_is_cleared_with_the_fee_that_stripe_states(product: Product) -> None:
    event = event_for(product, "eur", {"percent_bps": 500, "fixed": 50, "processing": "organizer"})
    order = buy(product, event, 2)
    found = entries(product, order, "sale", "clear", "recharge")
    organizer = next(account for account in found["sale"] if account.startswith("org:"))
    assert found["sale"] == {
        "stripe:uncleared:EUR": 5350,
        organizer: -5000,
        "revenue:platform_fee:EUR": -350,
    }
    fee = found["clear"]["expense:processing_fee:EUR"]
    assert fee > 0
    assert found["clear"] == {
        "stripe:clearing:EUR": 5350 - fee,
        "expense:processing_fee:EUR": fee,
        "stripe:uncleared:EUR": -5350,
    }
    assert found["recharge"] == {organizer: fee, "expense:processing_fee:EUR": -fee}
    revenue = product.admin("GET", f"/api/events/{event}/dashboard").json()["revenue"]
    assert revenue["processing_fees"]["amount"] == fee
    assert revenue["net"]["amount"] == 5000 - fee


def test_a_sale_in_another_currency_takes_the_rate_of_its_purchase(product: Product) -> None:
    organizer_fee = {"percent_bps": 500, "fixed": 50}
    draft = product.admin(
        "POST",
        "/api/organizers",
        {"name": "O", "email": "o@example.com", "country": "DE", "payout_currency": "eur"},
    ).json()["id"]
    event = product.admin(
        "POST",
        "/api/events",
        {
            "organizer": draft,
            "name": "Show",
            "starts_at": "2098-05-01T18:00:00Z",
            "timezone": "America/New_York",
            "currency": "usd",
            "venue": {"name": "Hall", "capacity": 10},
            "fee": organizer_fee,
        },
    ).json()["id"]
    product.admin("POST", f"/api/events/{event}/tiers", {"name": "T", "price": 2500, "capacity": 10})
    refused = product.admin("POST", f"/api/events/{event}/publish")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    rate = {"from": "usd", "to": "eur", "rate": "0.9234", "source": "manual"}
    made = product.admin("POST", "/api/fx_rates", rate)
    assert made.status_code == 201
    assert {name: made.json()[name] for name in rate} == rate
    assert product.admin("POST", f"/api/events/{event}/publish").status_code == 200
    order = buy(product, event, 2)
    found = entries(product, order, "sale", "clear")
    assert found["sale"] == {
        "stripe:uncleared:USD": 5350,
        f"org:{draft}:payable:EUR": -4617,
        "revenue:platform_fee:USD": -350,
        "fx:position:USD": -5000,
        "fx:position:EUR": 4617,
    }
    assert found["clear"]["stripe:uncleared:USD"] == -5350


def test_bad_rates_are_refused(product: Product) -> None:
    good = {"from": "usd", "to": "chf", "rate": "0.9"}
    for change in (
        {"rate": 0.9},
        {"rate": "-1"},
        {"rate": "0"},
        {"rate": "1e2"},
        {"to": "usd"},
        {"to": "xxx"},
        {"at": "now"},
    ):
        answer = product.admin("POST", "/api/fx_rates", good | change)
        assert answer.status_code == 422, change
        assert answer.json()["errors"][0]["field"] == next(iter(change))
