"""An order's show as a calendar entry (RFC 5545), in the event's own zone.

Promises: the same order keeps its UID, so that a second import updates and does not double; the same document gives
the same bytes.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event

from engine.adapters.documents import OrderDocument
from engine.adapters.plain_words import one_line

_PRODUCT = "-//Force Majeure//Tickets//EN"


def render(document: OrderDocument) -> bytes:
    """The .ics file. Without a known end the entry has none: we do not invent one."""
    zone = ZoneInfo(document.timezone)
    event = Event()
    host = urlsplit(document.order_url).hostname or "force-majeure.invalid"
    event.add("uid", f"{document.event_id}.{document.number}@{host}")
    event.add("dtstamp", (document.paid_at or document.starts_at).astimezone(UTC))
    event.add("dtstart", document.starts_at.astimezone(zone))
    if document.ends_at is not None:
        event.add("dtend", document.ends_at.astimezone(zone))
    event.add("summary", one_line(document.event_name))
    place = ", ".join(
        part for part in (one_line(document.venue_name), one_line(document.venue_address)) if part
    )
    event.add("location", place)
    event.add("description", _description(document, zone))
    event.add("url", document.order_url)
    event.add("status", "CONFIRMED")
    calendar = Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add_component(event)
    first, last = _years_around(document, zone)
    calendar.add_missing_timezones(first_date=first, last_date=last)
    rendered: bytes = calendar.to_ical()
    return rendered


def _description(document: OrderDocument, zone: ZoneInfo) -> str:
    lines = [f"Order {document.number}"]
    if document.doors_at is not None:
        lines.append(f"Doors {document.doors_at.astimezone(zone):%H:%M}")
    lines += [f"1 × {one_line(ticket.tier_name)}" for ticket in document.tickets]
    lines.append(f"Your tickets: {document.order_url}")
    return "\n".join(lines)


def _years_around(document: OrderDocument, zone: ZoneInfo) -> tuple[date, date]:
    """A zone's rules for the years of the show are enough, and keep the file small."""
    start = document.starts_at.astimezone(zone)
    end: datetime = (document.ends_at or document.starts_at).astimezone(zone)
    return start.date() - timedelta(days=400), end.date() + timedelta(days=400)
