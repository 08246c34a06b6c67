"""The Procfile's shape: web, admin and worker as processes of their own, the admin reaching the owner by the link."""

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

from tests.conftest import Servers

ROOT = Path(__file__).parents[2]


@pytest.fixture
def processes(servers: Servers, database: str, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """URLs of a web and an admin process on one database."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("FM_")} | {
        "FM_DATABASE_URL": servers.url(database),
        "FM_REDIS_URL": servers.valkey_url,
        "FM_STRIPE_API_KEY": "sk_test_x",
        "FM_STRIPE_API_BASE": "http://127.0.0.1:9",
        "FM_STRIPE_WEBHOOK_SECRET": "whsec_x",
        "FM_SECRET_KEY": "s" * 32,
        "FM_RATE_LIMITS": "off",
    }
    started = []
    urls: dict[str, Any] = {"environ": environ}
    try:
        for face, ports in (
            ("web", ["--web-port", "0", "--lane-port", "0"]),
            ("admin", ["--admin-port", "0"]),
        ):
            folder = tmp_path / face
            output = (tmp_path / f"{face}.log").open("wb")
            command = [sys.executable, "-m", "engine", "serve", face, "--data", str(folder), *ports]
            process = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=output, stderr=output)
            output.close()
            started.append(process)
            deadline = time.monotonic() + 30
            while not (folder / "run.json").exists():
                assert process.poll() is None, (tmp_path / f"{face}.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            urls |= json.loads((folder / "run.json").read_text())
        yield urls
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0


def test_an_event_made_in_the_admin_process_sells_in_the_web_process(processes: dict[str, Any]) -> None:
    minted = subprocess.run(
        [sys.executable, "-m", "engine", "keys", "create", "--json"],
        env=processes["environ"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    bearer = {"Authorization": f"Bearer {json.loads(minted.stdout)['secret']}"}
    with httpx.Client(timeout=20, trust_env=False) as http:

        def admin(method: str, path: str, body: Any = None) -> httpx.Response:
            return http.request(method, processes["admin_url"] + path, json=body, headers=bearer)

        organizer = {"name": "O", "email": "o@example.com", "country": "DE", "payout_currency": "eur"}
        event = {
            "organizer": admin("POST", "/api/organizers", organizer).json()["id"],
            "name": "Show",
            "starts_at": "2098-05-01T18:00:00Z",
            "timezone": "UTC",
            "currency": "eur",
            "venue": {"name": "Hall", "capacity": 10},
        }
        made = admin("POST", "/api/events", event).json()["id"]
        tier = {"name": "GA", "price": 2500, "capacity": 10}
        tier_id = admin("POST", f"/api/events/{made}/tiers", tier).json()["id"]
        assert admin("POST", f"/api/events/{made}/publish").status_code == 200
        path = f"/api/events/{made}/holds"
        body = {"lines": [{"tier": tier_id, "quantity": 4}]}
        assert http.post(processes["lane_url"] + path, json=body).status_code == 201
        refused = admin("PATCH", f"/api/tiers/{tier_id}", {"capacity": 3})
        assert (refused.status_code, refused.json()["held"]) == (409, 4)
        assert admin("PATCH", f"/api/tiers/{tier_id}", {"price": 9900}).status_code == 200
        shown = http.get(f"{processes['web_url']}/api/events/{made}").json()["tiers"][0]
        assert shown["price"]["amount"] == 9900 and shown["available"] == 6
