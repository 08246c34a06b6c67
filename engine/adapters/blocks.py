"""Blocked buyers and addresses, looked up in memory and refreshed from storage.

Why in memory: a look-up goes before every hold. Whoever adds a block calls `refresh`; other processes follow within seconds.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from typing import Any

import msgspec
import structlog
import trio

from engine.adapters import records
from engine.adapters.bridge import Pool
from engine.adapters.times import rfc3339_or_none
from engine.core.model import Record

log = structlog.get_logger(__name__)

_REFRESH_SECONDS = 5.0


class _Block(msgspec.Struct, frozen=True):
    organizer: str | None
    until: float | None  # seconds since 1970


class Blocks:
    """`run` it in a nursery."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._exact: dict[tuple[str, str], list[_Block]] = {}
        self._networks: list[tuple[Any, _Block]] = []

    async def run(self) -> None:
        while True:
            await trio.sleep(_REFRESH_SECONDS)
            try:
                await self.refresh()
            except Exception as error:
                # Whatever keeps us from reading them, those we know stay in force.
                log.warning("blocks.unreadable", reason=repr(error))

    async def refresh(self) -> None:
        """Read all blocks in force."""
        rows = await self._pool.run(_read)
        exact: dict[tuple[str, str], list[_Block]] = {}
        networks = []
        for row in rows:
            block = _Block(row["organizer"], row["until"])
            if row["kind"] == "ip":
                networks.append((ipaddress.ip_network(row["value"], strict=False), block))
            else:
                exact.setdefault((row["kind"], row["value"]), []).append(block)
        self._exact, self._networks = exact, networks

    def blocked(self, organizer: str, now: int, **values: str | None) -> bool:
        """Whether any of `kind=value` is blocked for this organizer's events. E-mails come normalised."""
        seconds = now / 1_000_000
        for kind, value in values.items():
            if value is None:
                continue
            if kind == "ip":
                if self._networks and self._address_blocked(value, organizer, seconds):
                    return True
            elif any(_applies(b, organizer, seconds) for b in self._exact.get((kind, value), ())):
                return True
        return False

    def _address_blocked(self, address: str, organizer: str, seconds: float) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(
            parsed.version == network.version and parsed in network and _applies(block, organizer, seconds)
            for network, block in self._networks
        )


def _applies(block: _Block, organizer: str, seconds: float) -> bool:
    return block.organizer in (None, organizer) and (block.until is None or block.until > seconds)


async def _read(conn: Any) -> list[Any]:
    found: list[Any] = await conn.fetch(
        """SELECT kind, value, organizer, extract(epoch FROM until)::float8 AS until FROM blocks
           WHERE until IS NULL OR until > now()"""
    )
    return found


def normalise_email(email: str) -> str:
    """One spelling for one mailbox: case, Unicode form, dots and plus parts where the provider ignores them."""
    local, _, domain = unicodedata.normalize("NFKC", email).strip().casefold().rpartition("@")
    local = local.partition("+")[0]
    if domain in ("gmail.com", "googlemail.com"):
        local, domain = local.replace(".", ""), "gmail.com"
    return f"{local}@{domain}"


async def insert(conn: Any, row: dict[str, Any], audit: Record) -> None:
    """A block, once per id."""
    known = await conn.fetchval("SELECT true FROM blocks WHERE id = $1", row["id"])
    if not known:
        await records.write(conn, [Record("insert blocks", row), audit])


async def listed(conn: Any, organizer: str | None) -> list[dict[str, Any]]:
    """All blocks, or one organizer's own, newest first."""
    rows = await conn.fetch(
        "SELECT * FROM blocks WHERE $1::text IS NULL OR organizer = $1 ORDER BY created_at DESC, id LIMIT 1000",
        organizer,
    )
    return [
        {
            "id": row["id"],
            "organizer": row["organizer"],
            "kind": row["kind"],
            "value": row["value"],
            "reason": row["reason"],
            "until": rfc3339_or_none(row["until"]),
            "created_at": rfc3339_or_none(row["created_at"]),
        }
        for row in rows
    ]


async def delete(conn: Any, block: str, organizer: str | None, audit: Record) -> bool:
    """Whether there was one."""
    gone = await conn.fetchval(
        "DELETE FROM blocks WHERE id = $1 AND ($2::text IS NULL OR organizer = $2) RETURNING true",
        block,
        organizer,
    )
    if gone:
        await records.write(conn, [audit])
    return bool(gone)
