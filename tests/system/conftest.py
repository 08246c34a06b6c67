"""A running `fm up` and what a program outside does with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

_START_SECONDS = 60.0
_PORTS = [part for name in ("web", "admin", "lane", "stripe", "mail") for part in (f"--{name}-port", "0")]


class Product:
    """One `fm up`. `start`, `stop` and `kill` as an operator or an accident would."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self.settings = settings
        self.run: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client(timeout=30, trust_env=False)

    def start(self, *arguments: str) -> None:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("FM_")}
        environ |= {f"FM_{name.upper()}": value for name, value in self.settings.items()}
        with (self.data.parent / f"{self.data.name}.out").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "engine", "up", "--data", str(self.data), *_PORTS, *arguments],
                stdout=output,
                stderr=output,
                env=environ,
                cwd=Path(__file__).parents[2],
            )
        deadline = time.monotonic() + _START_SECONDS
        while not (self.data / "run.json").exists():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.05)
        self.run = json.loads((self.data / "run.json").read_bytes())

    def output(self) -> str:
        return (self.data.parent / f"{self.data.name}.out").read_text()[-4000:]

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def kill(self) -> None:
        """kill -9 of the engine's process, and nothing else."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        (self.data / "run.json").unlink(missing_ok=True)

    def close(self) -> None:
        self.http.close()
        if self.process is not None and self.process.poll() is None:
            self.stop()

    # --- as programs outside ------------------------------------------------------------------------------------

    def web(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.http.request(method, self.run["web_url"] + path, json=body, headers=headers)

    def lane(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.http.request(method, self.run["lane_url"] + path, json=body, headers=headers)

    def admin(
        self, method: str, path: str, body: Any = None, key: str = "", **headers: str
    ) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {key or self.run['operator_api_key']}"}
        return self.http.request(method, self.run["admin_url"] + path, json=body, headers=bearer | headers)

    def stripe(self, path: str, document: Any) -> httpx.Response:
        return self.http.post(self.run["stripe_url"] + path, json=document)

    def make_event(
        self, capacity: int = 100, tiers: tuple[int, ...] = (100,), price: int = 2500, **more: Any
    ) -> str:
        """A published event's id."""
        organizer = self.admin(
            "POST",
            "/api/organizers",
            {"name": "O", "email": "o@example.com", "country": "DE", "payout_currency": "eur"},
        ).json()["id"]
        body = {
            "organizer": organizer,
            "name": "Show",
            "starts_at": "2098-05-01T18:00:00Z",
            "timezone": "Europe/Berlin",
            "currency": "eur",
            "venue": {"name": "Hall", "capacity": capacity},
            **more,
        }
        made = self.admin("POST", "/api/events", body)
        assert made.status_code == 201, made.text
        event: str = made.json()["id"]
        for number, places in enumerate(tiers):
            tier = {"name": f"T{number}", "price": price, "capacity": places}
            assert self.admin("POST", f"/api/events/{event}/tiers", tier).status_code == 201
        assert self.admin("POST", f"/api/events/{event}/publish").status_code == 200
        return event

    def tiers(self, event: str) -> list[str]:
        return [tier["id"] for tier in self.web("GET", f"/api/events/{event}").json()["tiers"]]

    def hold(self, event: str, quantity: int = 1, tier: int = 0, **headers: str) -> httpx.Response:
        lines = [{"tier": self.tiers(event)[tier], "quantity": quantity}]
        return self.lane("POST", f"/api/events/{event}/holds", {"lines": lines}, **headers)

    def checkout(self, hold: str) -> httpx.Response:
        buyer = {"email": "ann@example.com", "name": "Ann Example"}
        return self.web("POST", f"/api/holds/{hold}/checkout", buyer)

    def pay(self, payment: dict[str, Any], card: str = "pm_card_visa") -> httpx.Response:
        """As the browser does: with the publishable key and the client secret."""
        form = {
            "key": payment["publishable_key"],
            "client_secret": payment["client_secret"],
            "payment_method": card,
        }
        path = f"/v1/payment_intents/{payment['payment_intent']}/confirm"
        return self.http.post(self.run["stripe_url"] + path, data=form)

    def order(self, order: str) -> dict[str, Any]:
        found: dict[str, Any] = self.web("GET", f"/api/orders/{order}").json()
        return found

    def wait_for(self, order: str, *statuses: str, seconds: float = 20.0) -> dict[str, Any]:
        """The order, once it has one of these statuses."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.order(order)
            if found["status"] in statuses:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def mails(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get(self.run["mail_url"] + "/api/messages").json()["data"]
        return found

    def findings(self) -> list[Any]:
        """What `fm doctor` says; operator tasks aside."""
        done = subprocess.run(
            [sys.executable, "-m", "engine", "doctor", "--json", "--data", str(self.data)],
            capture_output=True,
            cwd=Path(__file__).parents[2],
        )
        return [one for one in json.loads(done.stdout)["data"] if one["check"] != "operator_task"]

    def pools(self, event: str) -> dict[str, int]:
        found: dict[str, int] = self.admin("GET", f"/api/events/{event}/dashboard").json()["venue"]
        return found


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """One product for the tests of a module that do not break it."""
    found = Product(tmp_path_factory.mktemp("product") / "data", rate_limits="off", reconcile_seconds="2")
    try:
        found.start("--demo")
        yield found
    finally:
        found.close()


@pytest.fixture
def own_product(tmp_path: Path) -> Iterator[Product]:
    """A product of one's own, to kill: short holds, quick reconciliation. Not started yet."""
    found = Product(
        tmp_path / "data", rate_limits="off", reconcile_seconds="1", hold_seconds="4", hold_hard_seconds="4"
    )
    try:
        yield found
    finally:
        found.close()
