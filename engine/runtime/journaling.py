"""Keeps the recovery journal behind the commits: what was written, after it was written, never in anyone's way.

Why after the commit: an entry then exists only for a batch that Postgres confirmed, so a failed batch leaves no trace.
A journal that falls behind or breaks is dropped and started again from a snapshot; recovery does without.
"""

from __future__ import annotations

import msgspec
import structlog
import trio

from engine.core import limits
from engine.core.inventory import Inventory
from engine.core.stores import BatchRows, HoldRow, Journal
from engine.core.wide import pack
from engine.runtime.batch import live_rows

log = structlog.get_logger(__name__)

_encode_rows = msgspec.msgpack.Encoder().encode


def _encode(rows: list[HoldRow]) -> bytes:
    """Rows as `engine.core.stores.HoldRow` spells them, 128-bit numbers as `engine.core.wide` does."""
    return _encode_rows(
        [
            (
                row.event,
                pack(row.id),
                row.basket,
                row.state,
                row.created,
                row.expires,
                None if row.key is None else pack(row.key),
                row.body,
                row.order,
                None if row.owners is None else [pack(owner) for owner in row.owners],
            )
            for row in rows
        ]
    )


_SNAPSHOT_HOLDS = 20_000


class Journaler:
    """One for all shards of a process: a bounded queue and the task that empties it."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.healthy = True
        self._send, self._receive = trio.open_memory_channel[tuple](limits.JOURNAL_QUEUE)
        self._batches: dict[int, int] = {}
        self._broken: set[int] = set()

    def start_over(self, shard: int, epoch: int, seq: int, inventories: dict[int, Inventory]) -> None:
        """A snapshot of memory as of `seq`; everything older is worthless from now on."""
        self._snapshot(shard, epoch, seq, live_rows(inventories))

    def _snapshot(self, shard: int, epoch: int, seq: int, rows: list[HoldRow]) -> None:
        blobs = [_encode(rows[at : at + _SNAPSHOT_HOLDS]) for at in range(0, len(rows), _SNAPSHOT_HOLDS)]
        self._batches[shard] = 0
        self._broken.discard(shard)
        self._put(("snapshot", shard, epoch, seq, blobs))

    def cut(self, shard: int, inventories: dict[int, Inventory]) -> list[HoldRow] | None:
        """Live holds for a snapshot, when the journal has grown long or was broken; call it where memory is cut."""
        self._batches[shard] = self._batches.get(shard, 0) + 1
        due = self._batches[shard] >= limits.SNAPSHOT_EVERY_BATCHES
        again = shard in self._broken and self._batches[shard] >= limits.SNAPSHOT_AGAIN_BATCHES
        return live_rows(inventories) if due or again else None

    def wrote(self, rows: BatchRows, snapshot: list[HoldRow] | None) -> None:
        """A batch that is durable, with the snapshot cut beside it if there was one."""
        if snapshot is not None:
            self._snapshot(rows.shard, rows.epoch, rows.seq, snapshot)
            return
        if rows.shard in self._broken:
            return
        changed: list[HoldRow] = rows.made + rows.moved
        self._put(("append", rows.shard, rows.epoch, rows.seq, _encode(changed)))

    def _put(self, entry: tuple) -> None:
        try:
            self._send.send_nowait(entry)
        except trio.WouldBlock:
            self._break(entry[1])

    def _break(self, shard: int) -> None:
        if shard not in self._broken:
            log.warning("journal.broken", shard=shard)
        self._broken.add(shard)

    async def run(self) -> None:
        """Empty the queue until cancelled. What cannot be written is lost, and that shard's journal with it."""
        async for kind, shard, epoch, seq, data in self._receive:
            if shard in self._broken and kind == "append":
                continue
            try:
                if kind == "snapshot":
                    await self.journal.snapshot(shard, epoch, seq, data)
                else:
                    await self.journal.append(shard, epoch, seq, data)
                self.healthy = True
            except Exception as error:
                # It is never the truth: whatever is wrong with it, selling goes on without.
                log.warning("journal.failed", shard=shard, reason=repr(error))
                self.healthy = False
                self._break(shard)
