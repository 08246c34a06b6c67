"""Everything the local Stripe keeps, in one Postgres database: objects as JSON, jobs to do, deliveries to make.

Promises: a restart goes on with every job and delivery that was committed.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import msgspec

from engine.embedded.stripe.errors import bad_parameter, missing
from engine.embedded.stripe.forms import Params, integer, text

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    id text PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    created bigint NOT NULL,
    data json NOT NULL,
    private json NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS objects_kind ON objects (kind, seq);
CREATE INDEX IF NOT EXISTS objects_payment_intent ON objects ((data->>'payment_intent'), kind, seq);
CREATE INDEX IF NOT EXISTS objects_charge ON objects ((data->>'charge'), kind, seq);
CREATE INDEX IF NOT EXISTS objects_source ON objects ((data->>'source'), kind, seq);
CREATE TABLE IF NOT EXISTS jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    due_at double precision NOT NULL,
    kind text NOT NULL,
    object text NOT NULL
);
CREATE INDEX IF NOT EXISTS jobs_due ON jobs (due_at);
CREATE TABLE IF NOT EXISTS deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event text NOT NULL,
    due_at double precision NOT NULL,
    begun_at double precision NOT NULL,
    attempts integer NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (due_at);
CREATE INDEX IF NOT EXISTS deliveries_event ON deliveries (event);
CREATE TABLE IF NOT EXISTS idempotency (
    key text PRIMARY KEY,
    path text NOT NULL,
    params text NOT NULL,
    status integer NOT NULL,
    body bytea NOT NULL,
    request text NOT NULL,
    created double precision NOT NULL
);
CREATE TABLE IF NOT EXISTS requests (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at double precision NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    params json NOT NULL,
    idempotency_key text,
    status integer NOT NULL
);
CREATE TABLE IF NOT EXISTS faults (one boolean PRIMARY KEY DEFAULT true CHECK (one), document json NOT NULL);
"""

_ALPHABET = string.ascii_letters + string.digits

PREFIXES = {
    "payment_intent": "pi",
    "payment_method": "pm",
    "charge": "ch",
    "refund": "re",
    "balance_transaction": "txn",
    "event": "evt",
    "account": "acct",
    "transfer": "tr",
    "transfer_reversal": "trr",
}
_KINDS = {prefix: kind for kind, prefix in PREFIXES.items()}


@dataclass
class Stored:
    """An object as the API shows it, and what only this program knows about it."""

    data: dict[str, Any]
    private: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        found: str = self.data["id"]
        return found


async def prepare_connection(conn: asyncpg.Connection) -> None:
    """JSON columns as Python values."""
    await conn.set_type_codec(
        "json",
        schema="pg_catalog",
        encoder=lambda value: msgspec.json.encode(value).decode(),
        decoder=msgspec.json.decode,
    )


async def make_schema(conn: asyncpg.Connection) -> None:
    """Make what is not there yet. Two programs starting at once wait for each other."""
    async with conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock(7203411)")
        await conn.execute(_SCHEMA)


def random_text(chars: int = 24) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(chars))


def new_id(kind: str) -> str:
    return f"{PREFIXES[kind]}_{random_text()}"


async def insert(conn: asyncpg.Connection, stored: Stored) -> None:
    await conn.execute(
        "INSERT INTO objects (id, kind, created, data, private) VALUES ($1, $2, $3, $4, $5)",
        stored.id,
        stored.data["object"],
        stored.data["created"],
        stored.data,
        stored.private,
    )


async def save(conn: asyncpg.Connection, stored: Stored) -> None:
    """Write an object that this transaction has locked."""
    await conn.execute(
        "UPDATE objects SET data = $2, private = $3 WHERE id = $1", stored.id, stored.data, stored.private
    )


