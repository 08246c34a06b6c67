"""Tickets on paper: one A4 page each, with the code as vector rectangles that print sharp at any size.

Promises: the same document gives the same bytes; no name or script makes it fail (see `paper_text`).
"""

from __future__ import annotations

from datetime import UTC
from typing import cast

from fpdf import FPDF
from fpdf.drawing import DeviceGray, PaintedPath
from fpdf.enums import PathPaintRule, XPos, YPos

from engine.adapters import money_words, qr
from engine.adapters.documents import OrderDocument, TicketDocument, refund_words
from engine.adapters.paper_text import ENCODING, printable
from engine.adapters.plain_words import when

# All lengths in millimetres.
_MARGIN = 20.0
_WIDTH = 210.0 - 2 * _MARGIN
_QR_SIDE = 90.0
_QUIET_MODULES = 4
_LABEL_WIDTH = 38.0
_FONT = "helvetica"
# Longer names are cut: a ticket is one page.
_TEXT_CHARS = 160
# How much of the code is shown in print: enough to tell tickets apart, far too little to forge one.
_CODE_CHARS = 6


def render(document: OrderDocument) -> bytes:
    """A PDF with one page per ticket, in the document's order. Takes some milliseconds a ticket."""
    pdf = FPDF(format="A4")
    pdf.core_fonts_encoding = ENCODING
    pdf.set_creation_date((document.paid_at or document.starts_at).astimezone(UTC))
    pdf.set_auto_page_break(False)
    pdf.set_margin(_MARGIN)
    pdf.set_title(printable(f"Tickets for {document.event_name}"))
    pdf.set_producer("Force Majeure")
    pdf.set_lang("en")
    for at, ticket in enumerate(document.tickets, start=1):
        pdf.add_page()
        _page(pdf, document, ticket, at)
    return bytes(pdf.output())


def _page(pdf: FPDF, document: OrderDocument, ticket: TicketDocument, at: int) -> None:
    _line(pdf, document.event_name, 24, bold=True, most_lines=2)
    _line(pdf, when(document.starts_at, document.timezone), 13)
    if document.doors_at is not None:
        _line(pdf, f"Doors {when(document.doors_at, document.timezone)}", 11)
    pdf.ln(2)
    _line(pdf, document.venue_name, 13, bold=True)
    if document.venue_address:
        _line(pdf, document.venue_address, 11, most_lines=2)
    pdf.ln(5)
    top = pdf.get_y()
    _code(pdf, ticket.code, (210.0 - _QR_SIDE) / 2, top)
    pdf.set_y(top + _QR_SIDE + 1)
    _line(pdf, f"{ticket.code[: _CODE_CHARS + 4]} … {ticket.code[-_CODE_CHARS:]}", 8, align="C")
    pdf.ln(5)
    _line(pdf, ticket.tier_name, 18, bold=True)
    pdf.ln(1)
    _fact(pdf, "Name", ticket.name or document.buyer_name)
    _fact(pdf, "Price", money_words.words(ticket.price_minor, document.currency))
    _fact(pdf, "Order", document.number)
    _fact(pdf, "Ticket", f"{at} of {len(document.tickets)}")
    if ticket.status != "valid":
        _fact(pdf, "Status", ticket.status)
    pdf.ln(4)
    _line(pdf, refund_words(document), 9, most_lines=5)
    _line(pdf, "Whoever shows this code first is admitted. Keep it to yourself.", 9)


def _line(
    pdf: FPDF, text: str, points: float, *, bold: bool = False, align: str = "L", most_lines: int = 1
) -> None:
    """Text from margin to margin, cut after `most_lines` lines."""
    pdf.set_font(_FONT, "B" if bold else "", points)
    height = points * 0.46
    broken = cast(list[str], pdf.multi_cell(_WIDTH, height, _cut(text, 500), dry_run=True, output="LINES"))
    # The library hands lines back as it writes them: one character for each byte.
    lines = [line.encode("latin-1").decode(ENCODING) for line in broken]
    if len(lines) > most_lines:
        lines = [*lines[: most_lines - 1], lines[most_lines - 1][:-1].rstrip() + "…"]
    for line in lines:
        pdf.cell(_WIDTH, height, line, align=align, new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _fact(pdf: FPDF, label: str, text: str) -> None:
    pdf.set_font(_FONT, "", 10)
    pdf.cell(_LABEL_WIDTH, 6.5, label)
    pdf.set_font(_FONT, "B", 12)
    room = _WIDTH - _LABEL_WIDTH
    shown = _cut(text, _TEXT_CHARS)
    while shown and pdf.get_string_width(shown) > room:
        shown = shown[:-2] + "…"
    pdf.cell(room, 6.5, shown, new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _cut(text: str, chars: int) -> str:
    shown = printable(text[: 2 * chars])
    return shown if len(shown) <= chars else shown[: chars - 1] + "…"


def _code(pdf: FPDF, code: str, left: float, top: float) -> None:
    """One path of runs of dark modules, filled at once: neighbours that touch show no seam between them."""
    rows = qr.modules(code)
    side = _QR_SIDE / (len(rows) + 2 * _QUIET_MODULES)
    path = PaintedPath()
    path.style.fill_color = DeviceGray(0)
    path.style.stroke_color = None
    path.style.paint_rule = PathPaintRule.FILL_NONZERO
    for down, row in enumerate(rows):
        start = 0
        while start < len(row):
            end = start
            while end < len(row) and row[end]:
                end += 1
            if end > start:
                x = left + (start + _QUIET_MODULES) * side
                path.rectangle(x, top + (down + _QUIET_MODULES) * side, (end - start) * side, side)
            start = end + 1
    with pdf.drawing_context() as context:
        context.add_item(path)
