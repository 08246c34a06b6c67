"""A shard on real Postgres: durable, fenced, rebuilt to the digit, from Redis' journal or without it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis.asyncio
import trio

from engine.adapters.bridge import Pool, call
from engine.adapters.journal import RedisJournal
from engine.adapters.shard_store import PostgresShardStore
from engine.core import limits
from engine.core.model import (
    Amend,
    Checkout,
    Command,
    Confirm,
    Look,
    PutPromo,
    PutTier,
    Record,
    Release,
    Reserve,
    TicketDraft,
)
from engine.core.outcomes import Code, Outcome
from engine.core.stores import BatchRows, Deposed
from engine.runtime.journaling import Journaler
from engine.runtime.shard import Shard
from tests.conftest import Servers

SHARD = 3


async def make_event(pool: Pool, capacity: int = 1000, **facts: Any) -> int:
    """A published event with its organizer; its number."""
    far = "2099-01-01T00:00:00Z"

    async def write(conn: Any) -> int:
        await conn.execute(
            "INSERT INTO organizers (id, name, email, country, payout_currency) VALUES ('org_x', 'X', 'x@x.invalid', 'DE', 'eur') ON CONFLICT DO NOTHING"
        )
        number: int = await conn.fetchval(
            f"""INSERT INTO events (id, shard, organizer, slug, name, venue, starts_at, timezone, currency, state,
                                    hold_seconds, max_per_buyer, fee, refund_policy)
                VALUES ('evt_' || gen_random_uuid(), {SHARD}, 'org_x', gen_random_uuid()::text, 'Show', $1,
                        '{far}', 'UTC', 'eur', 'published', 600, $2, $3, $4) RETURNING number""",
            {"name": "Hall"},
            facts.get("max_per_buyer"),
            {},
            {"kind": "none"},
        )
        await conn.execute("INSERT INTO venue_pools (event, capacity) VALUES ($1, $2)", number, capacity)
        return number

    return await pool.transaction(write)


@asynccontextmanager
async def open_shard(pool: Pool, journal: RedisJournal | None = None) -> AsyncIterator[Shard]:
    journaler = Journaler(journal) if journal is not None else None
    shard = Shard(SHARD, "test", PostgresShardStore(pool), journaler)
    async with trio.open_nursery() as nursery:
        if journaler is not None:
            nursery.start_soon(journaler.run)
        nursery.start_soon(shard.run)
        await shard.ready.wait()
        yield shard
        nursery.cancel_scope.cancel()


def tier(event: int, capacity: int = 100, name: str = "tier_a", price: int = 2500) -> PutTier:
    return PutTier(event=event, id=name, changes={"name": "GA", "price": price, "capacity": capacity})


def reserve(event: int, hold: int, quantity: int = 1, **more: Any) -> Reserve:
    return Reserve(event=event, hold=hold, lines=(("tier_a", quantity),), **more)


async def ask_all(shard: Shard, commands: list[Command]) -> list[Outcome]:
    outcomes: dict[int, Outcome] = {}

    async def ask(at: int) -> None:
        outcomes[at] = await shard.ask(commands[at])

    async with trio.open_nursery() as nursery:
        for at in range(len(commands)):
            nursery.start_soon(ask, at)
    return [outcomes[at] for at in range(len(commands))]


async def counts(pool: Pool, event: int) -> tuple[int, ...]:
    async def read(conn: Any) -> Any:
        return await conn.fetchrow(
            "SELECT held, in_checkout, sold, comped FROM venue_pools WHERE event = $1", event
        )

    return tuple(await pool.run(read))


async def test_a_crowd_leaves_exactly_the_capacity_in_storage(pool: Pool) -> None:
    event = await make_event(pool)
    async with open_shard(pool) as shard:
        assert (await shard.ask(tier(event))).ok
        outcomes = await ask_all(shard, [reserve(event, n) for n in range(1, 1001)])
        assert sum(outcome.ok for outcome in outcomes) == 100
        assert {o.code for o in outcomes if not o.ok} == {Code.SOLD_OUT}
    assert await counts(pool, event) == (100, 0, 0, 0)


async def test_storage_refuses_what_a_broken_engine_would_oversell(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: with the look at the pool switched off, Postgres' check stands behind it."""
    event = await make_event(pool)
    async with open_shard(pool) as shard:
        assert (await shard.ask(tier(event, capacity=10))).ok
        monkeypatch.setattr("engine.core.reserving._refuse_places", lambda *_: None)
        outcomes = await ask_all(shard, [reserve(event, n) for n in range(1, 13)])
        assert sum(outcome.ok for outcome in outcomes) == 10
    assert await counts(pool, event) == (10, 0, 0, 0)


