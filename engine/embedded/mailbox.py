"""A mailbox for trying things out: takes any mail by SMTP on loopback, keeps it in Postgres, shows it in a browser.

A program of its own: `python -m engine.embedded.mailbox --port N --smtp-port N --port-file PATH`, with the database's URL
in LOCAL_MAILBOX_DATABASE_URL. Imports nothing of ours.

Promises: a message is in Postgres before its sender hears 250. What comes twice is kept twice: whether a mail was sent
again is what one wants to see here. Mail is shown without scripts, in a sandbox, and loads nothing from anywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import email
import email.policy
import json
import os
import signal
import socket
import sys
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import hypercorn.asyncio
from aiosmtpd.smtp import SMTP, Envelope, Session
from hypercorn.config import Config
from quart import Quart, Response, abort, render_template_string, request

_START_SECONDS = 60.0
_MESSAGE_BYTES_MAX = 32 * 1024 * 1024
_PAGE = 100
_LIST = 500
_LIST_MAX = 1_000

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
_COLUMNS = "id, received_at, sender, recipients, subject, body_text, body_html, attachments"


# --- what a message says ------------------------------------------------------------------------------------------


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


# --- SMTP ---------------------------------------------------------------------------------------------------------


class Keeper:
    """aiosmtpd's handler: answers 250 after the commit, and a temporary failure when there is none."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        raw = envelope.content if isinstance(envelope.content, bytes) else b""
        message = parse(raw)
        files = [
            {"filename": name, "content_type": kind, "size": len(data)}
            for name, kind, data in attachments(message)
        ]
        try:
            number = await self._pool.fetchval(
                """INSERT INTO mailbox.messages (sender, recipients, subject, body_text, body_html, attachments, raw)
                   VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id""",
                storable(envelope.mail_from or ""),
                [storable(recipient) for recipient in envelope.rcpt_tos],
                storable(message.get("Subject", "")),
                body(message, "plain"),
                body(message, "html"),
                json.dumps(files),
                raw,
                timeout=10,
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            print(f"not kept: {type(error).__name__}", file=sys.stderr, flush=True)
            return "451 4.3.0 not kept, try again"
        return f"250 2.0.0 kept as {number}"


# --- pages --------------------------------------------------------------------------------------------------------

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#111;background:#fff}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .8rem .4rem 0;border-bottom:1px solid #ddd;
vertical-align:top;overflow-wrap:anywhere}pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f6f6f6;padding:1rem}
iframe{width:100%;height:32rem;border:1px solid #ccc}.quiet{color:#555}
"""
_FRAME = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>{% block title %}{% endblock %}</title>
<link rel="stylesheet" href="/style.css"></head><body>%s</body></html>"""
_INBOX = (
    _FRAME.replace("{% block title %}{% endblock %}", "Mailbox")
    % """
<h1>Mailbox</h1><p class="quiet">Mail sent here stays here. <a href="/">Look again</a></p>
{% if messages %}<table><thead><tr><th>Received (UTC)</th><th>To</th><th>Subject</th><th>Files</th></tr></thead><tbody>
{% for m in messages %}<tr><td>{{ m.received_at.strftime("%Y-%m-%d %H:%M:%S") }}</td><td>{{ m.recipients|join(", ") }}</td>
<td><a href="/messages/{{ m.id }}">{{ m.subject or "(no subject)" }}</a></td><td>{{ m.files }}</td></tr>
{% endfor %}</tbody></table>{% if older %}<p><a href="/?before={{ older }}">Older</a></p>{% endif %}
{% else %}<p>No mail yet.</p>{% endif %}"""
)
_MESSAGE = (
    _FRAME.replace("{% block title %}{% endblock %}", "{{ m.subject }}")
    % """
<p><a href="/">All mail</a></p><h1>{{ m.subject or "(no subject)" }}</h1>
<table><tr><th>From</th><td>{{ m.sender }}</td></tr><tr><th>To</th><td>{{ m.recipients|join(", ") }}</td></tr>
<tr><th>Received (UTC)</th><td>{{ m.received_at.strftime("%Y-%m-%d %H:%M:%S") }}</td></tr>
{% for f in files %}<tr><th>File</th><td><a href="/messages/{{ m.id }}/attachments/{{ loop.index }}">{{ f.filename }}</a>
<span class="quiet">{{ f.content_type }}, {{ f.size }} bytes</span></td></tr>{% endfor %}</table>
{% if m.body_text %}<h2>Text</h2><pre>{{ m.body_text|urlize(rel="noreferrer noopener", nofollow=false) }}</pre>{% endif %}
{% if m.body_html %}<h2>HTML</h2><iframe sandbox="" title="The message as HTML" src="/messages/{{ m.id }}/html"></iframe>
{% endif %}<p><a href="/messages/{{ m.id }}/source">Source</a></p>"""
)

_OUR_PAGES = (
    "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; object-src 'none'; "
    "frame-ancestors 'none'"
)
_ITS_HTML = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)


