"""The engine beside its peers, interleaved in one run: durable holds a second, memory of a hold, time to recover.

Run by `make bench`; prints medians and ratios, asserts nothing. The peers do the same work the usual ways: one
transaction per buyer with the tier's row locked, and one conditional UPDATE per buyer. Same Postgres, same durability.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import redis.asyncio
import trio

import migrations
from engine.adapters import logs
from engine.adapters.bridge import Pool, call, open_bridge, open_pool
from engine.adapters.journal import RedisJournal
from engine.adapters.secrets import random_id
from engine.adapters.shard_store import PostgresShardStore
from engine.core.model import PutTier, Reserve
from engine.embedded.folder import DataFolder
from engine.embedded.postgres import OWNER, Postgres
from engine.embedded.valkey import Valkey
from engine.runtime.journaling import Journaler
from engine.runtime.shard import Shard

ROUNDS = 5
CLIENTS = (32, 128, 1024)
SECONDS = 1.5
PEER_CONNECTIONS = (4, 8, 16, 32)
RECOVERED_HOLDS = 100_000
SHARD = 0


async def _make_event(conn: Any) -> int:
    await conn.execute(
        """INSERT INTO organizers (id, name, email, country, payout_currency)
           VALUES ('org_b', 'B', 'b@b.invalid', 'DE', 'eur') ON CONFLICT DO NOTHING"""
    )
    number: int = await conn.fetchval(
        """INSERT INTO events (id, shard, organizer, slug, name, venue, starts_at, timezone, currency, state,
                               hold_seconds, fee, refund_policy)
           VALUES ('evt_' || gen_random_uuid(), 0, 'org_b', gen_random_uuid()::text, 'B', '{"name": "H"}',
                   '2099-01-01Z', 'UTC', 'eur', 'published', 86400, '{}', '{"kind": "none"}') RETURNING number"""
    )
    await conn.execute("INSERT INTO venue_pools (event, capacity) VALUES ($1, 2000000000)", number)
    return number


# The peers write what the engine writes: the tier's and the venue's counts and the whole hold.
_INSERT = """INSERT INTO holds (id, event, basket, state, created_at, expires_at, seq, body)
             {} gen_random_uuid(), {}, 1, 0, now(), now() + interval '10 minutes', 0, 0 {}"""


async def _row_lock(conn: Any, event: int) -> None:
    async with conn.transaction():
        tier = await conn.fetchrow(
            "SELECT capacity, held FROM tier_pools WHERE event = $1 AND number = 1 FOR UPDATE", event
        )
        venue = await conn.fetchrow(
            "SELECT capacity, held FROM venue_pools WHERE event = $1 FOR UPDATE", event
        )
        assert tier["held"] < tier["capacity"] and venue["held"] < venue["capacity"]
        await conn.execute("UPDATE tier_pools SET held = held + 1 WHERE event = $1 AND number = 1", event)
        await conn.execute("UPDATE venue_pools SET held = held + 1 WHERE event = $1", event)
        await conn.execute(_INSERT.format("SELECT", "$1", ""), event)


async def _single_update(conn: Any, event: int) -> None:
    made = await conn.fetchval(
        """WITH tier AS (UPDATE tier_pools SET held = held + 1
                         WHERE event = $1 AND number = 1 AND held < capacity RETURNING event),
                venue AS (UPDATE venue_pools SET held = held + 1
                          WHERE event = (SELECT event FROM tier) AND held < capacity RETURNING event)
        """
        + _INSERT.format("SELECT", "event", "FROM venue RETURNING id"),
        event,
    )
    assert made is not None


async def _peer(
    pool: Pool, work: Callable[[Any, int], Awaitable[None]], event: int, connections: int
) -> float:
    """Purchases a second with so many connections busy; more clients than that would only queue before them."""

    async def busy(conn: Any) -> int:
        done, until = 0, time.perf_counter() + SECONDS
        while time.perf_counter() < until:
            await work(conn, event)
            done += 1
        return done

    counts: list[int] = []

    async def one() -> None:
        counts.append(await pool.run(busy))

    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(connections):
            nursery.start_soon(one)
    return sum(counts) / (time.perf_counter() - started)


async def _best(pool: Pool, work: Callable[[Any, int], Awaitable[None]], event: int) -> int:
    """The connection count at which a peer is fastest."""
    rates = {count: await _peer(pool, work, event, count) for count in PEER_CONNECTIONS}
    return max(rates, key=lambda count: rates[count])


async def _engine(shard: Shard, event: int, clients: int) -> tuple[float, float]:
    """(durable holds a second, median seconds a buyer waits) with so many buyers asking again and again."""
    until = time.perf_counter() + SECONDS
    waits: list[float] = []

    async def buyer() -> None:
        while time.perf_counter() < until:
            asked = time.perf_counter()
            outcome = await shard.ask(Reserve(event=event, hold=random_id(), lines=(("tier_0", 1),)))
            assert outcome.ok, outcome
            waits.append(time.perf_counter() - asked)

    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(clients):
            nursery.start_soon(buyer)
    return len(waits) / (time.perf_counter() - started), statistics.median(waits)


async def _with_shard(
    pool: Pool, journal: RedisJournal | None, work: Callable[[Shard], Awaitable[Any]]
) -> Any:
    journaler = Journaler(journal) if journal else None
    shard = Shard(SHARD, "bench", PostgresShardStore(pool), journaler)
    async with trio.open_nursery() as nursery:
        if journaler is not None:
            nursery.start_soon(journaler.run)
        nursery.start_soon(shard.run)
        await shard.ready.wait()
        found = await work(shard)
        await trio.sleep(0.3)
        nursery.cancel_scope.cancel()
    return found


def _rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def _throughput(pool: Pool, client: Any, journal: RedisJournal) -> dict[str, list[float]]:
    names = ["row_lock", "single_update"] + [f"{kind}_{n}" for n in CLIENTS for kind in ("engine", "wait_ms")]
    figures: dict[str, list[float]] = {name: [] for name in names}
    best: dict[str, int] = {}
    for _ in range(ROUNDS):
        event = await pool.run(_make_event)

        async def measure(shard: Shard, event: int = event) -> None:
            changes = {"name": "GA", "price": 2500, "capacity": 1_000_000_000}
            assert (await shard.ask(PutTier(event=event, id="tier_0", changes=changes))).ok
            for clients in CLIENTS:
                gc.collect()
                rate, wait = await _engine(shard, event, clients)
                figures[f"engine_{clients}"].append(rate)
                figures[f"wait_ms_{clients}"].append(wait * 1000)

        await _with_shard(pool, journal, measure)
        for name, work in (("row_lock", _row_lock), ("single_update", _single_update)):
            if name not in best:
                best[name] = await _best(pool, work, event)
            figures[name].append(await _peer(pool, work, event, best[name]))
        await pool.run(_forget)
        await call(client.flushall)
    figures |= {f"{name}_connections": [float(count)] for name, count in best.items()}
    return figures


async def _forget(conn: Any) -> None:
    """So that the next round starts as this one did."""
    await conn.execute("TRUNCATE holds")
    await conn.execute("UPDATE venue_pools SET held = 0")
    await conn.execute("UPDATE tier_pools SET held = 0")
    await conn.execute("UPDATE tiers SET id = 'old_' || gen_random_uuid()")


async def _memory_and_recovery(pool: Pool, client: Any, journal: RedisJournal) -> dict[str, float]:
    event = await pool.run(_make_event)
    found: dict[str, float] = {}

    async def fill(shard: Shard) -> None:
        changes = {"name": "GA", "price": 2500, "capacity": 1_000_000_000}
        assert (await shard.ask(PutTier(event=event, id="tier_0", changes=changes))).ok
        gc.collect()
        before = _rss()

        async def some(count: int) -> None:
            for _ in range(count):
                await shard.ask(Reserve(event=event, hold=random_id(), lines=(("tier_0", 1),)))

        async with trio.open_nursery() as nursery:
            for _ in range(500):
                nursery.start_soon(some, RECOVERED_HOLDS // 500)
        gc.collect()
        found["bytes_per_hold"] = (_rss() - before) / RECOVERED_HOLDS

    async def look(shard: Shard) -> int:
        return shard.inventories[event].venue.held

    await _with_shard(pool, journal, fill)
    for name in ("redis", "postgres"):
        if name == "postgres":
            await call(client.flushall)
        started = time.perf_counter()
        shard = Shard(SHARD, "bench", PostgresShardStore(pool), Journaler(journal))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shard.run)
            await shard.ready.wait()
            found[f"recovery_{name}_s"] = time.perf_counter() - started
            assert await look(shard) == RECOVERED_HOLDS
            nursery.cancel_scope.cancel()
    await pool.run(_forget)
    return found


async def _main(url: str, redis_url: str) -> dict[str, Any]:
    async with open_bridge(), open_pool(url, max(PEER_CONNECTIONS)) as pool:
        client = redis.asyncio.Redis.from_url(redis_url)
        try:
            journal = RedisJournal(client)
            # Memory first: a process that has already freed some would take it from there.
            more = await _memory_and_recovery(pool, client, journal)
            figures = await _throughput(pool, client, journal)
        finally:
            await call(client.aclose)
    medians = {name: statistics.median(values) for name, values in figures.items()}
    peers = ("row_lock", "single_update")
    return {
        "holds_per_second": {name: round(medians[name]) for name in peers}
        | {f"engine, {clients} clients": round(medians[f"engine_{clients}"]) for clients in CLIENTS},
        "peers_best_connections": {name: int(medians[f"{name}_connections"]) for name in peers},
        "engine_at_128_to": {name: round(medians["engine_128"] / medians[name], 1) for name in peers},
        "engine_at_1024_to": {name: round(medians["engine_1024"] / medians[name], 1) for name in peers},
        "median_wait_ms": {str(clients): round(medians[f"wait_ms_{clients}"], 1) for clients in CLIENTS},
        "bytes_per_hold": round(more["bytes_per_hold"]),
        "recovery_100k_seconds": {
            "redis": round(more["recovery_redis_s"], 2),
            "postgres": round(more["recovery_postgres_s"], 2),
        },
        "rounds": ROUNDS,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
    }


def main() -> None:
    """Servers of its own in a temporary folder, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fm-bench-") as name:
        folder = DataFolder(Path(name))
        logs.configure()
        postgres = Postgres(folder.path / "postgres", folder.sockets(), folder.log)
        valkey = Valkey(folder.path / "valkey", folder.sockets(), folder.log)
        try:
            postgres.start()
            valkey.start()
            asyncio.run(migrations.migrate(postgres.url(OWNER)))
            # As the owner, who may empty tables between rounds.
            print(json.dumps(trio.run(_main, postgres.url(OWNER), valkey.url), indent=2))
        finally:
            valkey.child.stop()
            postgres.child.stop()
            folder.close()


if __name__ == "__main__":
    main()
