"""The same request under the same key: done once, answered the same for ever after.

Promises: what is kept is encrypted. Effects are themselves safe to repeat (their ids come from the key), so a crash
between an effect and the keeping of its answer repeats the answer, not the effect.
"""

from __future__ import annotations

import base64
import hashlib
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trio

from engine.actions.context import Context

KEEP_HOURS = 24


class Kept(msgspec.Struct):
    """An answer: status and body, and whether it was given before."""

    status: int
    body: bytes
    replayed: bool = False


class KeyMismatch(Exception):
    """The key was used with another body."""


_locks: weakref.WeakValueDictionary[tuple[str, str], trio.Lock] = weakref.WeakValueDictionary()


async def once(
    context: Context, scope: str, key: str | None, body: bytes, act: Callable[[], Awaitable[Kept]]
) -> Kept:
    """The answer of `act`, or the one kept. Refusals and failures are not kept. Raises KeyMismatch."""
    if key is None:
        return await act()
    lock = _locks.setdefault((scope, key), trio.Lock())
    async with lock:
        digest = hashlib.sha256(body).digest()
        row = await context.pool.run(_find, scope, key)
        if row is not None:
            if row["body_hash"] != digest:
                raise KeyMismatch(key)
            return Kept(row["status"], context.secrets.open(row["response"]), replayed=True)
        answer = await act()
        if answer.status < 400:
            await context.pool.run(
                _keep, scope, key, digest, answer.status, context.secrets.seal(answer.body)
            )
        return answer


def new_id(prefix: str, scope: str, key: str | None, random: int) -> str:
    """An id that a repeat under the same key makes again; random without a key."""
    raw = random.to_bytes(16, "big")
    if key is not None:
        raw = hashlib.blake2b(f"{prefix}\n{scope}\n{key}".encode(), digest_size=16).digest()
    return f"{prefix}_{base64.b32encode(raw).decode().rstrip('=').lower()}"


async def _find(conn: Any, scope: str, key: str) -> Any:
    return await conn.fetchrow(
        "SELECT body_hash, status, response FROM idempotency WHERE scope = $1 AND key = $2", scope, key
    )


async def _keep(conn: Any, scope: str, key: str, digest: bytes, status: int, response: bytes) -> None:
    await conn.execute(
        """INSERT INTO idempotency (scope, key, body_hash, status, response) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT DO NOTHING""",
        scope,
        key,
        digest,
        status,
        response,
    )


async def forget_old(conn: Any) -> None:
    """Answers older than a day, secrets with them."""
    await conn.execute(
        "DELETE FROM idempotency WHERE created_at < clock_timestamp() - $1 * interval '1 hour'", KEEP_HOURS
    )
