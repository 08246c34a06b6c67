"""Real Postgres and Valkey for the whole run, one fresh database for each test that asks."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
import trio

import migrations
from engine.adapters import logs
from engine.adapters.bridge import Pool, open_bridge, open_pool
from engine.embedded.folder import DataFolder
from engine.embedded.postgres import OWNER, Postgres
from engine.embedded.valkey import Valkey

_numbers = itertools.count()


class Servers:
    """Where they listen."""

    def __init__(self, sockets: Path, valkey_url: str) -> None:
        self.sockets = sockets
        self.valkey_url = valkey_url

    def url(self, database: str, role: str = "fm_app") -> str:
        return f"postgresql://{role}@/{database}?host={quote(str(self.sockets), safe='')}"


@pytest.fixture(scope="session", autouse=True)
def _quiet_logs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Log lines of code under test are nobody's business but a failing test's."""
    logs.configure()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Both servers, with a migrated template database."""
    folder = DataFolder(tmp_path_factory.mktemp("servers"))
    postgres = Postgres(folder.path / "postgres", folder.sockets(), folder.log)
    valkey = Valkey(folder.path / "valkey", folder.sockets(), folder.log)
    try:
        postgres.start()
        valkey.start()
        asyncio.run(migrations.migrate(postgres.url(OWNER)))
        yield Servers(folder.sockets(), valkey.url)
    finally:
        valkey.child.stop()
        postgres.child.stop()
        folder.close()


async def _execute(url: str, statement: str) -> None:
    conn = await asyncpg.connect(url)
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


@pytest.fixture
def database(servers: Servers) -> Iterator[str]:
    """The name of a fresh, migrated database."""
    name = f"test_{next(_numbers)}"
    asyncio.run(_execute(servers.url("postgres", OWNER), f"CREATE DATABASE {name} TEMPLATE force_majeure"))
    yield name
    asyncio.run(_execute(servers.url("postgres", OWNER), f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def pool(servers: Servers, database: str) -> AsyncIterator[Pool]:
    """Connections of the application's role to the fresh database."""
    async with open_bridge(), open_pool(servers.url(database), 6) as found:
        yield found


def kill_hard(process: subprocess.Popen[Any]) -> None:
    """As an out-of-memory killer would."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


async def until(condition: Any, seconds: float = 20.0) -> Any:
    """The first true answer of `condition` (sync or async), asked again and again. Raises trio.TooSlowError."""
    with trio.fail_after(seconds):
        while True:
            answer = condition()
            if hasattr(answer, "__await__"):
                answer = await answer
            if answer:
                return answer
            await trio.sleep(0.02)
