"""What a buyer holds: QR, PDF, calendar entry, mail. Each is read back by another program than the one that wrote it."""

from __future__ import annotations

import io
import re
import smtplib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import icalendar
import pypdf
import pytest
import zxingcpp
from PIL import Image, ImageDraw

from engine.adapters import calendar, mail, money_words, qr, ticket_pdf
from engine.adapters.documents import OrderDocument, TicketDocument
from engine.adapters.paper_text import ENCODING, printable
from engine.adapters.signing import Signer

SIGNER = Signer(1, bytes(range(32)))
STRANGE_NAMES = [
    "Zoë Ångström",
    "Ελένη Παπαδοπούλου",
    "Пётр Чайковский",
    "日本太郎",
    "محمد علي",
    "Łukasz Żółć",
    "👩‍🚀 Ada",
    "a\u202eb\u0000c\nd",
    "\ud800",
    "W" * 500,
    " ",
]


def ticket(number: int, **more: Any) -> TicketDocument:
    fields: dict[str, Any] = {
        "id": f"tkt_{number}",
        "tier_name": "General admission",
        "name": None,
        "code": SIGNER.code(1, number, 1, 0),
        "status": "valid",
        "price_minor": 2500,
    }
    return TicketDocument(**fields | more)


def document(**more: Any) -> OrderDocument:
    fields: dict[str, Any] = {
        "order_id": "ord_x",
        "number": "FM-7K2Q",
        "order_url": "https://tickets.example/orders/ord_x",
        "event_name": "Nuit électrique",
        "event_id": "evt_1",
        "starts_at": datetime(2027, 7, 24, 18, tzinfo=UTC),
        "ends_at": datetime(2027, 7, 24, 22, tzinfo=UTC),
        "doors_at": datetime(2027, 7, 24, 17, tzinfo=UTC),
        "timezone": "Europe/Berlin",
        "venue_name": "Kesselhaus",
        "venue_address": "Knaackstraße 97, 10435 Berlin",
        "currency": "eur",
        "subtotal": 5000,
        "discount": 0,
        "fees": 350,
        "tax": 0,
        "total": 5350,
        "refund_policy": {
            "kind": "until",
            "hours_before": 48,
            "percent_bps": 10000,
            "keep_service_fee": True,
        },
        "buyer_name": "Zoë Ångström",
        "email": "zoe@example.com",
        "paid_at": datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC),
        "tickets": [ticket(1, name="Zoë Ångström"), ticket(2, tier_name="VIP")],
    }
    return OrderDocument(**fields | more)


# --- QR -----------------------------------------------------------------------------------------------------------


def scan(rectangles: list[tuple[float, float, float, float]], side: float, scale: float) -> str:
    """What a scanner reads off black rectangles (left, top, width, height) on white."""
    image = Image.new("L", (round(side * scale), round(side * scale)), 255)
    draw = ImageDraw.Draw(image)
    for left, top, width, height in rectangles:
        box = (left * scale, top * scale, (left + width) * scale - 1, (top + height) * scale - 1)
        draw.rectangle(tuple(round(edge) for edge in box), fill=0)
    found = zxingcpp.read_barcodes(image)
    assert [code.format for code in found] == [zxingcpp.BarcodeFormat.QRCode]
    return str(found[0].text)


def test_the_matrix_scans_and_is_version_6() -> None:
    code = SIGNER.code(2**32 - 1, 2**64 - 1, 2**16 - 1, 2**32 - 1)
    rows = qr.modules(code)
    assert [len(row) for row in rows] == [41] * 41
    dark = [
        (x + 4.0, y + 4.0, 1.0, 1.0) for y, row in enumerate(rows) for x, module in enumerate(row) if module
    ]
    assert scan(dark, 49, 8) == code


