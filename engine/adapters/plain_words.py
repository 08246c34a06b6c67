"""What every artefact writes the same way: text on one line, and an instant in the event's zone."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo


def one_line(text: str) -> str:
    """`text` on one line, without what does not print: line breaks, direction marks, half a character."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def when(instant: datetime, timezone: str) -> str:
    """An aware instant on the event's clock, with its zone: `Saturday 24 July 2027, 20:00 (Europe/Berlin)`."""
    local = instant.astimezone(ZoneInfo(timezone))
    return f"{local:%A} {local.day} {local:%B %Y, %H:%M} ({timezone})"
