"""The local Stripe as a program, somebody to take its webhooks, and the ways to reach it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx
import stripe

SECRET_KEY = "sk_test_" + "a" * 24
PUBLISHABLE_KEY = "pk_test_" + "b" * 24
WEBHOOK_SECRET = "whsec_" + "c" * 24

T = TypeVar("T")


def wait_for(condition: Callable[[], T], seconds: float = 20.0) -> T:
    """The first true answer of `condition`. Raises AssertionError."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


class Shop:
    """Takes webhooks, and answers them with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.came: list[tuple[bytes, str]] = []
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                shop.came.append((body, self.headers["Stripe-Signature"]))
                self.send_response(shop.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhooks"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def events(self) -> list[stripe.Event]:
        """What came, each verified by Stripe's own SDK."""
        return [
            stripe.Webhook.construct_event(body, signature, WEBHOOK_SECRET)
            for body, signature in list(self.came)
        ]

    def kinds(self) -> list[str]:
        return [event.type for event in self.events()]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Program:
    """One database and the program on it; `start` again goes on where it was."""

    def __init__(self, database_url: str, folder: Path, webhook_url: str, currency: str) -> None:
        self.database_url = database_url
        self._port_file = folder / "port"
        self._environ = os.environ | {
            "LOCAL_STRIPE_DATABASE_URL": database_url,
            "LOCAL_STRIPE_SECRET_KEY": SECRET_KEY,
            "LOCAL_STRIPE_PUBLISHABLE_KEY": PUBLISHABLE_KEY,
            "LOCAL_STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "LOCAL_STRIPE_WEBHOOK_URL": webhook_url,
            "LOCAL_STRIPE_CURRENCY": currency,
        }
        self.start()

    def start(self) -> None:
        self._port_file.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.embedded.stripe", "--port-file", str(self._port_file)],
            env=self._environ,
            stdin=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda: self._port_file.exists() or self.process.poll() is not None)
            assert self.process.poll() is None
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.url = f"http://127.0.0.1:{self._port_file.read_text()}"
        self.http = httpx.Client(base_url=self.url, timeout=15, auth=(SECRET_KEY, ""))
        self._sdk_http = stripe.HTTPXClient(timeout=15, allow_sync_methods=True)
        self.sdk = stripe.StripeClient(
            SECRET_KEY,
            base_addresses={"api": self.url},
            http_client=self._sdk_http,
            max_network_retries=0,
        )

    def kill(self) -> None:
        """As an out-of-memory killer would."""
        self.process.kill()
        self._gone()

    def stop(self) -> int:
        """Its exit code. Raises TimeoutExpired when it does not stop."""
        self.process.terminate()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self._gone()
        return self.process.returncode

    def _gone(self) -> None:
        self.process.wait(10)
        self.http.close()
        self._sdk_http.close()

    def faults(self, **part: Any) -> None:
        self.http.post("/_local/faults", json=part).raise_for_status()

    def pay(self, card: str = "pm_card_visa", amount: int = 5350, currency: str = "usd") -> Any:
        """A PaymentIntent confirmed with a test card. Raises what the SDK raises."""
        return self.sdk.v1.payment_intents.create(
            {"amount": amount, "currency": currency, "payment_method": card, "confirm": True}
        )

    def charge_of(self, payment: Any) -> Any:
        return self.sdk.v1.charges.retrieve(payment.latest_charge)


def stranger(local: Program) -> httpx.Client:
    """Somebody without the secret key, who follows nothing by himself."""
    return httpx.Client(base_url=local.url, timeout=15, follow_redirects=False)


def cleared(local: Program, payment: Any) -> Any:
    """The charge of a payment, once its balance transaction is there."""

    def found() -> Any:
        charge = local.charge_of(payment)
        return charge if charge.balance_transaction else None

    return wait_for(found)


def money_of(local: Program, source: str) -> list[tuple[str, int, int, int]]:
    """(category, amount, fee, net) of what moved for a charge or refund, oldest first."""
    found = local.sdk.v1.balance_transactions.list({"source": source, "limit": 100}).data
    return [(one.reporting_category, one.amount, one.fee, one.net) for one in reversed(found)]