def test_the_svg_scans() -> None:
    """Segno draws runs as `M x y h n m dx dy …`, a stroke one module high."""
    svg = qr.svg(ticket(1).code)
    background, path = re.findall(r' d="([^"]+)"', svg)
    assert background == "M0 0h49v49h-49z" and 'fill="#fff"' in svg
    runs, x, y = [], 0.0, 0.0
    for step, first, second in re.findall(r"([Mmh])(-?[\d.]+)(?: (-?[\d.]+))?", path):
        if step == "h":
            runs.append((x, y - 0.5, float(first), 1.0))
            x += float(first)
        else:
            x, y = (float(first), float(second)) if step == "M" else (x + float(first), y + float(second))
    assert scan(runs, 49, 8) == ticket(1).code


def test_a_qr_carries_only_what_a_code_may_hold() -> None:
    with pytest.raises(ValueError):
        qr.svg("fm1:lower case")


# --- PDF ----------------------------------------------------------------------------------------------------------


def pages(order: OrderDocument) -> list[pypdf.PageObject]:
    return list(pypdf.PdfReader(io.BytesIO(ticket_pdf.render(order))).pages)


def test_every_ticket_has_a_page_with_what_the_door_asks() -> None:
    first, second = (page.extract_text() for page in pages(document()))
    for said in (
        "Nuit électrique",
        "Saturday 24 July 2027, 20:00 (Europe/Berlin)",
        "Doors Saturday 24 July 2027, 19:00",
        "Kesselhaus",
        "Knaackstraße 97, 10435 Berlin",
        "Zoë Ångström",
        "€25.00",
        "FM-7K2Q",
        "the full price until Thursday 22 July 2027, 20:00",
        ticket(1).code[-6:],
    ):
        assert said in first
    assert "General admission" in first and "VIP" in second
    assert ticket(1).code not in first


def test_the_code_on_paper_scans() -> None:
    for page, number in zip(pages(document()), (1, 2), strict=True):
        content = page.get_contents()
        assert content is not None
        drawn = content.get_data().decode("latin-1")
        boxes = [
            tuple(map(float, box)) for box in re.findall(r"([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) re", drawn)
        ]
        assert scan(boxes, 297, 6) == ticket(number).code  # type: ignore[arg-type]


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_any_name_prints_on_one_page(name: str) -> None:
    order = document(event_name=name, venue_name=name, venue_address=name, tickets=[ticket(1, name=name)])
    order_pages = pages(order)
    assert len(order_pages) == 1 and "FM-7K2Q" in order_pages[0].extract_text()


def test_letters_without_a_glyph_are_spelled_in_latin() -> None:
    assert [printable(name) for name in STRANGE_NAMES[:3]] == [
        "Zoë Ångström",
        "Eleni Papadopoyloy",
        "Petr Chaykovskiy",
    ]
    assert printable("Łukasz Żółć") == "Lukasz Zólc"
    assert printable("日本太郎") == "????"
    assert printable("👩‍🚀 Ada") == "?? Ada"
    assert all(printable(chr(point)).encode(ENCODING) is not None for point in range(0x20000))


def test_the_same_order_prints_the_same_bytes() -> None:
    assert ticket_pdf.render(document()) == ticket_pdf.render(document())
    assert ticket_pdf.render(document()) != ticket_pdf.render(document(venue_name="Elsewhere"))


def test_a_policy_that_cannot_be_read_does_not_cost_the_ticket() -> None:
    assert "see the page of your order" in pages(document(refund_policy={"kind": "odd"}))[0].extract_text()


# --- calendar -----------------------------------------------------------------------------------------------------


def entry(order: OrderDocument) -> Any:
    rendered = calendar.render(order)
    assert rendered == calendar.render(order)
    parsed = icalendar.Calendar.from_ical(rendered)
    assert not parsed.get_missing_tzids()
    return parsed.walk("VEVENT")[0]


