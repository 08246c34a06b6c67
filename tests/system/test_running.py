"""Killing, stopping and starting: what was confirmed survives, what was paid becomes tickets or comes back in full."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import redis

from tests.system.conftest import Product


def test_kill_in_mid_sale_loses_no_confirmed_hold(own_product: Product) -> None:
    own_product.settings["hold_seconds"] = "600"
    own_product.start()
    event = own_product.make_event(capacity=5000, tiers=(5000,))
    tier = own_product.tiers(event)[0]
    confirmed: dict[str, str] = {}

    def buyer(number: int) -> None:
        for attempt in range(200):
            body = {"lines": [{"tier": tier, "quantity": 1}]}
            key = {"Idempotency-Key": f"{number}-{attempt}"}
            try:
                answer = own_product.lane("POST", f"/api/events/{event}/holds", body, **key)
            except httpx.HTTPError:
                return
            if answer.status_code == 201:
                confirmed[answer.json()["id"]] = answer.json()["expires_at"]

    with ThreadPoolExecutor(8) as pool:
        tasks = [pool.submit(buyer, number) for number in range(8)]
        while len(confirmed) < 150:
            time.sleep(0.01)
        own_product.kill()
        for task in tasks:
            task.result()
    own_product.start()
    for hold, expires in confirmed.items():
        found = own_product.web("GET", f"/api/holds/{hold}").json()
        assert (found["status"], found["expires_at"]) == ("held", expires)
    # A buyer whose answer got lost in the kill may hold a place as well; nobody else does.
    assert len(confirmed) <= own_product.pools(event)["held"] <= len(confirmed) + 8
    assert own_product.findings() == []


def test_a_payment_while_we_are_down_becomes_tickets(own_product: Product) -> None:
    own_product.settings["hold_seconds"] = "60"
    own_product.start()
    event = own_product.make_event()
    checkout = own_product.checkout(own_product.hold(event, 2).json()["id"]).json()
    own_product.stripe("/_local/faults", {"webhooks": {"delay_ms": 60_000}})
    own_product.pay(checkout["payment"])
    own_product.kill()
    own_product.start()
    found = own_product.wait_for(checkout["order"]["id"], "paid", seconds=30)
    assert len(found["tickets"]) == 2
    assert own_product.findings() == []


def test_after_its_time_an_unpaid_order_is_cancelled_at_stripe_and_its_places_go_back(
    own_product: Product,
) -> None:
    own_product.start()
    event = own_product.make_event(capacity=1, tiers=(1,))
    hold = own_product.hold(event).json()["id"]
    checkout = own_product.checkout(hold).json()
    own_product.wait_for(checkout["order"]["id"], "expired")
    assert own_product.web("GET", f"/api/holds/{hold}").json()["status"] == "expired"
    assert own_product.pay(checkout["payment"]).json()["error"]["code"] == "payment_intent_unexpected_state"
    assert own_product.hold(event).status_code == 201
    assert own_product.findings() == []


def test_late_money_comes_back_in_full_when_the_places_are_gone(own_product: Product) -> None:
    own_product.start()
    event = own_product.make_event(capacity=1, tiers=(1,))
    checkout = own_product.checkout(own_product.hold(event).json()["id"]).json()
    order = checkout["order"]["id"]
    # Paid in time, but Stripe can tell nobody until the hard limit has passed and the place is sold to somebody else.
    own_product.stripe("/_local/faults", {"webhooks": {"delay_ms": 600_000}})
    assert own_product.pay(checkout["payment"]).json()["status"] == "succeeded"
    own_product.stripe("/_local/faults", {"api": {"error_rate": 1.0}})
    own_product.wait_for(order, "expired", seconds=30)
    assert own_product.hold(event).status_code == 201
    own_product.stripe("/_local/faults", {"api": {"error_rate": 0.0}, "webhooks": {"delay_ms": 0}})
    found = own_product.wait_for(order, "late_refunded", seconds=30)
    assert found["refunded"] == {"amount": 2500, "currency": "eur"} and found["tickets"] == []
    charges = own_product.http.get(
        own_product.run["stripe_url"] + f"/v1/charges?payment_intent={checkout['payment']['payment_intent']}",
        headers={"Authorization": f"Bearer {own_product.run['stripe_secret_key']}"},
    ).json()["data"]
    assert [charge["amount_refunded"] for charge in charges] == [2500]
    assert own_product.findings() == []


def test_servers_that_die_are_started_again_and_selling_goes_on(own_product: Product) -> None:
    own_product.settings["hold_seconds"] = "600"
    own_product.start()
    event = own_product.make_event()
    hold = own_product.hold(event).json()
    redis.Redis(unix_socket_path=own_product.run["redis_url"].removeprefix("unix://")).flushall()
    assert own_product.hold(event).status_code == 201
    postmaster = int((own_product.data / "postgres" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    deadline = time.monotonic() + 40
    while True:
        try:
            answer = own_product.hold(event)
            if answer.status_code == 201:
                break
        except (KeyError, httpx.HTTPError):
            pass
        assert time.monotonic() < deadline, own_product.output()
        time.sleep(0.2)
    found = own_product.web("GET", f"/api/holds/{hold['id']}").json()
    assert (found["status"], found["expires_at"]) == ("held", hold["expires_at"])
    assert own_product.pools(event)["held"] == 3
    assert own_product.findings() == []


def test_a_second_start_on_one_folder_says_who_has_it(own_product: Product) -> None:
    own_product.start()
    second = subprocess.run(
        [sys.executable, "-m", "engine", "up", "--data", str(own_product.data)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=30,
    )
    assert second.returncode == 3
    assert str(own_product.run["pid"]) in second.stderr
    assert own_product.web("GET", "/readyz").status_code == 200


def test_a_stop_is_clean_and_leaves_no_secret_outside(own_product: Product) -> None:
    own_product.settings["hold_seconds"] = "600"
    own_product.start()
    event = own_product.make_event()
    hold = own_product.hold(event).json()
    checkout = own_product.checkout(hold["id"]).json()
    own_product.pay(checkout["payment"])
    order = own_product.wait_for(checkout["order"]["id"], "paid")
    run = own_product.run
    assert (own_product.data / "run.json").stat().st_mode & 0o777 == 0o600
    assert own_product.stop() == 0
    assert not (own_product.data / "run.json").exists()
    secrets = [
        run["operator_api_key"],
        run["stripe_secret_key"],
        run["stripe_webhook_secret"],
        checkout["payment"]["client_secret"],
        order["tickets"][0]["code"],
        order["id"],
        hold["id"],
    ]
    for path in [*own_product.data.glob("log/*"), own_product.data.parent / "data.out"]:
        text = path.read_text(errors="replace")
        assert not [secret[:8] for secret in secrets if secret in text], path.name
    own_product.start()
    assert own_product.run["operator_api_key"] == run["operator_api_key"]
    assert own_product.order(order["id"])["tickets"] == order["tickets"]


def test_a_bad_setting_is_named_and_exits_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engine", "migrate"],
        capture_output=True,
        text=True,
        env={**os.environ, "FM_HOLD_SECONDS": "soon"},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 2 and "FM_HOLD_SECONDS" in done.stderr
