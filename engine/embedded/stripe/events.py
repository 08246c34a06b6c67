"""Events and their delivery: written with what they tell, signed anew for each try, tried until somebody takes them.

A dropped delivery (a fault) is lost for good; the event stays listed, as at Stripe.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import hmac
import random
import time
from typing import Any

import asyncpg
import httpx
import msgspec

from engine.embedded.stripe import store
from engine.embedded.stripe.faults import Faults
from engine.embedded.stripe.settings import API_VERSION, Settings
from engine.embedded.stripe.store import Stored

_TIMEOUT_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 60.0
_GIVE_UP_SECONDS = 3 * 24 * 3600
_AT_ONCE = 16
_LOOK_SECONDS = 0.25
_REORDER_SECONDS = 0.4


async def emit(
    conn: asyncpg.Connection, settings: Settings, kind: str, subject: dict[str, Any], request: dict[str, Any]
) -> None:
    """An event with a snapshot of its object, and its delivery, in this transaction."""
    snapshot = copy.deepcopy(subject)
    event: dict[str, Any] = {
        "id": store.new_id("event"),
        "object": "event",
        "api_version": API_VERSION,
        "created": int(time.time()),
        "data": {"object": snapshot},
        "livemode": False,
        "pending_webhooks": 1 if settings.webhook_url else 0,
        "request": request,
        "type": kind,
    }
    await store.insert(conn, Stored(event))
    if settings.webhook_url:
        await enqueue(conn, event["id"])


async def enqueue(conn: asyncpg.Connection, event: str) -> None:
    now = time.time()
    await conn.execute("INSERT INTO deliveries (event, due_at, begun_at) VALUES ($1, $2, $2)", event, now)


def sign(body: bytes, secret: str, now: int) -> str:
    """The Stripe-Signature header."""
    digest = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={now},v1={digest}"


class Deliverer:
    """`run` it as a task; `came` wakes it."""

    def __init__(self, pool: asyncpg.Pool, settings: Settings, faults: Faults) -> None:
        self._pool, self._settings, self._faults = pool, settings, faults
        self.came = asyncio.Event()
        self._flying: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
            while True:
                try:
                    await self._begin(client)
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await asyncio.sleep(1)
                try:
                    # Not wait_for: on Python 3.11 it swallows a cancellation that meets the event, and we never stop.
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self.came.wait()
                except TimeoutError:
                    pass
                self.came.clear()

    async def _begin(self, client: httpx.AsyncClient) -> None:
        room = _AT_ONCE - len(self._flying)
        if room <= 0:
            return
        delay = self._faults.webhooks["delay_ms"] / 1000
        rows = await self._pool.fetch(
            """SELECT d.id, d.event, d.attempts, d.begun_at, o.data FROM deliveries d JOIN objects o ON o.id = d.event
               WHERE d.due_at <= $1 AND NOT d.id = ANY($2::bigint[]) ORDER BY d.due_at, d.id LIMIT $3""",
            time.time() - delay,
            list(self._flying),
            room,
        )
        for row in rows:
            self._flying.add(row["id"])
            task = asyncio.create_task(self._deliver(client, row))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, client: httpx.AsyncClient, row: Any) -> None:
        try:
            faults = self._faults.webhooks
            if random.random() < faults["drop"]:
                await self._pool.execute("DELETE FROM deliveries WHERE id = $1", row["id"])
                return
            if faults["reorder"]:
                await asyncio.sleep(random.random() * _REORDER_SECONDS)
            taken = await self._send(client, row["data"])
            if taken and random.random() < faults["duplicate"]:
                await self._send(client, row["data"])
            if taken or time.time() - row["begun_at"] > _GIVE_UP_SECONDS:
                await self._pool.execute("DELETE FROM deliveries WHERE id = $1", row["id"])
            else:
                pause = min(_FIRST_PAUSE_SECONDS * 2 ** row["attempts"], _LONGEST_PAUSE_SECONDS)
                await self._pool.execute(
                    "UPDATE deliveries SET attempts = attempts + 1, due_at = $2 WHERE id = $1",
                    row["id"],
                    time.time() + pause,
                )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pass
        finally:
            self._flying.discard(row["id"])
            self.came.set()

    async def _send(self, client: httpx.AsyncClient, event: dict[str, Any]) -> bool:
        body = msgspec.json.encode(event)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(body, self._settings.webhook_secret, int(time.time())),
            "User-Agent": "Stripe/1.0 (local)",
        }
        try:
            response = await client.post(self._settings.webhook_url, content=body, headers=headers)
        except httpx.HTTPError:
            return False
        return 200 <= response.status_code < 300