def test_the_calendar_entry_is_in_the_events_zone() -> None:
    found = entry(document())
    assert str(found["DTSTART"].params["TZID"]) == "Europe/Berlin"
    assert found["DTSTART"].dt.isoformat() == "2027-07-24T20:00:00+02:00"
    assert found["DTEND"].dt == datetime(2027, 7, 24, 22, tzinfo=UTC)
    assert found["SUMMARY"] == "Nuit électrique"
    assert found["LOCATION"] == "Kesselhaus, Knaackstraße 97, 10435 Berlin"
    assert found["URL"] == "https://tickets.example/orders/ord_x"
    assert found["UID"] == "evt_1.FM-7K2Q@tickets.example"


@pytest.mark.parametrize(
    "zone", ["UTC", "Asia/Tokyo", "Asia/Kathmandu", "America/Sao_Paulo", "Pacific/Chatham"]
)
def test_every_zone_is_carried(zone: str) -> None:
    assert entry(document(timezone=zone, ends_at=None))["DTSTART"].dt == datetime(2027, 7, 24, 18, tzinfo=UTC)


@pytest.mark.parametrize("name", [*STRANGE_NAMES, "x\r\nEND:VEVENT\r\nATTENDEE:mailto:a@b"])
def test_no_name_breaks_the_calendar(name: str) -> None:
    found = entry(document(event_name=name, venue_name=name, venue_address=""))
    assert found["UID"] == "evt_1.FM-7K2Q@tickets.example" and "ATTENDEE" not in found


# --- money --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount_minor", "currency", "locale", "said"),
    [
        (5350, "eur", "en", "€53.50"),
        (5350, "eur", "de", "53,50 €"),
        (5350, "EUR", "de-AT", "€ 53,50"),
        (0, "eur", "en", "€0.00"),
        (-5, "usd", "en", "-$0.05"),
        (1200, "jpy", "en", "¥1,200"),
        (12345, "kwd", "en", "KWD 12.345"),
        (50000, "isk", "en", "ISK 500"),
        (100000000, "ugx", "en", "UGX 1,000,000"),
        (1050, "rsd", "en", "RSD 10.50"),
        (5350, "eur", "no such tongue", "€53.50"),
        (9007199254740993, "usd", "en", "$90,071,992,547,409.93"),
    ],
)
def test_amounts_in_words(amount_minor: int, currency: str, locale: str, said: str) -> None:
    assert money_words.words(amount_minor, currency, locale).replace("\N{NO-BREAK SPACE}", " ") == said


# --- mail ---------------------------------------------------------------------------------------------------------


def compose(order: OrderDocument, kind: str = "paid", key: str = "k-1") -> EmailMessage:
    made = mail.compose(order, kind, "Tickets <tickets@fm.example>", b"%PDF-", b"BEGIN:VCALENDAR", key)
    assert bytes(made) == bytes(
        mail.compose(order, kind, "Tickets <tickets@fm.example>", b"%PDF-", b"BEGIN:VCALENDAR", key)
    )
    read = message_from_bytes(bytes(made), policy=policy.default)
    assert isinstance(read, EmailMessage)
    return read


def part(message: EmailMessage, kind: str) -> str:
    found = message.get_body((kind,))
    assert found is not None
    text = found.get_content()
    assert isinstance(text, str)
    return text


def test_paid_says_everything_twice_and_brings_the_tickets() -> None:
    message = compose(document())
    assert message["Message-ID"] == "<k-1@fm.example>"
    assert message["To"].addresses[0].addr_spec == "zoe@example.com"
    assert message["Subject"] == "Your tickets for Nuit électrique"
    for kind in ("plain", "html"):
        said = part(message, kind)
        for fact in ("Kesselhaus", "1 × VIP at €25.00", "€53.50", "FM-7K2Q", document().order_url, "20:00"):
            assert fact in said
    assert [(file.get_filename(), file.get_content_type()) for file in message.iter_attachments()] == [
        ("tickets-FM-7K2Q.pdf", "application/pdf"),
        ("event-FM-7K2Q.ics", "text/calendar"),
    ]


def test_mail_loads_nothing_and_holds_no_code() -> None:
    message = compose(document())
    html = part(message, "html")
    assert re.findall(r"<(?:img|link|script|iframe)|url\(", html) == []
    assert set(re.findall(r'https?://[^"<]+', html)) == {document().order_url}
    assert ticket(1).code not in html + part(message, "plain")


