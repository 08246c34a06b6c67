"""The local Stripe for one test: a database of its own, the program, and a shop that takes its webhooks."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from engine.embedded.postgres import OWNER
from tests.conftest import Servers
from tests.embedded.stripe_program import Program, Shop

_numbers = itertools.count()


async def _execute(url: str, statement: str) -> None:
    conn = await asyncpg.connect(url)
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


@pytest.fixture
def local_stripe_database(servers: Servers) -> Iterator[str]:
    """The URL of a fresh, empty database."""
    name = f"local_stripe_{next(_numbers)}"
    asyncio.run(_execute(servers.url("postgres", OWNER), f"CREATE DATABASE {name}"))
    yield servers.url(name, OWNER)
    asyncio.run(_execute(servers.url("postgres", OWNER), f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Where the webhooks go."""
    made = Shop()
    yield made
    made.close()


@pytest.fixture
def local(local_stripe_database: str, tmp_path: Path, shop: Shop) -> Iterator[Program]:
    """The running program; its balance is in US dollars."""
    made = Program(local_stripe_database, tmp_path, shop.url, "usd")
    try:
        made.faults(balance_transaction_delay_ms=50)
        yield made
    finally:
        made.stop()
