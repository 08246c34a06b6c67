"""What every action is given: the engine's resources, made once by bootstrap. Actions keep nothing of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from engine.adapters.blocks import Blocks
from engine.adapters.bridge import Pool
from engine.adapters.limits import Limiter
from engine.adapters.secrets import Secrets
from engine.adapters.signing import Signer
from engine.adapters.stripe import StripePort
from engine.config import Settings
from engine.core.ids import parse
from engine.core.inventory import Inventory
from engine.runtime.directory import Directory


class Poke:
    """Wakes a task that otherwise looks every few seconds."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def now(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Until poked, at most `seconds`."""
        with trio.move_on_after(seconds):
            await self._event.wait()
        self._event = trio.Event()


@dataclass(frozen=True)
class Caller:
    """Who asks, as far as an anonymous buyer can be told: address, and hashes of session and fingerprint."""

    address: str
    scope: str
    session: str | None = None
    fingerprint: str | None = None
    user_agent: str = ""
    solved: str | None = None  # the salt of a puzzle that came solved


@dataclass(frozen=True)
class Context:
    settings: Settings
    pool: Pool
    directory: Directory
    stripe: StripePort
    limiter: Limiter
    blocks: Blocks
    secrets: Secrets
    inbox_came: Poke
    outbox_came: Poke
    now: Callable[[], int]
    signers: dict[int, Signer]
    # What pages show of an event, by id: (when it was read, its row).
    shown: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def inventory_of(self, prefix: str, capability: str) -> tuple[Inventory, int] | None:
        """The event and the 128-bit secret that a hold's, order's or ticket's id names; None if it names none."""
        parsed = parse(prefix, capability)
        if parsed is None:
            return None
        inventory = self.directory.inventory(parsed[0])
        return None if inventory is None else (inventory, parsed[1])
