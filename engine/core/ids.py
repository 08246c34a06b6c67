"""Spelling of capabilities: `hold_`, `ord_`, `tkt_` + base32 of the event's number (4 bytes) and 128 random bits.

Why the event's number: whoever holds an id finds the owner of its event without asking a database.
"""

from __future__ import annotations

import base64
import binascii

_CHARS = 32  # 20 bytes in base32, no padding


def spell(prefix: str, event: int, secret: int) -> str:
    """`prefix_` and 32 characters of lower-case base32."""
    raw = event.to_bytes(4, "big") + secret.to_bytes(16, "big")
    return f"{prefix}_{base64.b32encode(raw).decode().lower()}"


def parse(prefix: str, text: str) -> tuple[int, int] | None:
    """(event number, secret) or None for whatever was not spelled by `spell`."""
    head, _, tail = text.partition("_")
    if head != prefix or len(tail) != _CHARS or not tail.isascii() or tail != tail.lower():
        return None
    try:
        raw = base64.b32decode(tail.upper())
    except (binascii.Error, ValueError):
        return None
    return int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:], "big")


def shard_number(event: int, shard_count: int) -> int:
    """The shard an event is born into; stored with it, so that a later count moves nothing."""
    return event % shard_count
