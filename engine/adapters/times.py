"""Instants as the engine counts them (microseconds since 1970 UTC) and as Postgres and JSON spell them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP = timedelta(microseconds=1)


def micros(instant: datetime) -> int:
    """Exact; the datetime must carry its zone."""
    return (instant - _EPOCH) // _STEP


def micros_or_none(instant: datetime | None) -> int | None:
    return None if instant is None else micros(instant)


def instant(at: int) -> datetime:
    return _EPOCH + at * _STEP


def instant_or_none(at: int | None) -> datetime | None:
    return None if at is None else instant(at)


def rfc3339(at: int) -> str:
    """`2026-11-24T10:00:00.123456Z`, always with six digits, so that equal instants are equal strings."""
    return instant(at).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def rfc3339_or_none(instant: datetime | None) -> str | None:
    """A datetime from storage as JSON spells it."""
    return None if instant is None else rfc3339(micros(instant))
