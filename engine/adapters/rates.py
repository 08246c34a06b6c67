"""Rates of exchange in SQL: added, never changed; the newest not later than an instant is the one of that instant."""

from __future__ import annotations

from typing import Any

from engine.adapters import http
from engine.adapters.times import instant, rfc3339_or_none
from ledger.fx import read_rate


def check_rate(text: str) -> str:
    """The rate as it was given. Raises Problem 422."""
    try:
        read_rate(text)
    except ValueError as error:
        raise http.invalid("rate", "invalid", str(error)) from None
    return text


async def insert(conn: Any, source_currency: str, target: str, rate: str, source: str, at: int) -> Any:
    """The rate as stored. The same pair, source and time again is the row that was there."""
    await conn.execute(
        """INSERT INTO fx_rates (source_currency, target_currency, rate, source, at) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT DO NOTHING""",
        source_currency,
        target,
        rate,
        source,
        instant(at),
    )
    row = await conn.fetchrow(
        """SELECT * FROM fx_rates
           WHERE source_currency = $1 AND target_currency = $2 AND source = $3 AND at = $4""",
        source_currency,
        target,
        source,
        instant(at),
    )
    return shown(row)


async def newest(conn: Any, source_currency: str, target: str) -> Any:
    """The rate of this moment as `shown`, with `age_seconds`; None without one."""
    row = await conn.fetchrow(
        """SELECT *, extract(epoch FROM clock_timestamp() - at)::float8 AS age FROM fx_rates
           WHERE source_currency = $1 AND target_currency = $2 AND at <= clock_timestamp()
           ORDER BY at DESC, id DESC LIMIT 1""",
        source_currency,
        target,
    )
    return None if row is None else shown(row) | {"age_seconds": row["age"]}


def shown(row: Any) -> dict[str, Any]:
    """`{"from","to","rate","source","at"}`, the rate as it was given."""
    return {
        "from": row["source_currency"],
        "to": row["target_currency"],
        "rate": row["rate"],
        "source": row["source"],
        "at": rfc3339_or_none(row["at"]),
    }
