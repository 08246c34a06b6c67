"""Notices from a Stripe that errs, repeats, forges or changes its mind: nothing wrong is ever fulfilled."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
import secrets
import time
from typing import Any

import httpx
import pytest

from tests.system.conftest import Product


def signed(product: Product, body: bytes, at: float | None = None, secret: str | None = None) -> str:
    stamp = int(time.time() if at is None else at)
    key = (secret or product.run["stripe_webhook_secret"]).encode()
    return f"t={stamp},v1={hmac.new(key, f'{stamp}.'.encode() + body, hashlib.sha256).hexdigest()}"


def send(product: Product, body: bytes, header: str | bytes | None) -> httpx.Response:
    headers: dict[str, Any] = {"Content-Type": "application/json"}
    if header is not None:
        headers["Stripe-Signature"] = header
    return product.http.post(product.run["web_url"] + "/webhooks/stripe", content=body, headers=headers)


def notice(kind: str, subject: dict[str, Any]) -> bytes:
    event = {
        "id": f"evt_{secrets.token_hex(12)}",
        "object": "event",
        "type": kind,
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": subject},
    }
    return json.dumps(event).encode()


def succeeded(product: Product, checkout: dict[str, Any], **changes: Any) -> bytes:
    """A notice that a payment of an order succeeded, true but for `changes`."""
    order, payment = checkout["order"], checkout["payment"]
    subject = {
        "id": payment["payment_intent"],
        "object": "payment_intent",
        "status": "succeeded",
        "amount": payment["amount"]["amount"],
        "amount_received": payment["amount"]["amount"],
        "currency": payment["amount"]["currency"],
        "livemode": False,
        "latest_charge": None,
        "metadata": {"order_number": order["number"], "event": order["event"]},
    }
    return notice("payment_intent.succeeded", subject | changes)


@pytest.fixture
def checkout(product: Product) -> dict[str, Any]:
    event = product.make_event()
    found: dict[str, Any] = product.checkout(product.hold(event).json()["id"]).json()
    return found


def test_what_cannot_be_verified_is_400_and_nothing_happens(
    product: Product, checkout: dict[str, Any]
) -> None:
    body = succeeded(product, checkout)
    good = signed(product, body)
    stamp, _, value = good.partition(",")
    forged: list[tuple[bytes, str | bytes | None]] = [
        (body, None),
        (body, ""),
        (body, "garbage"),
        (body, value),
        (body, stamp),
        (body, f"{stamp},v0={value[3:]}"),
        (body, f"{stamp},v1={value[3:].upper()}"),
        (body, f"t=1,{good}"),
        (body, f"{stamp}.0,{value}"),
        (body, signed(product, body, secret="whsec_other")),
        (body, signed(product, body, at=time.time() - 320)),
        (body, signed(product, body, at=time.time() + 320)),
        (body, signed(product, body, at=-5)),
        (body + b" ", good),
        (b"\xef\xbb\xbf" + body, good),
        (body, good.encode() + b",v1=\xff\xfe"),
    ]
    for odd in (b"[1]", b"{}", b"null", b"\xff\xfe", b'{"object":"event","object":"event"}', b""):
        forged.append((odd, signed(product, odd)))
    for given, header in forged:
        assert send(product, given, header).status_code == 400, (given[:40], header)
    assert product.order(checkout["order"]["id"])["status"] == "awaiting_payment"
    assert send(product, b"x" * (256 * 1024 + 1), "t=1,v1=0").status_code == 413


def test_two_signatures_of_which_one_is_right(product: Product, checkout: dict[str, Any]) -> None:
    body = succeeded(product, checkout)
    assert send(product, body, signed(product, body) + ",v1=" + "0" * 64 + ",v0=decoy").status_code == 200
    product.wait_for(checkout["order"]["id"], "paid")


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_received": 2499},
        {"amount_received": 5000},
        {"currency": "usd"},
        {"livemode": True},
        {"metadata": {"order_number": "OTHER123", "event": "evt_x"}},
    ],
    ids=["less", "more", "currency", "mode", "order"],
)
def test_a_wrong_payment_is_never_fulfilled(
    product: Product, checkout: dict[str, Any], changes: dict[str, Any]
) -> None:
    body = succeeded(product, checkout, **changes)
    for _ in range(2):
        assert send(product, body, signed(product, body)).status_code == 200
    deadline = time.monotonic() + 10
    while not product.order(checkout["order"]["id"])["needs_review"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found = product.order(checkout["order"]["id"])
    assert found["status"] == "awaiting_payment" and found["tickets"] == []
    assert len(found["refunds"]) == 1 and found["refunds"][0]["kind"] == "review"


def test_the_same_notice_again_and_again(product: Product, checkout: dict[str, Any]) -> None:
    body = succeeded(product, checkout)
    for _ in range(20):
        assert send(product, body, signed(product, body)).status_code == 200
    found = product.wait_for(checkout["order"]["id"], "paid")
    other = copy.deepcopy(json.loads(body)) | {"id": "evt_" + secrets.token_hex(8)}
    again = json.dumps(other).encode()
    assert send(product, again, signed(product, again)).status_code == 200
    assert len(found["tickets"]) == 1 and product.order(found["id"]) == found


def test_cancelled_after_paid_changes_nothing(product: Product, checkout: dict[str, Any]) -> None:
    body = succeeded(product, checkout)
    send(product, body, signed(product, body))
    product.wait_for(checkout["order"]["id"], "paid")
    late = notice("payment_intent.canceled", json.loads(body)["data"]["object"] | {"status": "canceled"})
    assert send(product, late, signed(product, late)).status_code == 200
    time.sleep(0.3)
    assert product.order(checkout["order"]["id"])["status"] == "paid"


@pytest.mark.parametrize(
    "body",
    [
        notice("galaxy.exploded", {"object": "galaxy", "id": "gal_1"}),
        notice(
            "payment_intent.succeeded", {"object": "payment_intent", "id": "pi_unknown", "metadata": None}
        ),
        notice("payment_intent.succeeded", {"object": "payment_intent", "id": 5, "amount": "x"}),
        notice("charge.updated", {"object": "charge", "id": "ch_x", "payment_intent": ["odd"]}),
        notice("charge.dispute.created", {"object": "dispute", "id": "dp_x", "status": "never_heard_of"}),
    ],
    ids=["type", "payment", "shapes", "charge", "dispute"],
)
def test_genuine_notices_about_what_we_do_not_know_are_stored(product: Product, body: bytes) -> None:
    assert send(product, body, signed(product, body)).status_code == 200
    assert product.web("GET", "/readyz").status_code == 200
