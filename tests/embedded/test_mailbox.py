"""The local mailbox as a program: mail in by SMTP, out by HTTP, kept through kill -9."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.embedded.mailbox_fixtures import mailbox_database

__all__ = ["mailbox_database"]


class Mailbox:
    """One running program."""

    def __init__(self, database: str, ports: Path, *arguments: str) -> None:
        ports.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.embedded.mailbox", "--port-file", str(ports), *arguments],
            env=os.environ | {"LOCAL_MAILBOX_DATABASE_URL": database},
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while not ports.exists():
            assert self.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        self.ports = json.loads(ports.read_text())
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.ports['http']}", timeout=10)

    def send(self, message: EmailMessage, *recipients: str) -> None:
        with smtplib.SMTP("127.0.0.1", self.ports["smtp"], "tests", timeout=10) as server:
            server.send_message(message, to_addrs=recipients or None)

    def messages(self, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get("/api/messages", params=query).json()["data"]
        return found

    def end(self, how: signal.Signals) -> int:
        self.http.close()
        self.process.send_signal(how)
        return self.process.wait(10)


@pytest.fixture
def mailbox(mailbox_database: str, tmp_path: Path) -> Iterator[Mailbox]:
    running = Mailbox(mailbox_database, tmp_path / "ports.json")
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.end(signal.SIGTERM)


def mail(subject: str, to: str = "zoe@example.com") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "tickets@fm.example", to, subject
    message["Message-ID"] = "<k-1@fm.example>"
    message.set_content("See https://tickets.example/orders/ord_x?a=1&b=<script>\n")
    message.add_alternative(
        "<p>Héllo</p><script>top.x=1</script><img src=https://evil.example/x>", subtype="html"
    )
    message.add_attachment(
        b"%PDF-1.7 \x00\xff", maintype="application", subtype="pdf", filename='tick "é".pdf'
    )
    return message


def test_what_is_sent_is_read_back(mailbox: Mailbox) -> None:
    mailbox.send(mail("Größe 😀"), "zoe@example.com", "amy@example.com")
    newest = mailbox.messages()[0]
    assert newest["to"] == ["zoe@example.com", "amy@example.com"]
    assert newest["subject"] == "Größe 😀"
    assert newest["text"].startswith("See https://tickets.example/orders/ord_x")
    assert newest["html"].startswith("<p>Héllo</p>")
    assert newest["attachments"] == [
        {"filename": 'tick "é".pdf', "content_type": "application/pdf", "size": 11}
    ]
    file = mailbox.http.get(f"/messages/{newest['id']}/attachments/1")
    assert (file.status_code, file.content) == (200, b"%PDF-1.7 \x00\xff")
    assert file.headers["content-disposition"].startswith("attachment;")
    assert file.headers["content-type"] == "application/pdf"


def test_newest_first_and_what_comes_twice_is_kept_twice(mailbox: Mailbox) -> None:
    for subject in ("first", "again", "again"):
        mailbox.send(mail(subject, "order@example.com"))
    found = mailbox.messages(to="order@example.com")
    assert [message["subject"] for message in found] == ["again", "again", "first"]
    assert mailbox.messages(to="order@example.com", limit=1) == found[:1]
    assert mailbox.messages(to="order@example.com", starting_after=found[1]["id"]) == found[2:]
    page = mailbox.http.get("/").text
    assert page.index("again") < page.index("first")


def test_mail_in_a_browser_runs_nothing(mailbox: Mailbox) -> None:
    mailbox.send(mail("<script>alert(1)</script>"))
    number = mailbox.messages()[0]["id"]
    page = mailbox.http.get(f"/messages/{number}")
    assert "<script" not in page.text and '<iframe sandbox="" ' in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "script-src" not in page.headers["content-security-policy"]
    assert '<a href="https://tickets.example/orders/ord_x?a=1&amp;b=' in page.text
    inner = mailbox.http.get(f"/messages/{number}/html")
    policy = inner.headers["content-security-policy"]
    assert (
        "Héllo" in inner.text and policy.startswith("sandbox; default-src 'none'") and "allow-" not in policy
    )
    assert mailbox.http.get("/").headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/messages/0",
        "/messages/99999999999999999999",
        "/messages/x",
        "/messages/1/attachments/9",
        "/messages/0/html",
    ],
)
def test_what_is_not_there_is_404(mailbox: Mailbox, path: str) -> None:
    mailbox.send(mail("one"))
    assert mailbox.http.get(path).status_code == 404


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\xff\xfe no headers at all",
        b"Subject: =?no-such-charset?b?AAAA?=\r\nContent-Type: text/plain; charset=no-such\r\n\r\n\x80\x00",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nb\r\n--x--",
        b"Subject: a\r\n b\r\nContent-Disposition: attachment; filename*=UTF-8''%00%0d%0a\r\n\r\nx",
    ],
)
def test_any_bytes_are_kept_and_shown(mailbox: Mailbox, raw: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", mailbox.ports["smtp"], "tests", timeout=10) as server:
        server.sendmail("", ["odd@example.com"], raw)
    newest = mailbox.messages()[0]
    assert newest["to"] == ["odd@example.com"]
    for path in ("", "/html", "/source"):
        assert mailbox.http.get(f"/messages/{newest['id']}{path}").status_code == 200
    for at, _ in enumerate(newest["attachments"], start=1):
        assert mailbox.http.get(f"/messages/{newest['id']}/attachments/{at}").status_code == 200


def test_what_was_answered_survives_a_kill(mailbox_database: str, tmp_path: Path) -> None:
    first = Mailbox(mailbox_database, tmp_path / "ports.json")
    first.send(mail("before the kill"))
    kept = first.messages()
    first.end(signal.SIGKILL)
    # The same ports, at once: the engine starts it again where its faces expect it.
    again = Mailbox(
        mailbox_database,
        tmp_path / "ports.json",
        "--port",
        str(first.ports["http"]),
        "--smtp-port",
        str(first.ports["smtp"]),
    )
    try:
        assert again.ports == first.ports
        assert again.messages() == kept and kept[0]["subject"] == "before the kill"
        assert again.http.get("/healthz").json() == {"status": "ok"}
    finally:
        assert again.end(signal.SIGINT) == 0


def test_it_stops_though_clients_hold_on(mailbox: Mailbox) -> None:
    mailbox.http.get("/healthz")
    with smtplib.SMTP("127.0.0.1", mailbox.ports["smtp"], "tests", timeout=10) as server:
        server.noop()
        mailbox.process.send_signal(signal.SIGTERM)
        assert mailbox.process.wait(10) == 0
        server.sock.close()  # type: ignore[union-attr]
        server.sock = None
    mailbox.http.close()


def test_without_a_database_it_says_what_is_missing() -> None:
    environ = {name: text for name, text in os.environ.items() if name != "LOCAL_MAILBOX_DATABASE_URL"}
    done = subprocess.run(
        [sys.executable, "-m", "engine.embedded.mailbox"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2 and "LOCAL_MAILBOX_DATABASE_URL" in done.stderr
