"""What a message says, and keeping it: mail's parts as text, the table they stand in, the newest first."""

from __future__ import annotations

import email
import email.policy
import json
from email.message import EmailMessage
from typing import Any

import asyncpg

_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS mailbox;
CREATE TABLE IF NOT EXISTS mailbox.messages (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    sender      text NOT NULL,
    recipients  text[] NOT NULL,
    subject     text NOT NULL,
    body_text   text NOT NULL,
    body_html   text NOT NULL,
    attachments jsonb NOT NULL,
    raw         bytea NOT NULL
);
"""
_SCHEMA_LOCK = 7_203_011
COLUMNS = "id, received_at, sender, recipients, subject, body_text, body_html, attachments"


def parse(raw: bytes) -> EmailMessage:
    """The message, whatever it is: mail's parser records defects and does not raise."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def body(message: EmailMessage, kind: str) -> str:
    """Its text or HTML part as a string; empty if it has none."""
    try:
        part = message.get_body((kind,))
        return storable(part.get_content()) if part is not None else ""
    except (LookupError, KeyError, ValueError, AttributeError):
        # An unknown character set, or a multipart that is none.
        return ""


def attachments(message: EmailMessage) -> list[tuple[str, str, bytes]]:
    """(file name, content type, bytes) of each attachment, in order."""
    found = []
    for at, part in enumerate(message.iter_attachments() if message.is_multipart() else (), start=1):
        content = part.get_payload(decode=True)
        data = content if isinstance(content, bytes) else bytes(part)
        found.append((storable(part.get_filename() or f"attachment-{at}"), part.get_content_type(), data))
    return found


def storable(text: object) -> str:
    """Text that Postgres and JSON can carry."""
    return str(text).replace("\0", "").encode("utf-8", "replace").decode("utf-8")


async def make_schema(pool: asyncpg.Pool) -> None:
    """Our table, made if it is not there."""
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock($1)", _SCHEMA_LOCK)
        await conn.execute(_SCHEMA)


async def keep(pool: asyncpg.Pool, sender: str, recipients: list[str], raw: bytes) -> int:
    """The number of the message, once it is committed. Raises what the database raises."""
    message = parse(raw)
    files = [
        {"filename": name, "content_type": kind, "size": len(data)}
        for name, kind, data in attachments(message)
    ]
    number: int = await pool.fetchval(
        """INSERT INTO mailbox.messages (sender, recipients, subject, body_text, body_html, attachments, raw)
           VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id""",
        storable(sender),
        [storable(recipient) for recipient in recipients],
        storable(message.get("Subject", "")),
        body(message, "plain"),
        body(message, "html"),
        json.dumps(files),
        raw,
        timeout=10,
    )
    return number


async def newest(pool: asyncpg.Pool, before: int | None, to: str | None, limit: int) -> list[Any]:
    """Messages older than number `before` and to the address `to`, where given."""
    rows: list[Any] = await pool.fetch(
        f"""SELECT {COLUMNS} FROM mailbox.messages
            WHERE ($1::bigint IS NULL OR id < $1) AND ($2::text IS NULL OR $2 = ANY (recipients))
            ORDER BY id DESC LIMIT $3""",
        None if before is None else max(min(before, 2**63 - 1), 0),
        None if to is None else storable(to),
        limit,
    )
    return rows