def test_late_refunded_says_the_money_comes_back() -> None:
    message = mail.compose(document(tickets=[]), "late_refunded", "t@fm.example", None, None, "k")
    assert "€53.50 is already on its way back" in part(message, "plain")
    assert list(message.iter_attachments()) == []


def test_an_unknown_kind_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="no mail of kind"):
        compose(document(), "surprise")


@pytest.mark.parametrize(
    "text", [*STRANGE_NAMES, "x\r\nBcc: victim@example.com\r\n\r\n<script>alert(1)</script>"]
)
def test_nothing_typed_becomes_a_header_or_markup(text: str) -> None:
    message = compose(document(buyer_name=text, event_name=text, venue_name=text), key=f"k\r\nX-Evil: {1}")
    assert set(message.keys()) == {
        "Message-ID", "From", "To", "Subject", "Auto-Submitted", "Content-Language", "MIME-Version", "Content-Type",
    }  # fmt: skip
    assert [address.addr_spec for address in message["To"].addresses] == ["zoe@example.com"]
    assert "<script" not in part(message, "html")


@pytest.mark.parametrize(
    "email", ["", "x", "a@", "@b", "a@b\r\nBcc: c@d", "a@b, c@d", "a b@c.example", "<a@b>"]
)
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(mail.MailRefused):
        compose(document(email=email))


# --- sending ------------------------------------------------------------------------------------------------------


@contextmanager
def server(replies: dict[str, str]) -> Iterator[str]:
    """An SMTP server for one conversation that answers as told; 250 where it is not."""
    listener = socket.create_server(("127.0.0.1", 0))

    def converse() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as lines:

            def say(verb: str, otherwise: str) -> None:
                lines.write(replies.get(verb, otherwise).encode() + b"\r\n")
                lines.flush()

            say("connect", "220 hello")
            for line in lines:
                verb = line[:4].strip().decode().upper()
                say(verb, "354 go on" if verb == "DATA" else "221 bye" if verb == "QUIT" else "250 ok")
                if verb == "QUIT":
                    return
                if verb == "DATA" and "DATA" not in replies:
                    while lines.readline() != b".\r\n":
                        pass
                    say("end", "250 kept")

    thread = threading.Thread(target=converse)
    thread.start()
    try:
        yield f"smtp://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        thread.join(10)
        listener.close()


@pytest.mark.parametrize(
    ("replies", "raised"),
    [
        ({}, None),
        ({"RCPT": "550 no such user"}, mail.MailRefused),
        ({"RCPT": "450 greylisted"}, mail.MailUnavailable),
        ({"MAIL": "550 not you"}, mail.MailUnavailable),
        ({"end": "554 spam"}, mail.MailRefused),
        ({"end": "451 full"}, mail.MailUnavailable),
        ({"connect": "421 busy"}, mail.MailUnavailable),
    ],
)
def test_a_servers_no_is_ours_to_retry_or_not(
    replies: dict[str, str], raised: type[Exception] | None
) -> None:
    message = mail.compose(document(), "paid", "t@fm.example", None, None, "k")
    with server(replies) as url:
        if raised is None:
            mail.send(url, message)
        else:
            with pytest.raises(raised) as refused:
                mail.send(url, message)
            assert "zoe@example.com" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["", "http://127.0.0.1:1", "smtp://", "smtp://127.0.0.1:1", "smtp://127.0.0.1:x"]
)
def test_no_server_is_unavailable(url: str) -> None:
    with pytest.raises(mail.MailUnavailable):
        mail.send(url, mail.compose(document(), "paid", "t@fm.example", None, None, "k"))


def test_smtplib_is_told_our_name_and_never_looks_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(smtplib.socket, "getfqdn", refuse)  # type: ignore[attr-defined]
    with server({}) as url:
        mail.send(url, mail.compose(document(), "paid", "t@fm.example", None, None, "k"))
