"""A shard's storage on Postgres: one round trip for a batch of reservations, one transaction for everything in it.

Promises: the fence row is touched first in every batch, so that a deposed owner writes nothing.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from engine.adapters import catalog_rows, records
from engine.adapters.bridge import Pool
from engine.core import limits
from engine.core.inventory import Inventory
from engine.core.model import Command
from engine.core.stores import BadData, BatchRows, Deposed, HoldRow, StoreDown, Taken

_WRITE_BATCH = "SELECT write_batch({})".format(", ".join(f"${n}" for n in range(1, 31)))

_HOLD_COLUMNS = """event, id, basket, state,
    (extract(epoch FROM created_at) * 1000000)::bigint AS created,
    (extract(epoch FROM expires_at) * 1000000)::bigint AS expires,
    key, body, order_id, owners"""

# What says that the world failed, not our rows.
_DOWN = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.exceptions.PostgresSystemError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    TimeoutError,
)


class PostgresShardStore:
    """Implements `engine.core.stores.ShardStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def take(self, shard: int, owner: str) -> Taken:
        row = await self._guard(_take, shard, owner)
        return Taken(row["epoch"], row["last_seq"], row["now"])

    async def renew(self, shard: int, epoch: int) -> None:
        if await self._guard(_renew, shard, epoch) is None:
            raise Deposed(f"shard {shard} is no longer of epoch {epoch}")

    async def load_catalog(self, shard: int) -> list[Inventory]:
        return await self._guard(catalog_rows.load, shard, None)

    async def load_event(self, number: int) -> Inventory | None:
        found = await self._guard(catalog_rows.load, None, number)
        return found[0] if found else None

    async def load_holds(self, shard: int, after_seq: int | None) -> list[HoldRow]:
        return await self._guard(_load_holds, shard, after_seq)

    async def load_buyers(self, events: list[int]) -> list[tuple[int, int, int]]:
        return await self._guard(_load_buyers, events)

    async def find_holds(self, ids: list[int], keys: list[int]) -> list[HoldRow]:
        return await self._guard(_find_holds, ids, keys)

    async def write(self, rows: BatchRows) -> None:
        try:
            # Reservations alone are one statement, and one statement is one transaction.
            if (
                rows.records
                or rows.baskets
                or rows.tickets
                or rows.catalog
                or rows.overdue
                or rows.promos
                or rows.withheld
            ):
                await self._pool.transaction(_write_all, rows)
            else:
                await self._pool.run(_write_fenced, rows)
        except _DOWN as error:
            raise StoreDown(repr(error)) from error
        except asyncpg.PostgresError as error:
            if error.sqlstate == "FM001":
                raise Deposed(str(error)) from error
            if error.sqlstate == "FM002":
                raise StoreDown(str(error)) from error
            raise BadData(repr(error)) from error
        except (ValueError, TypeError, OverflowError, msgspec.MsgspecError, asyncpg.DataError) as error:
            raise BadData(repr(error)) from error

    async def park(self, shard: int, command: Command, reason: str) -> None:
        await self._guard(_park, shard, command, reason)

    async def _guard(self, fn: Any, *args: Any) -> Any:
        try:
            return await self._pool.run(fn, *args)
        except (asyncpg.PostgresError, *_DOWN) as error:
            raise StoreDown(repr(error)) from error


async def _take(conn: Any, shard: int, owner: str) -> Any:
    return await conn.fetchrow(
        """UPDATE shard_owner SET epoch = epoch + 1, owner = $2,
                  lease_until = clock_timestamp() + $3 * interval '1 second'
           WHERE shard = $1
           RETURNING epoch, last_seq, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now""",
        shard,
        owner,
        limits.LEASE_SECONDS,
    )


async def _renew(conn: Any, shard: int, epoch: int) -> Any:
    return await conn.fetchval(
        """UPDATE shard_owner SET lease_until = clock_timestamp() + $3 * interval '1 second'
           WHERE shard = $1 AND epoch = $2 RETURNING epoch""",
        shard,
        epoch,
        limits.LEASE_SECONDS,
    )


async def _load_holds(conn: Any, shard: int, after_seq: int | None) -> list[HoldRow]:
    which = "state <= 2" if after_seq is None else "seq > $2"
    args = (shard,) if after_seq is None else (shard, after_seq)
    rows = await conn.fetch(
        f"""SELECT {_HOLD_COLUMNS} FROM holds
            WHERE event IN (SELECT number FROM events WHERE shard = $1) AND {which}""",
        *args,
    )
    return [_hold_row(row) for row in rows]


async def _find_holds(conn: Any, ids: list[int], keys: list[int]) -> list[HoldRow]:
    rows = await conn.fetch(
        f"SELECT {_HOLD_COLUMNS} FROM holds WHERE id = ANY($1::uuid[]) OR key = ANY($2::uuid[])",
        [UUID(int=one) for one in ids],
        [UUID(int=one) for one in keys],
    )
    return [_hold_row(row) for row in rows]


async def _load_buyers(conn: Any, events: list[int]) -> list[tuple[int, int, int]]:
    rows = await conn.fetch(
        """SELECT h.event, owner, sum((SELECT sum((l ->> 1)::bigint) FROM jsonb_array_elements(b.lines) AS l)) AS places
           FROM holds h JOIN baskets b ON b.event = h.event AND b.number = h.basket, unnest(h.owners) AS owner
           WHERE h.event = ANY($1::int[]) AND h.state <= 3 GROUP BY 1, 2""",
        events,
    )
    return [(row["event"], row["owner"].int, int(row["places"])) for row in rows]


def _hold_row(row: Any) -> HoldRow:
    key, owners = row["key"], row["owners"]
    return HoldRow(
        row["event"],
        row["id"].int,
        row["basket"],
        row["state"],
        row["created"],
        row["expires"],
        None if key is None else key.int,
        row["body"],
        row["order_id"],
        None if owners is None else tuple(owner.int for owner in owners),
    )


def _owners(row: HoldRow) -> str | None:
    return None if row.owners is None else "{" + ",".join(str(UUID(int=owner)) for owner in row.owners) + "}"


async def _write_fenced(conn: Any, rows: BatchRows) -> None:
    made, moved = rows.made, rows.moved
    tiers = [pool for pool in rows.pools if pool.tier]
    venues = [pool for pool in rows.pools if not pool.tier]
    await conn.fetchval(
        _WRITE_BATCH,
        rows.shard,
        rows.epoch,
        rows.seq,
        [UUID(int=row.id) for row in made],
        [row.event for row in made],
        [row.basket for row in made],
        [row.created for row in made],
        [row.expires for row in made],
        [None if row.key is None else UUID(int=row.key) for row in made],
        [row.body for row in made],
        [row.state for row in made],
        [row.order for row in made],
        [_owners(row) for row in made],
        [UUID(int=row.id) for row in moved],
        [row.state for row in moved],
        [row.basket for row in moved],
        [row.order for row in moved],
        [_owners(row) for row in moved],
        [pool.event for pool in tiers],
        [pool.tier for pool in tiers],
        [pool.held for pool in tiers],
        [pool.in_checkout for pool in tiers],
        [pool.sold for pool in tiers],
        [pool.comped for pool in tiers],
        [pool.event for pool in venues],
        [pool.held for pool in venues],
        [pool.in_checkout for pool in venues],
        [pool.sold for pool in venues],
        [pool.comped for pool in venues],
        [pool.next_ticket for pool in venues],
    )


async def _write_all(conn: Any, rows: BatchRows) -> None:
    if rows.catalog:
        # The fence must come first in every batch; catalog rows must exist before pools refer to them.
        await conn.execute("SELECT FROM shard_owner WHERE shard = $1 FOR UPDATE", rows.shard)
        await catalog_rows.write(conn, rows.catalog)
    await _write_fenced(conn, rows)
    if rows.withheld:
        # After the counts: a place that is still sold cannot be withheld as well.
        await catalog_rows.write_withheld(conn, rows.withheld)
    if rows.baskets:
        await catalog_rows.write_baskets(conn, rows.baskets)
    if rows.promos:
        await catalog_rows.write_promo_uses(conn, rows.promos)
    if rows.tickets:
        await records.write_tickets(conn, rows.tickets)
    if rows.overdue:
        await records.write_overdue(conn, rows.shard, rows.overdue)
    await records.write(conn, rows.records)


async def _park(conn: Any, shard: int, command: Command, reason: str) -> None:
    await conn.execute(
        "INSERT INTO operator_tasks (kind, subject, detail) VALUES ('parked_command', gen_random_uuid()::text, $1)",
        {"shard": shard, "command": type(command).__name__, "event": command.event, "reason": reason},
    )