def make_app(pool: asyncpg.Pool) -> Quart:
    """The pages and the JSON."""
    app = Quart(__name__, static_folder=None)

    async def find(number: int, columns: str) -> Any:
        row = None
        if number < 2**63:
            row = await pool.fetchrow(f"SELECT {columns} FROM mailbox.messages WHERE id = $1", number)
        if row is None:
            abort(404)
        return row

    @app.after_request
    async def guard(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", _OUR_PAGES)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.errorhandler(OSError)
    @app.errorhandler(asyncpg.PostgresError)
    @app.errorhandler(asyncpg.InterfaceError)
    async def unavailable(error: Exception) -> tuple[str, int, dict[str, str]]:
        return "The database does not answer. Try again.", 503, {"Retry-After": "1"}

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/style.css")
    async def style() -> Response:
        return Response(_STYLE, content_type="text/css; charset=utf-8")

    @app.get("/")
    async def inbox() -> str:
        before = request.args.get("before", type=int)
        rows = await _newest(pool, before, None, _PAGE + 1)
        shown = [{**row, "files": len(json.loads(row["attachments"]))} for row in rows[:_PAGE]]
        older = rows[_PAGE - 1]["id"] if len(rows) > _PAGE else None
        return await render_template_string(_INBOX, messages=shown, older=older)

    @app.get("/messages/<int:number>")
    async def show(number: int) -> str:
        row = await find(number, _COLUMNS)
        return await render_template_string(_MESSAGE, m=row, files=json.loads(row["attachments"]))

    @app.get("/messages/<int:number>/html")
    async def html(number: int) -> Response:
        row = await find(number, "body_html")
        response = Response(row["body_html"], content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = _ITS_HTML
        return response

    @app.get("/messages/<int:number>/source")
    async def source(number: int) -> Response:
        row = await find(number, "raw")
        return Response(row["raw"], content_type="text/plain; charset=utf-8")

    @app.get("/messages/<int:number>/attachments/<int:at>")
    async def attachment(number: int, at: int) -> Response:
        files = attachments(parse((await find(number, "raw"))["raw"]))
        if not 1 <= at <= len(files):
            abort(404)
        name, kind, data = files[at - 1]
        response = Response(data, content_type=kind)
        response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
        return response

    @app.get("/api/messages")
    async def api() -> Response:
        limit = min(max(request.args.get("limit", _LIST, type=int), 1), _LIST_MAX)
        after = request.args.get("starting_after", type=int)
        rows = await _newest(pool, after, request.args.get("to"), limit + 1)
        found = {"data": [_as_json(row) for row in rows[:limit]], "has_more": len(rows) > limit}
        return Response(json.dumps(found), content_type="application/json")

    return app


async def _newest(pool: asyncpg.Pool, before: int | None, to: str | None, limit: int) -> list[Any]:
    rows: list[Any] = await pool.fetch(
        f"""SELECT {_COLUMNS} FROM mailbox.messages
            WHERE ($1::bigint IS NULL OR id < $1) AND ($2::text IS NULL OR $2 = ANY (recipients))
            ORDER BY id DESC LIMIT $3""",
        None if before is None else max(min(before, 2**63 - 1), 0),
        None if to is None else storable(to),
        limit,
    )
    return rows


def _as_json(row: Any) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "received_at": row["received_at"].isoformat().replace("+00:00", "Z"),
        "from": row["sender"],
        "to": row["recipients"],
        "subject": row["subject"],
        "text": row["body_text"],
        "html": row["body_html"],
        "attachments": json.loads(row["attachments"]),
    }


# --- running ------------------------------------------------------------------------------------------------------


async def connect(url: str) -> asyncpg.Pool:
    """A pool on a database with our table in it. Raises what the database says if it does not answer within a minute."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_SECONDS
    while True:
        try:
            pool = await asyncpg.create_pool(url, min_size=1, max_size=4, timeout=5, command_timeout=15)
            async with pool.acquire() as conn, conn.transaction():
                await conn.execute("SELECT pg_advisory_xact_lock($1)", _SCHEMA_LOCK)
                await conn.execute(_SCHEMA)
            return pool
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError):
            if loop.time() > deadline:
                raise
            await asyncio.sleep(0.1)


async def run(options: argparse.Namespace, url: str) -> None:
    """Serve until SIGTERM or SIGINT. What is being received then is either kept and answered, or neither."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    starting = asyncio.create_task(connect(url))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        return
    pool = starting.result()
    keeper = Keeper(pool)
    smtp = await loop.create_server(
        lambda: SMTP(
            keeper,
            loop=loop,
            hostname="localhost",
            ident="mailbox",
            enable_SMTPUTF8=True,
            data_size_limit=_MESSAGE_BYTES_MAX,
        ),
        "127.0.0.1",
        options.smtp_port,
    )
    listener = _listen(options.port)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.graceful_timeout = 0.5
    config.accesslog = None
    ports = {"http": _port(config.bind[0]), "smtp": smtp.sockets[0].getsockname()[1]}
    serving = asyncio.create_task(hypercorn.asyncio.serve(make_app(pool), config, shutdown_trigger=stop.wait))
    if options.port_file:
        write_aside(Path(options.port_file), json.dumps(ports))
    print(f"mailbox on http://127.0.0.1:{ports['http']}, SMTP on {ports['smtp']}", flush=True)
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    smtp.close()
    await asyncio.wait([serving], timeout=1.2)
    pool.terminate()
    if serving.done():
        serving.result()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def _port(bind: str) -> int:
    with socket.socket(fileno=os.dup(int(bind.removeprefix("fd://")))) as twin:
        port: int = twin.getsockname()[1]
        return port


def write_aside(path: Path, text: str) -> None:
    """Whole or not at all: readers poll for this file."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    temporary.write_text(text)
    temporary.replace(path)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m engine.embedded.mailbox", description="A mailbox to try things out."
    )
    parser.add_argument("--port", type=int, default=0, help="HTTP; 0 picks a free one")
    parser.add_argument("--smtp-port", type=int, default=0, help="SMTP; 0 picks a free one")
    parser.add_argument("--port-file", help="where to write the ports, as JSON, once both listen")
    options = parser.parse_args()
    url = os.environ.get("LOCAL_MAILBOX_DATABASE_URL")
    if not url:
        print(
            "LOCAL_MAILBOX_DATABASE_URL is not set: it names the database that keeps the mail",
            file=sys.stderr,
        )
        return 2
    asyncio.run(run(options, url))
    return 0


if __name__ == "__main__":
    sys.exit(main())
