"""One sale, as its buyer and its organizer see it; and what a buyer must not be able to do."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pypdf
import pytest
import zxingcpp
from PIL import Image

from tests.system.conftest import Product


def test_two_tickets_from_hold_to_mail(product: Product) -> None:
    event = product.make_event()
    hold = product.hold(event, 2).json()
    assert hold["status"] == "held" and hold["quote"]["total"] == {"amount": 5000, "currency": "eur"}
    checkout = product.checkout(hold["id"])
    assert checkout.status_code == 201
    order, payment = checkout.json()["order"], checkout.json()["payment"]
    assert order["status"] == "awaiting_payment" and order["tickets"] == []
    assert product.web("GET", f"/orders/{order['id']}/tickets.pdf").json()["code"] == "not_paid"
    again = product.checkout(hold["id"]).json()
    assert again["order"]["id"] == order["id"] and again["payment"] == payment
    assert product.pay(payment).json()["status"] == "succeeded"
    paid = product.wait_for(order["id"], "paid")
    assert [ticket["status"] for ticket in paid["tickets"]] == ["valid", "valid"]
    codes = [ticket["code"] for ticket in paid["tickets"]]
    assert all(code.startswith("FM1:") and len(code) == 139 for code in codes) and len(set(codes)) == 2
    pdf = pypdf.PdfReader(io.BytesIO(product.web("GET", f"/orders/{order['id']}/tickets.pdf").content))
    assert len(pdf.pages) == 2 and order["number"] in pdf.pages[0].extract_text()
    assert b"BEGIN:VCALENDAR" in product.web("GET", f"/orders/{order['id']}/calendar.ics").content
    svg = product.web("GET", f"/tickets/{paid['tickets'][0]['id']}/qr.svg")
    assert svg.headers["content-type"].startswith("image/svg+xml")
    assert product.pools(event)["sold"] == 2
    entries = product.admin("GET", f"/api/ledger/entries?order={order['id']}").json()["data"]
    assert [entry["kind"] for entry in entries] == ["sale"]
    assert sum(posting["amount"] for posting in entries[0]["postings"]) == 0


def test_the_mail_brings_tickets_that_scan(product: Product) -> None:
    event = product.make_event()
    order = _bought(product, event)
    deadline = time.monotonic() + 20
    while not (found := [mail for mail in product.mails() if order["number"] in mail["text"]]):
        assert time.monotonic() < deadline, "no mail came"
        time.sleep(0.1)
    assert found[0]["to"] == ["ann@example.com"]
    names = [one["filename"] for one in found[0]["attachments"]]
    assert any(name.endswith(".pdf") for name in names) and any(name.endswith(".ics") for name in names)


def _bought(product: Product, event: str, quantity: int = 1) -> dict[str, Any]:
    hold = product.hold(event, quantity).json()
    checkout = product.checkout(hold["id"]).json()
    product.pay(checkout["payment"])
    return product.wait_for(checkout["order"]["id"], "paid")


def test_the_qr_code_says_the_tickets_code(product: Product) -> None:
    from engine.adapters import qr

    order = _bought(product, product.make_event())
    code = order["tickets"][0]["code"]
    rows = qr.modules(code)
    image = Image.new("L", (len(rows) + 8, len(rows) + 8), 255)
    for y, row in enumerate(rows):
        for x, dark in enumerate(row):
            if dark:
                image.putpixel((x + 4, y + 4), 0)
    found = zxingcpp.read_barcodes(
        image.resize((image.width * 6, image.height * 6), Image.Resampling.NEAREST)
    )
    assert [one.text for one in found] == [code]


def test_a_declined_card_then_a_good_one(product: Product) -> None:
    event = product.make_event()
    checkout = product.checkout(product.hold(event).json()["id"]).json()
    declined = product.pay(checkout["payment"], "pm_card_chargeDeclined")
    assert declined.status_code == 402 and declined.json()["error"]["code"] == "card_declined"
    assert product.order(checkout["order"]["id"])["status"] == "awaiting_payment"
    product.pay(checkout["payment"])
    assert len(product.wait_for(checkout["order"]["id"], "paid")["tickets"]) == 1


@pytest.mark.parametrize("answer", ["approve", "fail"])
def test_three_d_secure(product: Product, answer: str) -> None:
    event = product.make_event()
    checkout = product.checkout(product.hold(event).json()["id"]).json()
    step = product.pay(checkout["payment"], "pm_card_threeDSecure2Required").json()
    assert step["status"] == "requires_action"
    page = step["next_action"]["redirect_to_url"]["url"]
    text = product.http.get(page).text
    assert "Approve" in text and "Fail" in text and "<script" not in text
    product.http.post(page, data={"outcome": answer})
    if answer == "approve":
        product.wait_for(checkout["order"]["id"], "paid")
    else:
        assert product.order(checkout["order"]["id"])["status"] == "awaiting_payment"


def test_a_free_order_pays_itself(product: Product) -> None:
    event = product.make_event(price=0)
    checkout = product.checkout(product.hold(event).json()["id"])
    assert checkout.status_code == 201 and checkout.json()["payment"] is None
    assert checkout.json()["order"]["status"] == "paid" and len(checkout.json()["order"]["tickets"]) == 1


def test_giving_back_in_checkout_cancels_at_stripe_first(product: Product) -> None:
    event = product.make_event()
    hold = product.hold(event, 3).json()["id"]
    checkout = product.checkout(hold).json()
    assert product.pools(event)["in_checkout"] == 3
    assert product.web("DELETE", f"/api/holds/{hold}").status_code == 204
    assert product.web("DELETE", f"/api/holds/{hold}").status_code == 204
    assert product.order(checkout["order"]["id"])["status"] == "cancelled"
    assert product.pools(event)["available"] == 100
    assert product.pay(checkout["payment"]).json()["error"]["code"] == "payment_intent_unexpected_state"


def test_a_crowd_over_lane_and_web_never_oversells(product: Product) -> None:
    event = product.make_event(capacity=25, tiers=(20, 20))
    tiers = product.tiers(event)

    def one(number: int) -> int:
        lines = [{"tier": tiers[number % 2], "quantity": 1}]
        face = product.lane if number % 3 else product.web
        return face("POST", f"/api/events/{event}/holds", {"lines": lines}).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(one, range(80)))
    assert statuses.count(201) == 25 and statuses.count(409) == 55
    venue = product.pools(event)
    assert venue["held"] == 25 and venue["available"] == 0


def test_twenty_identical_notices_make_one_set_of_tickets(product: Product) -> None:
    event = product.make_event()
    product.stripe("/_local/faults", {"webhooks": {"duplicate": 1.0, "reorder": True}})
    try:
        order = _bought(product, event, 2)
        for _ in range(5):
            product.stripe("/_local/events/replay", {})
        assert len(product.order(order["id"])["tickets"]) == 2
        assert product.pools(event)["sold"] == 2
    finally:
        product.stripe("/_local/faults", {"webhooks": {"duplicate": 0.0, "reorder": False}})


def test_lost_notices_are_made_good_by_reconciliation(product: Product) -> None:
    event = product.make_event()
    product.stripe("/_local/faults", {"webhooks": {"drop": 1.0}})
    try:
        checkout = product.checkout(product.hold(event).json()["id"]).json()
        product.pay(checkout["payment"])
        product.wait_for(checkout["order"]["id"], "paid", seconds=30)
    finally:
        product.stripe("/_local/faults", {"webhooks": {"drop": 0.0}})


def test_a_stored_failure_of_stripe_makes_no_second_payment(product: Product) -> None:
    event = product.make_event()
    hold = product.hold(event).json()["id"]
    product.stripe("/_local/faults", {"api": {"error_after_success_rate": 1.0}})
    try:
        first = product.checkout(hold)
        assert first.status_code in (200, 201), first.text
    finally:
        product.stripe("/_local/faults", {"api": {"error_after_success_rate": 0.0}})
    number = first.json()["order"]["number"]
    listed = product.http.get(
        product.run["stripe_url"] + "/v1/payment_intents?limit=100",
        headers={"Authorization": f"Bearer {product.run['stripe_secret_key']}"},
    ).json()["data"]
    assert sum(one["metadata"].get("order_number") == number for one in listed) == 1


def test_what_belongs_to_another_organizer_does_not_exist(product: Product) -> None:
    event = product.make_event()
    other = product.admin(
        "POST",
        "/api/organizers",
        {"name": "P", "email": "p@example.com", "country": "DE", "payout_currency": "eur"},
    ).json()["id"]
    key = product.admin("POST", f"/api/organizers/{other}/keys", {}).json()["secret"]
    tier = product.tiers(event)[0]
    for method, path, body in (
        ("GET", f"/api/events/{event}", None),
        ("PATCH", f"/api/events/{event}", {"name": "Mine"}),
        ("POST", f"/api/events/{event}/pause", None),
        ("GET", f"/api/events/{event}/dashboard", None),
        ("POST", f"/api/events/{event}/tiers", {"name": "X", "price": 1, "capacity": 1}),
        ("PATCH", f"/api/tiers/{tier}", {"price": 1}),
        ("DELETE", f"/api/tiers/{tier}", None),
    ):
        assert product.admin(method, path, body, key=key).status_code == 404, path
    assert product.admin("POST", "/api/organizers", {}, key=key).status_code == 403
    assert product.admin("GET", "/api/events", key="fm_test_nonsense").status_code == 401


def test_capacity_never_goes_below_what_is_committed(product: Product) -> None:
    event = product.make_event()
    product.hold(event, 5)
    tier = product.tiers(event)[0]
    refused = product.admin("PATCH", f"/api/tiers/{tier}", {"capacity": 4})
    assert refused.status_code == 409 and refused.json()["code"] == "below_committed"
    assert refused.json()["held"] == 5
    assert product.admin("PATCH", f"/api/tiers/{tier}", {"capacity": 5}).status_code == 200
    assert product.web("GET", f"/api/events/{event}").json()["state"] == "sold_out"


def test_nothing_is_left_to_find(product: Product) -> None:
    assert product.findings() == []


def test_both_apps_describe_themselves(product: Product) -> None:
    for base, path in (
        ("web_url", "/api/events/{event_id}/holds"),
        ("admin_url", "/api/events/{event_id}/tiers"),
    ):
        found = product.http.get(product.run[base] + "/openapi.json").json()
        assert found["openapi"] == "3.1.0"
        assert "$ref" in found["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]


def test_every_body_the_documents_name_is_a_route(product: Product) -> None:
    for base in ("web_url", "admin_url"):
        found = product.http.get(product.run[base] + "/openapi.json").json()
        bodies = [one for path in found["paths"].values() for one in path.values() if "requestBody" in one]
        assert len(bodies) == {"web_url": 4, "admin_url": 12}[base]


@pytest.mark.parametrize(
    "instant", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "1999-01-01T00:00:00Z"]
)
def test_a_time_that_no_calendar_carries_is_refused(product: Product, instant: str) -> None:
    event = product.make_event()
    for field in ("starts_at", "on_sale_at", "doors_at"):
        assert product.admin("PATCH", f"/api/events/{event}", {field: instant}).status_code == 422
    assert product.hold(event).status_code == 201


def test_a_checkout_says_first_what_is_wrong_with_the_hold(product: Product) -> None:
    event = product.make_event()
    hold = product.hold(event).json()["id"]
    assert product.web("DELETE", f"/api/holds/{hold}").status_code == 204
    wrong = product.web("POST", f"/api/holds/{hold}/checkout", {"nonsense": 1})
    assert (wrong.status_code, wrong.json()["code"]) == (409, "released")
    unknown = product.web("POST", "/api/holds/hold_x/checkout", {"nonsense": 1})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_hold")
    live = product.hold(event).json()["id"]
    assert product.web("POST", f"/api/holds/{live}/checkout", {"nonsense": 1}).status_code == 422


def test_people_get_pages_and_programs_problems(product: Product) -> None:
    program = product.web("GET", "/orders/ord_unknown")
    assert program.status_code == 404 and program.headers["content-type"] == "application/problem+json"
    person = product.web("GET", "/orders/ord_unknown", Accept="text/html")
    assert person.status_code == 404 and person.headers["content-type"].startswith("text/html")