async def fetch(
    conn: asyncpg.Connection, kind: str, id: str, *, lock: bool = False, param: str = "id"
) -> Stored:
    """The object; with `lock` nobody else changes it before this transaction ends. Raises StripeError (404)."""
    row = await conn.fetchrow(
        "SELECT data, private FROM objects WHERE id = $1 AND kind = $2" + (" FOR UPDATE" if lock else ""),
        id,
        kind,
    )
    if row is None:
        raise missing(kind, id[:100], param)
    return Stored(row["data"], row["private"])


async def listing(
    conn: asyncpg.Connection, kind: str, params: Params, url: str, **equal: str | Iterable[str] | None
) -> dict[str, Any]:
    """A page, newest first, as Stripe's list object. `equal` filters by fields; None means any value."""
    limit = integer(params, "limit")
    limit = 10 if limit is None else limit
    if not 1 <= limit <= 100:
        raise bad_parameter(
            "Invalid integer: must be between 1 and 100", "limit", "parameter_invalid_integer"
        )
    wheres, values = ["kind = $1"], [kind]
    args: list[Any] = list(values)

    def where(condition: str, value: Any) -> None:
        args.append(value)
        wheres.append(condition.format(f"${len(args)}"))

    for name, value in equal.items():
        if isinstance(value, str):
            where(f"data->>'{name}' = {{}}", value)
        elif value is not None:
            where(f"data->>'{name}' = ANY({{}}::text[])", list(value))
    for sign, bound in _created(params):
        where(f"created {sign} {{}}", bound)
    backwards = text(params, "ending_before")
    for name, sign in (("starting_after", "<"), ("ending_before", ">")):
        cursor = text(params, name)
        if cursor is not None:
            seq = await conn.fetchval("SELECT seq FROM objects WHERE id = $1 AND kind = $2", cursor, kind)
            if seq is None:
                raise missing(kind, cursor[:100], name)
            where(f"seq {sign} {{}}", seq)
    order = "ASC" if backwards else "DESC"
    rows = await conn.fetch(
        f"SELECT data FROM objects WHERE {' AND '.join(wheres)} ORDER BY seq {order} LIMIT {limit + 1}", *args
    )
    data = [row["data"] for row in rows[:limit]]
    if backwards:
        data.reverse()
    return {"object": "list", "data": data, "has_more": len(rows) > limit, "url": url}


def _created(params: Params) -> list[tuple[str, int]]:
    given = params.get("created")
    if given is None:
        return []
    if isinstance(given, str):
        given = {"": given}
    signs = {"": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
    bounds = []
    for name in given:
        bound = integer(given, name)
        if name not in signs or bound is None:
            raise bad_parameter("Invalid created filter", "created")
        bounds.append((signs[name], bound))
    return bounds


async def schedule(conn: asyncpg.Connection, kind: str, id: str, due_at: float) -> None:
    """Have a job done after `due_at` (seconds)."""
    await conn.execute("INSERT INTO jobs (due_at, kind, object) VALUES ($1, $2, $3)", due_at, kind, id)


async def expand(conn: asyncpg.Connection, objects: list[dict[str, Any]], path: list[str]) -> None:
    """Replace ids at `path` by the objects they name, for all objects at once."""
    if not path or not objects:
        return
    name, rest = path[0], path[1:]
    holders = [one for one in objects if one.get(name) is not None]
    if any(name not in one for one in objects):
        raise bad_parameter(f"This property cannot be expanded ({name}).", "expand")
    ids = [one[name] for one in holders if isinstance(one[name], str)]
    if any(id.split("_")[0] not in _KINDS for id in ids):
        raise bad_parameter(f"This property cannot be expanded ({name}).", "expand")
    rows = await conn.fetch("SELECT id, data FROM objects WHERE id = ANY($1::text[])", ids)
    found = {row["id"]: row["data"] for row in rows}
    for one in holders:
        if isinstance(one[name], str) and one[name] in found:
            one[name] = found[one[name]]
    await expand(conn, [one[name] for one in holders if isinstance(one[name], dict)], rest)
