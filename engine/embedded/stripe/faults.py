"""Knobs to break things on purpose: webhooks that vanish or come twice, an API that fails before or after its work."""

from __future__ import annotations

import copy
import time
from typing import Any

import asyncpg

from engine.embedded.stripe.errors import StripeError, bad_parameter

_NONE: dict[str, Any] = {
    "webhooks": {"drop": 0.0, "duplicate": 0.0, "reorder": False, "delay_ms": 0},
    "api": {
        "latency_ms": 0,
        "error_rate": 0.0,
        "error_after_success_rate": 0.0,
        "rate_limit_per_s": None,
        "hang_s": 0,
    },
    "balance_transaction_delay_ms": 500,
}
_MAY_BE_NULL = "rate_limit_per_s"


class Faults:
    """The knobs of this program, kept over restarts."""

    def __init__(self) -> None:
        self.document = copy.deepcopy(_NONE)
        self._second, self._count = 0, 0

    @property
    def webhooks(self) -> dict[str, Any]:
        found: dict[str, Any] = self.document["webhooks"]
        return found

    @property
    def api(self) -> dict[str, Any]:
        found: dict[str, Any] = self.document["api"]
        return found

    @property
    def balance_delay_seconds(self) -> float:
        return float(self.document["balance_transaction_delay_ms"]) / 1000

    async def load(self, conn: asyncpg.Connection) -> None:
        kept = await conn.fetchval("SELECT document FROM faults")
        if kept is not None:
            self._merge(self.document, kept)

    async def change(self, conn: asyncpg.Connection, part: Any) -> None:
        """Merge a partial document. Raises StripeError for what is no knob."""
        changed = copy.deepcopy(self.document)
        self._merge(changed, part)
        await conn.execute(
            "INSERT INTO faults (document) VALUES ($1) ON CONFLICT (one) DO UPDATE SET document = $1", changed
        )
        self.document = changed

    def reset(self) -> None:
        self.document = copy.deepcopy(_NONE)

    def _merge(self, target: dict[str, Any], part: Any) -> None:
        if not isinstance(part, dict):
            raise bad_parameter("faults are an object")
        for name, value in part.items():
            if name not in target:
                raise bad_parameter(f"no such knob: {name[:40]}", name)
            if isinstance(target[name], dict):
                self._merge(target[name], value)
            elif (value is None and name == _MAY_BE_NULL) or (isinstance(value, int | float) and value >= 0):
                target[name] = value
            else:
                raise bad_parameter(f"a number from 0 or true or false: {name}", name)

    def check_rate(self) -> None:
        """Raises StripeError 429 beyond the limit of this second."""
        limit = self.api["rate_limit_per_s"]
        if limit is None:
            return
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        if self._count > limit:
            raise StripeError(429, "Too many requests. Please slow down.", code="rate_limit")
