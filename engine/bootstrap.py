"""The composition root: settings in, a running engine out.

`open_engine(settings, owns_shards=…)` opens the bridge, the connections and the tasks, and closes them in turn.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import redis.asyncio
import redis.exceptions
import structlog
import trio

import migrations
from engine.actions import effects, notices
from engine.actions.context import Context, Poke
from engine.adapters import inbox, metrics, ticket_keys
from engine.adapters.blocks import Blocks
from engine.adapters.bridge import Pool, call, open_bridge, open_pool
from engine.adapters.face import Health
from engine.adapters.journal import RedisJournal
from engine.adapters.limits import Limiter
from engine.adapters.link import Link, LinkServer
from engine.adapters.secrets import Secrets
from engine.adapters.shard_store import PostgresShardStore
from engine.adapters.stripe import StripePort
from engine.config import Settings
from engine.runtime.directory import Directory
from engine.runtime.journaling import Journaler
from engine.runtime.shard import Shard

log = structlog.get_logger(__name__)

SHARDS = 16
_OWNER_CONNECTIONS = 24
_CLIENT_CONNECTIONS = 8
_REDIS_CONNECTIONS = 16
_CHECK_SECONDS = 1.5


class Engine:
    """What faces and the command line are given."""

    def __init__(self, context: Context, redis_client: Any, owns_shards: bool) -> None:
        self.context = context
        self.settings = context.settings
        self.draining = False
        # Set by whoever serves: what ends its servers, and the lane.
        self.stop: trio.Event | None = None
        self.lane: Any = None
        self._redis = redis_client
        self._owns_shards = owns_shards
        self.health = Health(self._ready, self._degraded, self._metrics)

    async def wait_ready(self) -> None:
        """Until every shard we own is recovered."""
        for shard in self.context.directory.shards.values():
            while not shard.ready.is_set() and not shard.deposed:
                await shard.ready.wait()

    async def _metrics(self) -> bytes:
        lag = 0.0
        with trio.move_on_after(_CHECK_SECONDS):
            lag = await self.context.pool.run(inbox.lag_seconds)
        return metrics.render(self.context.directory.shards, self.context.limiter.degraded, lag)

    async def forget_journal(self) -> int:
        """Drop the recovery journal of every shard; how many there were."""
        return await RedisJournal(self._redis).forget(SHARDS)

    async def _ready(self) -> str | None:
        if self.draining:
            return "draining: this process is about to stop"
        wrong = await _within(lambda: self.context.pool.run(_schema_wrong), "Postgres does not answer")
        if wrong is not None:
            return wrong
        if self._owns_shards and not self.context.directory.ready:
            return "shards are recovering"
        return None

    async def _degraded(self) -> list[str]:
        wrong = await _within(lambda: call(self._ping), "redis")
        return [] if wrong is None else ["redis"]

    async def _ping(self) -> None:
        await self._redis.ping()


async def _within(check: Callable[[], Awaitable[str | None]], otherwise: str) -> str | None:
    with trio.move_on_after(_CHECK_SECONDS):
        try:
            return await check()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, redis.exceptions.RedisError):
            return otherwise
    return otherwise


async def _schema_wrong(conn: Any) -> str | None:
    waiting = await migrations.pending(conn)
    return f"migrations are waiting: {waiting[0].name}; run: fm migrate" if waiting else None


@asynccontextmanager
async def open_engine(settings: Settings, *, owns_shards: bool) -> AsyncIterator[Engine]:
    """A running engine; leaving the block stops its tasks and closes its connections."""
    async with open_bridge():
        client = redis.asyncio.Redis(
            connection_pool=redis.asyncio.BlockingConnectionPool.from_url(
                settings.redis_url,
                max_connections=_REDIS_CONNECTIONS,
                socket_timeout=5,
                socket_connect_timeout=2,
            )
        )
        size = _OWNER_CONNECTIONS if owns_shards else _CLIENT_CONNECTIONS
        try:
            async with (
                open_pool(settings.database_url, size) as pool,
                _running(settings, pool, client, owns_shards) as engine,
            ):
                yield engine
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 3):
                await call(client.aclose)


@asynccontextmanager
async def _running(settings: Settings, pool: Pool, client: Any, owns_shards: bool) -> AsyncIterator[Engine]:
    secrets = Secrets(settings.secret_key)
    signers, _public = await pool.run(ticket_keys.load, secrets)
    journaler = Journaler(RedisJournal(client))
    owner = f"{socket.gethostname()}:{os.getpid()}"
    store = PostgresShardStore(pool)
    numbers = range(SHARDS) if owns_shards else ()
    shards = [Shard(number, owner, store, journaler) for number in numbers]
    directory = Directory(shards, SHARDS, None if owns_shards else Link(client, SHARDS))
    context = Context(
        settings=settings,
        pool=pool,
        directory=directory,
        stripe=StripePort(settings.stripe_api_key, settings.stripe_api_base, settings.stripe_rate),
        limiter=Limiter(client, settings.rate_limits),
        blocks=Blocks(pool),
        secrets=secrets,
        inbox_came=Poke(),
        outbox_came=Poke(),
        now=lambda: time.time_ns() // 1000,
        signers=signers,
    )
    await context.blocks.refresh()
    engine = Engine(context, client, owns_shards)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(context.limiter.run)
        nursery.start_soon(context.blocks.run)
        if owns_shards:
            nursery.start_soon(journaler.run)
            for shard in shards:
                nursery.start_soon(shard.run)
            nursery.start_soon(_after_recovery, engine, LinkServer(client, list(numbers), directory.ask))
        yield engine
        nursery.cancel_scope.cancel()


async def _after_recovery(engine: Engine, server: LinkServer) -> None:
    await engine.wait_ready()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        nursery.start_soon(notices.drain, engine.context)
        nursery.start_soon(effects.drain, engine.context)
        nursery.start_soon(effects.reconcile, engine.context)
