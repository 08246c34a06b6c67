"""Mail about an order: what it says, and handing it to a mail server. One text part, one HTML part, no tracking.

Promises: one key gives one message, Message-ID included, so a repeat can be told from a second mail; nothing a buyer
or an organizer typed can become a header; the message loads nothing from anywhere.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr
from hashlib import sha256
from urllib.parse import parse_qs, unquote, urlsplit

from engine.adapters import mail_words
from engine.adapters.documents import OrderDocument
from engine.adapters.plain_words import one_line

_TIMEOUT_SECONDS = 20.0
_BAD_URL = "FM_SMTP_URL is not smtp://host:port or smtps://host:port"
_SUBJECT_CHARS = 150
_NAME_CHARS = 100


class MailUnavailable(Exception):
    """The mail server does not take mail now. Try again later; if it lasts, the operator must act."""


class MailRefused(Exception):
    """This message will never be taken: its recipient or its content is refused. Trying again is no use."""


def compose(
    document: OrderDocument,
    kind: str,
    mail_from: str,
    pdf: bytes | None,
    ics: bytes | None,
    key: str,
) -> EmailMessage:
    """The message of a kind (`paid`, `late_refunded`) under `key`, ours, not a secret. It has no date before it is sent.

    Raises MailRefused for an address that is none, ValueError for an unknown kind.
    """
    words = mail_words.write(document, kind)
    sender_name, sender = parseaddr(mail_from)
    message = EmailMessage(policy=SMTP)
    message["Message-ID"] = f"<{_atom(key)}@{sender.rpartition('@')[2]}>"
    message["From"] = _address(sender_name, sender)
    message["To"] = _address(document.buyer_name, document.email)
    message["Subject"] = one_line(words.subject)[:_SUBJECT_CHARS]
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(words.text)
    message.add_alternative(words.html, subtype="html")
    if pdf is not None:
        name = f"tickets-{_atom(document.number)}.pdf"
        message.add_attachment(pdf, maintype="application", subtype="pdf", filename=name)
    if ics is not None:
        name = f"event-{_atom(document.number)}.ics"
        message.add_attachment(
            ics, maintype="text", subtype="calendar", filename=name, params={"charset": "utf-8"}
        )
    # Last, because setting a content clears what describes the one before.
    message["Content-Language"] = "en"
    _fix_boundaries(message, key)
    return message


def send(smtp_url: str, message: EmailMessage) -> None:
    """Hand `message` over and wait for the server's yes; blocks for seconds, so call it in a thread.

    `smtp_url` is `smtp://user:password@host:port`, `smtps://…`, or `smtp://…?starttls=1`.
    Raises MailUnavailable, MailRefused.
    """
    if "Date" not in message:
        message["Date"] = formatdate(localtime=False)
    with _failures(), _connect(smtp_url, _domain(message)) as server:
        server.send_message(message)


@contextmanager
def _failures() -> Iterator[None]:
    """The library's many exceptions as our two. No reply of a server is repeated: it may quote the recipient."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        if all(code >= 500 for code in codes):
            raise MailRefused(f"the server refuses the recipient ({codes[0]})") from None
        raise MailUnavailable(f"the server cannot take the recipient now ({codes[0]})") from None
    except smtplib.SMTPNotSupportedError as error:
        raise MailRefused(f"the server cannot carry this message: {error}") from None
    except smtplib.SMTPDataError as error:
        kind = MailRefused if error.smtp_code >= 500 else MailUnavailable
        raise kind(f"the server does not take the message ({error.smtp_code})") from None
    except (smtplib.SMTPException, OSError) as error:
        # A wrong password or a refused sender is the operator's to repair: the mail waits for it.
        code = getattr(error, "smtp_code", "")
        raise MailUnavailable(f"no mail server: {type(error).__name__} {code}".rstrip()) from None


@contextmanager
def _connect(smtp_url: str, our_name: str) -> Iterator[smtplib.SMTP]:
    try:
        url = urlsplit(smtp_url)
        port = url.port
    except ValueError:
        raise MailUnavailable(_BAD_URL) from None
    if url.scheme not in ("smtp", "smtps") or not url.hostname:
        raise MailUnavailable(_BAD_URL)
    starttls = parse_qs(url.query).get("starttls", ["0"])[-1] == "1"
    server: smtplib.SMTP
    # The local name is given because looking up our own may take seconds.
    if url.scheme == "smtps":
        context = ssl.create_default_context()
        server = smtplib.SMTP_SSL(
            url.hostname, port or 465, our_name, timeout=_TIMEOUT_SECONDS, context=context
        )
    else:
        server = smtplib.SMTP(
            url.hostname, port or (587 if starttls else 25), our_name, timeout=_TIMEOUT_SECONDS
        )
    with server:
        if starttls:
            server.starttls(context=ssl.create_default_context())
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
        yield server


def _address(name: str, spec: str) -> Address:
    local, _, domain = spec.rpartition("@")
    try:
        ascii_domain = domain if domain.isascii() else domain.encode("idna").decode("ascii")
        # A lone line break or a second address does not survive the parser.
        return Address(one_line(name)[:_NAME_CHARS], addr_spec=f"{local}@{ascii_domain}")
    except (ValueError, IndexError, MessageError):
        raise MailRefused("this is not an address mail can be sent to") from None


def _domain(message: EmailMessage) -> str:
    return str(message["From"].addresses[0].domain) or "localhost"


def _atom(key: str) -> str:
    """`key` in the characters a Message-ID and a file name may have."""
    return "".join(char if char.isascii() and (char.isalnum() or char in "-_.") else "-" for char in key)


def _fix_boundaries(message: EmailMessage, key: str) -> None:
    """The library draws boundaries at random; the same message should be the same bytes."""
    for at, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"==={sha256(f'{at}:{key}'.encode()).hexdigest()[:40]}===")
