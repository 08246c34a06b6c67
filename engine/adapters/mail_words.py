"""What each kind of mail says, as text and as HTML: the same facts in both.

Why plain English in one file: whoever answers for the words reads them here, not in five templates.
"""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from engine.adapters import money_words
from engine.adapters.documents import OrderDocument, refund_words
from engine.adapters.plain_words import one_line, when


class MailWords(NamedTuple):
    subject: str
    text: str
    html: str


def write(document: OrderDocument, kind: str) -> MailWords:
    """The words of a kind: `paid`, `refunded` or `late_refunded`. Raises ValueError for any other."""
    if kind == "paid":
        return _paid(document)
    if kind == "late_refunded":
        return _late_refunded(document)
    if kind == "refunded":
        return _refunded(document)
    raise ValueError(f"there is no mail of kind {kind!r}")


def _paid(document: OrderDocument) -> MailWords:
    count = len(document.tickets)
    noun = "ticket" if count == 1 else "tickets"
    facts = [("Event", document.event_name), ("Starts", when(document.starts_at, document.timezone))]
    if document.doors_at is not None:
        facts.append(("Doors", when(document.doors_at, document.timezone)))
    facts.append(("Venue", ", ".join(part for part in (document.venue_name, document.venue_address) if part)))
    facts += [("Tickets", line) for line in _lines(document)]
    facts += _sums(document)
    facts.append(("Order", document.number))
    return _assemble(
        document,
        subject=f"Your {noun} for {document.event_name}",
        opening=f"You are going. Your {noun} {'is' if count == 1 else 'are'} attached as a PDF, one page each, "
        "with a calendar entry. Show the code at the door, on paper or on your phone.",
        facts=facts,
        link="Your order and your tickets",
        closing=[
            refund_words(document),
            "Whoever shows a code first is admitted, so keep this mail to yourself.",
        ],
    )


def _refunded(document: OrderDocument) -> MailWords:
    back = money_words.words(document.refunded, document.currency)
    left = len(document.tickets)
    return _assemble(
        document,
        subject=f"Your refund: {document.event_name}",
        opening=f"Of your order {document.number}, {back} in all are on their way back to the card or account you "
        "paid with; banks take five to ten days to show it. "
        + (
            f"You keep {left} valid ticket{'' if left == 1 else 's'}."
            if left
            else "Its tickets are no longer valid."
        ),
        facts=[
            ("Event", document.event_name),
            ("Starts", when(document.starts_at, document.timezone)),
            ("Money back", back),
            ("Order", document.number),
        ],
        link="Your order, and how the refund stands",
        closing=[],
    )


def _late_refunded(document: OrderDocument) -> MailWords:
    total = money_words.words(document.total, document.currency)
    return _assemble(
        document,
        subject=f"No tickets, and your money back: {document.event_name}",
        opening="Your payment reached us after your places had gone to somebody else, and there were none left. "
        f"You have no tickets for {document.event_name}. We are sorry. "
        f"All of your {total} is already on its way back to the card or account you paid with; "
        "banks take up to ten days to show it. You need not do anything.",
        facts=[
            ("Event", document.event_name),
            ("Starts", when(document.starts_at, document.timezone)),
            ("Money back", total),
            ("Order", document.number),
        ],
        link="Your order, and how the refund stands",
        closing=[],
    )


def _lines(document: OrderDocument) -> list[str]:
    """`2 × GA at €25.00`, one line for each tier and price."""
    counts: dict[tuple[str, int], int] = {}
    for ticket in document.tickets:
        line = (ticket.tier_name, ticket.price_minor)
        counts[line] = counts.get(line, 0) + 1
    return [
        f"{count} × {tier} at {money_words.words(price, document.currency)}"
        for (tier, price), count in counts.items()
    ]


def _sums(document: OrderDocument) -> list[tuple[str, str]]:
    sums = [
        ("Subtotal", document.subtotal),
        ("Discount", -document.discount),
        ("Fees", document.fees),
        ("Tax", document.tax),
    ]
    shown = [(label, money_words.words(amount, document.currency)) for label, amount in sums if amount]
    total = ("Total", money_words.words(document.total, document.currency))
    return [*shown, total] if len(shown) > 1 else [total]


def _assemble(
    document: OrderDocument,
    *,
    subject: str,
    opening: str,
    facts: list[tuple[str, str]],
    link: str,
    closing: list[str],
) -> MailWords:
    clean = [(label, one_line(value)) for label, value in facts]
    greeting = f"Hello {one_line(document.buyer_name)}," if one_line(document.buyer_name) else "Hello,"
    widest = max(len(label) for label, _ in clean) + 2
    text = "\n\n".join(
        [
            greeting,
            one_line(opening),
            "\n".join(f"{label + ':':<{widest}}{value}" for label, value in clean),
            f"{link}:\n{document.order_url}",
            *closing,
        ]
    )
    rows = "".join(
        f'<tr><th style="text-align:left;padding:2px 16px 2px 0;vertical-align:top">{escape(label)}</th>'
        f'<td style="padding:2px 0">{escape(value)}</td></tr>'
        for label, value in clean
    )
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(one_line(subject))}</title></head>"
        '<body style="font-family:sans-serif;font-size:16px;line-height:1.5;max-width:40em;color:#111;background:#fff">'
        f"<p>{escape(greeting)}</p><p>{escape(one_line(opening))}</p><table>{rows}</table>"
        f'<p><a href="{escape(document.order_url)}">{escape(link)}</a></p>'
        + "".join(f"<p>{escape(line)}</p>" for line in closing)
        + "</body></html>"
    )
    return MailWords(one_line(subject), text + "\n", html + "\n")