async def test_everything_about_a_hold_survives_a_restart(pool: Pool) -> None:
    event = await make_event(pool, max_per_buyer=5)
    async with open_shard(pool) as shard:
        assert (await shard.ask(tier(event))).ok
        promo = {"code": "TEN", "percent_bps": 1000, "max_uses": 1}
        assert (await shard.ask(PutPromo(event=event, id="promo_x", changes=promo))).ok
        made = await shard.ask(
            reserve(event, 2**127 + 5, 2, key=2**128 - 1, body=7, promo="TEN", owners=(9,))
        )
        assert (await shard.ask(Amend(event=event, hold=made.value.id, lines=(("tier_a", 3),)))).ok
        expires, quote = made.value.expires, made.value.basket.quote
    async with open_shard(pool) as shard:
        hold = (await shard.ask(Look(event=event, hold=2**127 + 5))).value
        assert (hold.expires, hold.basket.quote, hold.basket.places) == (expires, quote, 3)
        replay = await shard.ask(reserve(event, 1, 2, key=2**128 - 1, body=7, promo="TEN", owners=(9,)))
        assert replay.replayed and replay.value.id == 2**127 + 5
        assert (await shard.ask(reserve(event, 2, promo="TEN"))).code is Code.PROMO_EXHAUSTED
        assert (await shard.ask(reserve(event, 3, 3, owners=(9,)))).code is Code.LIMIT_REACHED
        shard.inventories[event].check()


async def test_a_sale_writes_order_tickets_and_outbox_with_the_counts(pool: Pool) -> None:
    event = await make_event(pool)
    async with open_shard(pool) as shard:
        await shard.ask(tier(event))
        await shard.ask(reserve(event, 1, 2))
        owed = {
            "kind": "create_payment",
            "key": "pay:x",
            "payload": {},
            "run_at": "2026-01-01T00:00:00Z",
            "attempts": 0,
            "created_at": "2026-01-01T00:00:00Z",
        }
        checkout = Checkout(
            event=event,
            hold=1,
            order="ord_x",
            email=1,
            records=(Record("insert outbox", owed),),
            paid_records=(),
            tickets=(),
        )
        assert (await shard.ask(checkout)).ok
        assert await counts(pool, event) == (0, 2, 0, 0)
        drafts = tuple(TicketDraft(f"tkt_{n}", 1, None, {"face": 2500}) for n in range(2))
        confirm = Confirm(
            event=event, hold=1, order="ord_x", tickets=drafts, records=(), late_records=(), seen_records=()
        )
        outcomes = await ask_all(shard, [confirm] * 10)
        assert all(o.ok for o in outcomes) and sum(not o.replayed for o in outcomes) == 1
    assert await counts(pool, event) == (0, 0, 2, 0)

    async def read(conn: Any) -> Any:
        return await conn.fetch("SELECT number, status FROM tickets ORDER BY number")

    assert [tuple(row) for row in await pool.run(read)] == [(1, "valid"), (2, "valid")]


async def test_a_deposed_owner_writes_nothing(pool: Pool) -> None:
    event = await make_event(pool)
    store = PostgresShardStore(pool)
    first = await store.take(SHARD, "first")
    second = await store.take(SHARD, "second")
    assert second.epoch == first.epoch + 1
    empty = BatchRows(SHARD, first.epoch, first.last_seq + 1, [], [], [], [], [], [], [], [], [])
    with pytest.raises(Deposed):
        await store.write(empty)
    with pytest.raises(Deposed):
        await store.renew(SHARD, first.epoch)
    assert await counts(pool, event) == (0, 0, 0, 0)


