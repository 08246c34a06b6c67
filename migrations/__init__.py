"""Numbered SQL files and their runner: each applied once, in order, under a lock, and never changed afterwards.

Errors: `MigrationChanged` when an applied file reads differently now (write a new file instead).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import asyncpg

_FOLDER = Path(__file__).parent
_LOCK = 0x464D4D49  # "FMMI"


class MigrationChanged(Exception):
    """An applied migration was edited. The developer must act: restore it and add a new one."""


def files() -> list[Path]:
    """The migrations in order."""
    return sorted(_FOLDER.glob("[0-9][0-9][0-9][0-9]_*.sql"))


async def pending(conn: Any) -> list[Path]:
    """Those not applied yet; every one if the database is new."""
    known = await conn.fetchval("SELECT to_regclass('public.migrations')")
    if known is None:
        return files()
    applied = {
        row["name"]: row["checksum"] for row in await conn.fetch("SELECT name, checksum FROM migrations")
    }
    left = []
    for path in files():
        if path.name not in applied:
            left.append(path)
        elif applied[path.name] != _checksum(path):
            raise MigrationChanged(
                f"{path.name} was changed after it was applied; restore it and add a new file"
            )
    return left


async def apply(conn: Any) -> list[str]:
    """Apply what is pending, as the owner of the database. Returns the names applied. Two runners wait in line."""
    await conn.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        await conn.execute(
            "CREATE TABLE IF NOT EXISTS migrations ("
            "name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        done = []
        for path in await pending(conn):
            async with conn.transaction():
                await conn.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '10min'")
                await conn.execute(path.read_text())
                await conn.execute(
                    "INSERT INTO migrations (name, checksum) VALUES ($1, $2)", path.name, _checksum(path)
                )
            done.append(path.name)
        return done
    finally:
        await conn.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def migrate(owner_url: str) -> list[str]:
    """Connect as the owner and `apply`."""
    conn = await asyncpg.connect(owner_url)
    try:
        return await apply(conn)
    finally:
        await conn.close()


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
