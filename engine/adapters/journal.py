"""The recovery journal in Redis: per shard one snapshot and the batches after it, each stamped (epoch, seq).

Never the truth. Raises ConnectionError when Redis is out of reach; what is read is checked link by link, and reading
stops at the first gap.
"""

from __future__ import annotations

from typing import Any

import msgspec
import redis.asyncio
import redis.exceptions
import structlog

from engine.adapters.bridge import call
from engine.core.stores import HoldRow
from engine.core.wide import unpack

log = structlog.get_logger(__name__)

_plain = msgspec.msgpack.Decoder(ext_hook=unpack).decode


def _rows(blob: bytes) -> list[HoldRow]:
    return msgspec.convert(_plain(blob), list[HoldRow])


_stamped = msgspec.msgpack.Decoder(tuple[int, int, bytes]).decode
_snapshot = msgspec.msgpack.Decoder(tuple[int, int, list[bytes]]).decode
_encode = msgspec.msgpack.Encoder().encode

_DOWN = (redis.exceptions.RedisError, OSError, TimeoutError)


class RedisJournal:
    """Implements `engine.core.stores.Journal`."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis: Any = client

    async def read(self, shard: int, last_seq: int) -> tuple[int, list[HoldRow]] | None:
        try:
            blob, entries = await call(self._fetch, shard)
        except ConnectionError:
            return None
        if blob is None:
            return None
        try:
            return _replay(blob, entries, last_seq)
        except (msgspec.MsgspecError, ValueError):
            log.warning("journal.unreadable", shard=shard)
            return None

    async def append(self, shard: int, epoch: int, seq: int, blob: bytes) -> None:
        await call(self._append, shard, _encode((epoch, seq, blob)))

    async def snapshot(self, shard: int, epoch: int, seq: int, blobs: list[bytes]) -> None:
        await call(self._store, shard, _encode((epoch, seq, blobs)))

    async def forget(self, shards: int) -> int:
        """Drop everything of all shards; how many had a snapshot. Raises ConnectionError."""

        async def drop() -> int:
            try:
                found: int = await self._redis.delete(*(f"fm:snapshot:{shard}" for shard in range(shards)))
                await self._redis.delete(*(f"fm:journal:{shard}" for shard in range(shards)))
            except _DOWN as error:
                raise ConnectionError(str(error)) from error
            return found

        return await call(drop)

    async def _fetch(self, shard: int) -> tuple[bytes | None, list[bytes]]:
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.get(f"fm:snapshot:{shard}")
                pipe.lrange(f"fm:journal:{shard}", 0, -1)
                blob, entries = await pipe.execute()
            return blob, entries
        except _DOWN as error:
            raise ConnectionError(str(error)) from error

    async def _append(self, shard: int, entry: bytes) -> None:
        try:
            await self._redis.rpush(f"fm:journal:{shard}", entry)
        except _DOWN as error:
            raise ConnectionError(str(error)) from error

    async def _store(self, shard: int, blob: bytes) -> None:
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.set(f"fm:snapshot:{shard}", blob)
                pipe.delete(f"fm:journal:{shard}")
                await pipe.execute()
        except _DOWN as error:
            raise ConnectionError(str(error)) from error


def _replay(blob: bytes, entries: list[bytes], last_seq: int) -> tuple[int, list[HoldRow]] | None:
    """Holds as of the last unbroken entry not beyond `last_seq`. None when the snapshot itself is beyond it."""
    epoch, seq, chunks = _snapshot(blob)
    if seq > last_seq:
        return None
    latest = {row.id: row for chunk in chunks for row in _rows(chunk)}
    for entry in entries:
        entry_epoch, entry_seq, data = _stamped(entry)
        if entry_epoch != epoch or entry_seq != seq + 1 or entry_seq > last_seq:
            break
        for row in _rows(data):
            latest[row.id] = row
        seq = entry_seq
    return seq, list(latest.values())
