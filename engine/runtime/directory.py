"""Who owns what: events by id and number, and the shard that decides for each.

Why its own small file: with several processes an event may belong to another one, reached by the link; callers ask
`ask` either way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from engine.core.ids import shard_number
from engine.core.inventory import Inventory
from engine.core.model import Command
from engine.core.outcomes import Code, Outcome
from engine.runtime.shard import Shard


class Asker(Protocol):
    """Carries a command to its owner and the outcome back: a shard here, or the link to another process."""

    async def ask(self, command: Command) -> Outcome: ...


class Directory:
    """The shards of this process and where every event lives."""

    def __init__(self, shards: Iterable[Shard], shard_count: int, link: Asker | None = None) -> None:
        self.shards = {shard.number: shard for shard in shards}
        self.shard_count = shard_count
        self.link = link
        self._by_id: dict[str, Inventory] = {}
        self._shard_of: dict[int, Shard] = {}
        for shard in self.shards.values():
            shard.on_loaded = self._loaded
            self._loaded(shard)

    def _loaded(self, shard: Shard) -> None:
        for number, inventory in shard.inventories.items():
            self._by_id[inventory.facts.id] = inventory
            self._shard_of[number] = shard

    def event(self, event_id: str) -> Inventory | None:
        """The live inventory of an event owned by this process."""
        return self._by_id.get(event_id)

    def inventory(self, number: int) -> Inventory | None:
        shard = self._shard_of.get(number)
        return shard.inventories.get(number) if shard else None

    def shard_of(self, number: int) -> Shard | None:
        return self._shard_of.get(number)

    @property
    def ready(self) -> bool:
        return all(shard.ready.is_set() and not shard.deposed for shard in self.shards.values())

    async def ask(self, command: Command) -> Outcome:
        """The owner's outcome, durable. UNAVAILABLE when the owner cannot be reached."""
        shard = self._shard_of.get(command.event) or self.shards.get(
            shard_number(command.event, self.shard_count)
        )
        if shard is not None:
            return await shard.ask(command)
        if self.link is not None:
            return await self.link.ask(command)
        return Outcome(Code.UNKNOWN_EVENT)
