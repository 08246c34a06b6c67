"""A statement as CSV and on paper. The same figures give the same bytes; nobody's name but the organizer's is in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from engine.adapters import money_words
from engine.adapters.paper_text import ENCODING, printable
from engine.adapters.times import rfc3339_or_none
from ledger.statements import LINES

_COLUMNS = ("booked_at", "entry", "kind", "line", "event", "order", "amount", "currency")
_WORDS = {
    "opening": "Opening balance",
    "gross": "Ticket sales at face value",
    "discounts": "Discounts",
    "platform_fees": "Service fees you bear",
    "processing_fees": "Processing fees you bear",
    "refunds": "Refunds",
    "disputes": "Disputes",
    "held": "Held in reserve",
    "adjustments": "Adjustments",
    "payouts": "Payouts",
    "closing": "Closing balance",
    "net_payout": "To be paid out",
}
_WIDTH = 170.0


def as_csv(document: dict[str, Any], rows: Iterable[Any]) -> bytes:
    """Opening, every posting, closing. Amounts are minor units, what lowers the balance negative."""
    file = io.StringIO()
    out = csv.writer(file, lineterminator="\r\n")
    currency = document["currency"]
    out.writerow(_COLUMNS)
    out.writerow(("", "", "", "opening", "", "", document["opening"], currency))
    for row in rows:
        if row["section"] == "opening":
            continue
        out.writerow(
            (
                rfc3339_or_none(row["booked_at"]),
                row["entry"],
                row["kind"],
                row["section"],
                row["event"] or "",
                row["number"] or "",
                -row["amount"],
                currency,
            )
        )
    out.writerow(("", "", "", "closing", "", "", document["closing"], currency))
    return file.getvalue().encode()


def as_pdf(document: dict[str, Any], title: str, organizer: str, made: datetime) -> bytes:
    """One page: every line with its amount, and the rates behind them."""
    pdf = FPDF(format="A4")
    pdf.core_fonts_encoding = ENCODING
    pdf.set_creation_date(made)
    pdf.set_margin(20)
    pdf.set_title(printable(title))
    pdf.set_producer("Force Majeure")
    pdf.set_lang("en")
    pdf.add_page()
    _row(pdf, title, "", 18, bold=True)
    _row(pdf, organizer, "", 12)
    if not document["final"]:
        _row(pdf, "Provisional: the period is still open.", "", 10)
    pdf.ln(6)
    for name in ("opening", *LINES, "closing", "net_payout"):
        amount = money_words.words(document[name], document["currency"])
        _row(pdf, _WORDS[name], amount, 11, bold=name in ("opening", "closing", "net_payout"))
    if document["fx"]:
        pdf.ln(6)
        _row(pdf, "Rates of exchange at purchase", "", 11, bold=True)
        for rate in document["fx"]:
            pair = f"{rate['from'].upper()} to {rate['to'].upper()}, {rate['source']}, {rate['at'][:10]}"
            _row(pdf, pair, rate["rate"], 9)
    return bytes(pdf.output())


def _row(pdf: FPDF, label: str, amount: str, points: float, *, bold: bool = False) -> None:
    pdf.set_font("helvetica", "B" if bold else "", points)
    height = points * 0.55
    wide = _WIDTH - 55 if amount else _WIDTH
    shown = printable(label[:200])
    while shown and pdf.get_string_width(shown) > wide - 2:
        shown = shown[:-2] + "…"
    if not amount:
        pdf.cell(wide, height, shown, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        return
    pdf.cell(wide, height, shown)
    pdf.cell(55, height, printable(amount), align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
