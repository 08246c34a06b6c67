"""The mailbox in a browser and as JSON: our pages without scripts, a mail's HTML in a sandbox of its own."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import asyncpg
from quart import Quart, Response, abort, render_template_string, request

from engine.embedded.mailbox.messages import COLUMNS, attachments, newest, parse

_PAGE = 100
_LIST = 500
_LIST_MAX = 1_000

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
        rows = await newest(pool, before, None, _PAGE + 1)
        shown = [{**row, "files": len(json.loads(row["attachments"]))} for row in rows[:_PAGE]]
        older = rows[_PAGE - 1]["id"] if len(rows) > _PAGE else None
        return await render_template_string(_INBOX, messages=shown, older=older)

    @app.get("/messages/<int:number>")
    async def show(number: int) -> str:
        row = await find(number, COLUMNS)
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
        rows = await newest(pool, after, request.args.get("to"), limit + 1)
        found = {"data": [_as_json(row) for row in rows[:limit]], "has_more": len(rows) > limit}
        return Response(json.dumps(found), content_type="application/json")

    return app


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