async def test_a_second_owner_waits_for_a_batch_that_is_being_written(pool: Pool) -> None:
    """The fence row is locked by a batch in flight; a take-over sees it whole or not at all."""
    event = await make_event(pool)
    store = PostgresShardStore(pool)
    taken = await store.take(SHARD, "first")
    seen: list[int] = []

    async def slow(conn: Any) -> None:
        await conn.fetchval(
            "UPDATE shard_owner SET last_seq = last_seq + 1 WHERE shard = $1 AND epoch = $2 RETURNING 1",
            SHARD,
            taken.epoch,
        )
        await conn.execute("UPDATE venue_pools SET held = 5 WHERE event = $1", event)
        await conn.execute("SELECT pg_sleep(0.2)")

    async def take_over() -> None:
        await trio.sleep(0.05)
        again = await store.take(SHARD, "second")
        assert again.last_seq == taken.last_seq + 1
        seen.append((await counts(pool, event))[0])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.transaction, slow)
        nursery.start_soon(take_over)
    assert seen == [5]


@asynccontextmanager
async def open_redis(servers: Servers) -> AsyncIterator[Any]:
    client = redis.asyncio.Redis.from_url(servers.valkey_url)
    try:
        await call(client.flushall)
        yield client
    finally:
        await call(client.aclose)


async def _journalled(client: Any, batches: int) -> None:
    """Until the journal behind the commits has caught up."""
    with trio.fail_after(5):
        while await call(client.llen, f"fm:journal:{SHARD}") < batches:  # noqa: ASYNC110
            await trio.sleep(0.01)


@pytest.mark.parametrize("damage", ["none", "flushed", "gap", "lying", "garbage", "ahead"])
async def test_recovery_believes_the_journal_only_as_far_as_postgres_confirms(
    servers: Servers, pool: Pool, damage: str
) -> None:
    event = await make_event(pool)
    async with open_redis(servers) as client:
        journal = RedisJournal(client)
        async with open_shard(pool, journal) as shard:
            await shard.ask(tier(event))
            for number in range(1, 21):
                assert (await shard.ask(reserve(event, number, key=number))).ok
            assert (await shard.ask(Release(event=event, hold=7))).ok
            await _journalled(client, 21)
        key = f"fm:journal:{SHARD}"
        if damage == "flushed":
            await call(client.flushall)
        elif damage == "gap":
            await call(client.lset, key, 5, b"gone")
        elif damage == "lying":
            await call(client.lrem, key, 1, await call(client.lindex, key, 10))
        elif damage == "garbage":
            await call(client.set, f"fm:snapshot:{SHARD}", b"\xff\x00nonsense")
        elif damage == "ahead":
            await call(client.rpush, key, await call(client.lindex, key, -1))
        async with open_shard(pool, journal) as shard:
            inventory = shard.inventories[event]
            inventory.check()
            assert inventory.venue.held == 19
            assert sorted(inventory.holds) == [n for n in range(1, 21) if n != 7]
            assert (await shard.ask(reserve(event, 99, key=3))).value.id == 3


async def test_redis_gone_costs_nothing_but_the_journal(pool: Pool) -> None:
    client = redis.asyncio.Redis(unix_socket_path="/nonexistent/valkey.sock", socket_connect_timeout=0.2)
    try:
        event = await make_event(pool)
        async with open_shard(pool, RedisJournal(client)) as shard:
            await shard.ask(tier(event))
            assert (await shard.ask(reserve(event, 1))).ok
        async with open_shard(pool, RedisJournal(client)) as shard:
            assert shard.inventories[event].venue.held == 1
    finally:
        await call(client.aclose)


async def test_an_unknown_hold_of_long_ago_is_found_in_storage(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FINISHED_HOLDS", 1)
    event = await make_event(pool)
    async with open_shard(pool) as shard:
        await shard.ask(tier(event))
        for number in (1, 2, 3):
            await shard.ask(reserve(event, number, key=number, body=1))
            await shard.ask(Release(event=event, hold=number))
        assert 1 not in shard.inventories[event].holds
        assert (await shard.ask(Look(event=event, hold=1))).ok
        assert (await shard.ask(reserve(event, 9, key=2, body=1))).value.id == 2
        assert (await shard.ask(Look(event=event, hold=77))).code is Code.UNKNOWN_HOLD


async def test_a_journal_can_be_forgotten(servers: Servers, pool: Pool) -> None:
    event = await make_event(pool)
    async with open_redis(servers) as client:
        journal = RedisJournal(client)
        async with open_shard(pool, journal) as shard:
            await shard.ask(tier(event))
            await _journalled(client, 1)
        assert await journal.forget(16) == 1
        assert await journal.read(SHARD, 99) is None
