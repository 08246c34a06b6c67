"""The HTTP of the local Stripe: keys, idempotency, faults, and which endpoint a path means.

Promises: what a request did and what its key remembers are committed together, before it is answered.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import html
import random
import time
from typing import Any

import asyncpg
import msgspec
from quart import Quart, Response, redirect, request

from engine.embedded.stripe import events, forms, payments, refunds, store
from engine.embedded.stripe.endpoints import PUBLIC, find
from engine.embedded.stripe.errors import StripeError, bad_parameter, server_error
from engine.embedded.stripe.events import Deliverer
from engine.embedded.stripe.faults import Faults
from engine.embedded.stripe.forms import Params
from engine.embedded.stripe.payments import Work
from engine.embedded.stripe.settings import API_VERSION, Settings

_KEY_CHARS = 255
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS, DELETE",
    "Access-Control-Allow-Headers": "authorization, content-type, idempotency-key, stripe-version",
    "Access-Control-Expose-Headers": "Request-Id, Idempotent-Replayed",
    "Access-Control-Max-Age": "300",
}


class LocalStripe:
    """The app and its background work."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.faults = Faults()
        self.base_url = ""
        self.app = Quart("local_stripe")
        self.app.config["MAX_CONTENT_LENGTH"] = 1024 * 1024
        self._busy: set[str] = set()
        self._running: set[asyncio.Future[Response]] = set()
        self._routes()

    async def open(self) -> None:
        self.pool = await asyncpg.create_pool(
            self.settings.database_url,
            min_size=8,
            max_size=8,
            init=store.prepare_connection,
            max_inactive_connection_lifetime=0,
        )
        async with self.pool.acquire() as conn:
            await store.make_schema(conn)
            await self.faults.load(conn)
        self.deliverer = Deliverer(self.pool, self.settings, self.faults)

    def work(self, conn: Any, request_id: str | None = None, key: str | None = None) -> Work:
        told = {"id": request_id, "idempotency_key": key}
        return Work(conn, self.settings, self.faults, self.base_url, told)

    async def run_jobs(self) -> None:
        """Do what has come due, until cancelled."""
        while True:
            try:
                while await self._run_job():
                    self.deliverer.came.set()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, StripeError):
                await asyncio.sleep(1)
            await asyncio.sleep(0.1)

    async def _run_job(self) -> bool:
        async with self.pool.acquire() as conn, conn.transaction():
            row = await conn.fetchrow(
                """DELETE FROM jobs WHERE id = (SELECT id FROM jobs WHERE due_at <= $1 ORDER BY due_at LIMIT 1
                   FOR UPDATE SKIP LOCKED) RETURNING kind, object""",
                time.time(),
            )
            if row is None:
                return False
            await refunds.run_job(self.work(conn), row["kind"], row["object"])
            return True

    # --- the API --------------------------------------------------------------------------------------------------

    def _routes(self) -> None:
        app = self.app

        @app.get("/healthz")
        async def healthz() -> Response:
            return _json(200, {"status": "ok"})

        @app.route("/v1/<path:_path>", methods=["GET", "POST", "DELETE", "OPTIONS"])
        async def api(_path: str) -> Response:
            if request.method == "OPTIONS":
                return _with_headers(Response(b"", status=204), _CORS)
            # As at Stripe, a caller who hangs up does not undo what was begun.
            task = asyncio.ensure_future(self._api())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            return await asyncio.shield(task)

        @app.route("/_local/3ds/<intent>/<token>", methods=["GET", "POST"])
        async def authenticate(intent: str, token: str) -> Any:
            return await self._authenticate(intent, token)

        @app.route("/_local/<path:path>", methods=["GET", "POST"])
        async def local(path: str) -> Response:
            try:
                return await self._local(path)
            except StripeError as error:
                return _json(error.status, error.body)

    async def _api(self) -> Response:
        request_id = f"req_{store.random_text(14)}"
        params: Params = {}
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        headers = {"Request-Id": request_id, "Stripe-Version": API_VERSION}
        try:
            body_given: Any = await request.get_data()
            params = forms.parse(body_given or request.query_string)
            if key is not None and (not key or len(key) > _KEY_CHARS):
                raise bad_parameter("Idempotency-Key must have 1 to 255 characters.")
            self._authorise(params)
            self.faults.check_rate()
            status, body, replayed = await self._execute(params, key, request_id)
            if replayed:
                headers |= {"Idempotent-Replayed": "true", "Original-Request": replayed}
        except StripeError as error:
            status, body = error.status, msgspec.json.encode(error.body)
            headers |= error.headers
        await self._note(params, key, status)
        if key:
            headers["Idempotency-Key"] = key
        response = Response(body, status=status, content_type="application/json")
        return _with_headers(response, headers | _CORS)

    def _authorise(self, params: Params) -> None:
        """The secret key, or the publishable one where a browser may use it. Raises StripeError 401."""
        given = str(params.get("key", ""))
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            given = value.strip()
        elif kind.lower() == "basic":
            try:
                given = base64.b64decode(value).decode().partition(":")[0]
            except (binascii.Error, ValueError):
                given = ""
        if hmac.compare_digest(given.encode(), self.settings.secret_key.encode()):
            return
        if hmac.compare_digest(given.encode(), self.settings.publishable_key.encode()):
            if PUBLIC.fullmatch(request.path) and "client_secret" in params:
                return
            raise StripeError(
                401, "This API call cannot be made with a publishable API key. Please use a secret API key."
            )
        raise StripeError(401, "Invalid API Key provided.")

    async def _execute(
        self, params: Params, key: str | None, request_id: str
    ) -> tuple[int, bytes, str | None]:
        """(status, body, the first request's id when this answer is a replay)."""
        meaning = msgspec.json.encode(params, order="sorted").decode() if key else ""
        if key is not None:
            if key in self._busy:
                raise StripeError(
                    409,
                    "There is currently another in-progress request using this Idempotent Key.",
                    kind="idempotency_error",
                    code="idempotency_key_in_use",
                )
            self._busy.add(key)
        try:
            if key is not None:
                kept = await self._kept(key, meaning)
                if kept is not None:
                    return kept
            await self._delay()
            if random.random() < self.faults.api["error_rate"]:
                return await self._fail(key, meaning, request_id)
            return await self._run(params, key, meaning, request_id)
        finally:
            if key is not None:
                self._busy.discard(key)
            self.deliverer.came.set()

    async def _delay(self) -> None:
        api = self.faults.api
        if api["hang_s"]:
            await asyncio.sleep(api["hang_s"])
        if api["latency_ms"]:
            await asyncio.sleep(api["latency_ms"] / 1000)

    async def _kept(self, key: str, meaning: str) -> tuple[int, bytes, str | None] | None:
        row = await self.pool.fetchrow("SELECT * FROM idempotency WHERE key = $1", key)
        if row is None:
            return None
        if row["path"] != request.path or row["params"] != meaning:
            raise StripeError(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request.",
                kind="idempotency_error",
            )
        return row["status"], row["body"], row["request"]

    async def _fail(self, key: str | None, meaning: str, request_id: str) -> tuple[int, bytes, None]:
        body = msgspec.json.encode(server_error())
        async with self.pool.acquire() as conn:
            await self._keep(conn, key, meaning, 500, body, request_id)
        return 500, body, None

    async def _run(
        self, params: Params, key: str | None, meaning: str, request_id: str
    ) -> tuple[int, bytes, None]:
        endpoint, ids = find(request.method, request.path)
        expansions = [one.split(".") for one in forms.texts(params, "expand")]
        given = {name: value for name, value in params.items() if name not in ("key", "expand")}
        async with self.pool.acquire() as conn, conn.transaction():
            try:
                async with conn.transaction():
                    status, document = await endpoint(self.work(conn, request_id, key), ids, given)
                    document = await self._expanded(conn, document, expansions)
            except StripeError as error:
                if not error.executed:
                    raise
                status, document = error.status, error.body
            body = msgspec.json.encode(document)
            if request.method == "POST" and random.random() < self.faults.api["error_after_success_rate"]:
                status, body = 500, msgspec.json.encode(server_error())
            await self._keep(conn, key, meaning, status, body, request_id)
        return status, body, None

    async def _expanded(self, conn: Any, document: dict[str, Any], paths: list[list[str]]) -> dict[str, Any]:
        if not paths or "error" in document:
            return document
        document = msgspec.json.decode(msgspec.json.encode(document))
        listed = document.get("object") == "list"
        for path in paths:
            if listed and path[0] == "data":
                await store.expand(conn, document["data"], path[1:])
            else:
                await store.expand(conn, [document], path)
        return document

    async def _keep(
        self, conn: Any, key: str | None, meaning: str, status: int, body: bytes, request_id: str
    ) -> None:
        if key is None:
            return
        await conn.execute(
            """INSERT INTO idempotency (key, path, params, status, body, request, created)
               VALUES ($1, $2, $3, $4, $5, $6, $7)""",
            key,
            request.path,
            meaning,
            status,
            body,
            request_id,
            time.time(),
        )

    async def _note(self, params: Params, key: str | None, status: int) -> None:
        """What was asked, without cards, keys and secrets."""
        await self.pool.execute(
            """INSERT INTO requests (at, method, path, params, idempotency_key, status)
               VALUES ($1, $2, $3, $4, $5, $6)""",
            time.time(),
            request.method,
            request.path,
            forms.shown(params),
            key,
            status,
        )

    # --- beside the API -------------------------------------------------------------------------------------------

    async def _local(self, path: str) -> Response:
        if path == "requests" and request.method == "GET":
            rows = await self.pool.fetch(
                "SELECT * FROM (SELECT * FROM requests ORDER BY seq DESC LIMIT 5000) r ORDER BY seq"
            )
            names = ("method", "path", "params", "idempotency_key", "status", "at")
            return _json(200, {"data": [{name: row[name] for name in names} for row in rows]})
        if path == "faults":
            if request.method == "POST":
                async with self.pool.acquire() as conn:
                    await self.faults.change(conn, await _document())
            return _json(200, self.faults.document)
        if path == "events/replay" and request.method == "POST":
            return _json(200, {"replayed": await self._replay(await _document())})
        if path == "reset" and request.method == "POST":
            tables = "objects, jobs, deliveries, idempotency, requests, faults"
            await self.pool.execute(f"TRUNCATE {tables}")
            self.faults.reset()
            return _json(200, {"reset": True})
        raise StripeError(404, f"Unrecognized request URL ({request.method}: {request.path}).")

    async def _replay(self, document: Any) -> int:
        wanted = document.get("id") if isinstance(document, dict) else None
        async with self.pool.acquire() as conn, conn.transaction():
            rows = await conn.fetch(
                "SELECT id FROM objects WHERE kind = 'event' AND ($1::text IS NULL OR id = $1) ORDER BY seq",
                wanted,
            )
            for row in rows:
                await events.enqueue(conn, row["id"])
        self.deliverer.came.set()
        return len(rows)

    async def _authenticate(self, intent: str, token: str) -> Any:
        if request.method == "GET":
            return _page(
                "3-D Secure",
                f"""<p>The bank of this test card asks: is it you who pays?</p>
                <form method="post" action="/_local/3ds/{html.escape(intent)}/{html.escape(token)}">
                <button name="outcome" value="approve">Approve</button>
                <button name="outcome" value="fail">Fail</button></form>""",
            )
        form = await request.form
        try:
            async with self.pool.acquire() as conn, conn.transaction():
                where = await payments.authenticate(
                    self.work(conn), intent, token, form.get("outcome") == "approve"
                )
        except StripeError as error:
            return _page(
                "3-D Secure", f"<p>{html.escape(str(error))} You may close this page.</p>", error.status
            )
        finally:
            self.deliverer.came.set()
        if where is None:
            return _page("3-D Secure", "<p>Done. You may close this page.</p>")
        return redirect(where, 303)


async def _document() -> Any:
    body = await request.get_data()
    if not body:
        return {}
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise bad_parameter("Send JSON.") from None


def _json(status: int, document: Any) -> Response:
    return Response(msgspec.json.encode(document), status=status, content_type="application/json")


def _with_headers(response: Response, headers: dict[str, str]) -> Response:
    for name, value in headers.items():
        response.headers[name] = value
    return response


def _page(title: str, body: str, status: int = 200) -> Response:
    # No form-action: the browser would apply it to the way back to the shop as well.
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
    text = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>{title}</title><style>body{{font:1.1rem system-ui;max-width:30rem;margin:4rem auto;padding:0 1rem}}"
        f"button{{font:inherit;padding:.6rem 1.2rem;margin-right:1rem}}</style><h1>{title}</h1>{body}</html>"
    )
    response = Response(text, status=status, content_type="text/html; charset=utf-8")
    return _with_headers(response, {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"})
