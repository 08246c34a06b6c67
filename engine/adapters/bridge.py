"""The one place where trio meets asyncio: asyncpg and redis-py run on a trio-asyncio loop behind it.

Promises: a cancelled caller leaves the connection pool whole (acquire, transaction and release live inside one
asyncio function, so cancellation rolls back before the connection returns).
Why: neither driver runs on bare trio. Functions over a connection are therefore asyncio-coloured
(`async def f(conn, …)`) and enter here through `Pool.run` or `Pool.transaction`, one hop for the whole piece of work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import asyncpg
import msgspec
import structlog
import trio_asyncio

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_bridge() -> AsyncIterator[None]:
    """Open the asyncio loop for everything inside. Once per `trio.run`, outside any server's nursery."""
    async with trio_asyncio.open_loop() as loop:
        # The default handler crashes the loop, and with it every task waiting in it, when a cancelled
        # connect leaves an unretrieved error.
        loop.set_exception_handler(
            lambda _loop, context: log.warning(
                "bridge.unhandled", message=context.get("message"), error=repr(context.get("exception"))
            )
        )
        yield


async def call(fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run one asyncio function from trio. Cancellation cancels it and waits until it has ended."""
    result: T = await trio_asyncio.aio_as_trio(fn)(*args, **kwargs)
    return result


async def _prepare_connection(conn: asyncpg.Connection) -> None:
    for name in ("json", "jsonb"):
        await conn.set_type_codec(
            name,
            schema="pg_catalog",
            encoder=lambda value: msgspec.json.encode(value).decode(),
            decoder=msgspec.json.decode,
        )


class Pool:
    """A fixed-size pool of Postgres connections, used from trio."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def run(
        self,
        fn: Callable[Concatenate[asyncpg.Connection, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """`fn(conn, …)` outside a transaction. Raises what asyncpg raises."""

        async def inside() -> T:
            async with self._pool.acquire() as conn:
                return await fn(conn, *args, **kwargs)

        return await call(inside)

    async def transaction(
        self,
        fn: Callable[Concatenate[asyncpg.Connection, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """`fn(conn, …)` in one transaction: committed when it returns, rolled back when it raises or is cancelled."""

        async def inside() -> T:
            async with self._pool.acquire() as conn, conn.transaction():
                return await fn(conn, *args, **kwargs)

        return await call(inside)


@asynccontextmanager
async def open_pool(database_url: str, size: int, **settings: Any) -> AsyncIterator[Pool]:
    """A pool of exactly `size` connections (growing and shrinking pools leave cancelled connects behind)."""
    pool = await call(
        asyncpg.create_pool,
        database_url,
        min_size=size,
        max_size=size,
        init=_prepare_connection,
        max_inactive_connection_lifetime=0,
        **settings,
    )
    try:
        yield Pool(pool)
    finally:
        await call(_close_pool, pool)


async def _close_pool(pool: asyncpg.Pool) -> None:
    import asyncio

    try:
        await asyncio.wait_for(pool.close(), timeout=2)
    except TimeoutError:
        pool.terminate()
