"""What every endpoint is given, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import asyncpg

from engine.embedded.stripe import events
from engine.embedded.stripe.faults import Faults
from engine.embedded.stripe.settings import Settings

Answer = tuple[int, dict[str, Any]]  # status, body


@dataclass
class Work:
    """What a request works with."""

    conn: asyncpg.Connection
    settings: Settings
    faults: Faults
    base_url: str
    request: dict[str, Any]

    async def emit(self, kind: str, subject: dict[str, Any]) -> None:
        await events.emit(self.conn, self.settings, kind, subject, self.request)
