"""The lane: `POST /api/events/{id}/holds` and `/healthz` on a listener of its own, straight on trio and httptools.

The same decision, JSON, limits and idempotency scope as the app's route; only the way in is shorter.
Why: measured, a route through ASGI answers some 1,300 requests a second, the engine decides and commits many times that.
"""

from __future__ import annotations

import re
from typing import Any

import httptools
import msgspec
import structlog
import trio

from engine import queries
from engine.actions import reservations
from engine.actions.context import Caller, Context
from engine.adapters import challenge, http
from engine.adapters.http import Problem, refuse
from engine.adapters.limits import client_address
from engine.adapters.secrets import body_hash
from engine.core import ids, limits
from engine.core.limits import SECOND
from web.holds import HoldAsked, read_lines

log = structlog.get_logger(__name__)

_IDLE_SECONDS = 75.0
_REQUESTS = 10_000
_CONNECTIONS = 20_000
_CONNECTIONS_BY_ADDRESS = 256
_HEADER_BYTES = 32 * 1024
_PATH = re.compile(rb"/api/events/([A-Za-z0-9_-]{1,100})/holds")
_METHOD = re.compile(rb"[A-Z]{1,20} /")
_SESSION = re.compile(r"(?:^|;\s*)(?:__Host-)?fm_buyer=([A-Za-z0-9_-]{22})(?:;|$)")
_REASONS = {200: "OK", 201: "Created"} | http._TITLES


class Lane:
    """`serve` on listeners until cancelled."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.draining = False
        self._by_address: dict[str, int] = {}
        self._open = 0

    async def serve(self, listeners: list[trio.SocketListener]) -> None:
        await trio.serve_listeners(self._connection, listeners)

    async def _connection(self, stream: trio.SocketStream) -> None:
        peer = stream.socket.getpeername()[0]
        count = self._by_address.get(peer, 0)
        limited = self.context.limiter.enabled and self.context.settings.lane_trusted_proxies == 0
        if self._open >= _CONNECTIONS or (limited and count >= _CONNECTIONS_BY_ADDRESS):
            await stream.aclose()
            return
        self._by_address[peer] = count + 1
        self._open += 1
        try:
            await _Connection(self, stream, peer).run()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._open -= 1
            left = self._by_address[peer] - 1
            if left:
                self._by_address[peer] = left
            else:
                del self._by_address[peer]
            with trio.move_on_after(1, shield=True):
                await stream.aclose()


class _Connection:
    def __init__(self, lane: Lane, stream: trio.SocketStream, peer: str) -> None:
        self._lane, self._stream, self._peer = lane, stream, peer
        self._parser = httptools.HttpRequestParser(self)
        self._begin()
        self._ready: list[tuple[str, bytes, dict[str, list[str]], bytes, bool, Problem | None]] = []

    # --- httptools calls these ------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[str, list[str]] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._head = 0

    def on_message_begin(self) -> None:
        self._begin()

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._head += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value)
        self._headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= limits.BODY_BYTES:
            self._body.append(body)

    def on_message_complete(self) -> None:
        wrong = http.too_large() if self._size > limits.BODY_BYTES else None
        method = self._parser.get_method().decode("latin-1")
        keep = self._parser.should_keep_alive()
        self._ready.append((method, self._url, self._headers, b"".join(self._body), keep, wrong))

    # --- the loop ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        for _ in range(_REQUESTS):
            request = await self._next()
            if request is None:
                return
            method, url, headers, body, keep, wrong = request
            keep = keep and not self._lane.draining
            request_id = http.new_request_id()
            try:
                if wrong is not None:
                    raise wrong
                status, reply, more = await self._answer(method, url, headers, body)
            except Problem as problem:
                status, reply, more = problem.status, problem.body(request_id), problem.headers
            except Exception:
                log.exception("lane.failed", request_id=request_id)
                failure = Problem(
                    503, "unavailable", "Something failed on our side; try again.", retry_after=1
                )
                status, reply, more = 503, failure.body(request_id), failure.headers
            await self._send(status, reply, more, request_id, keep)
            if not keep:
                return

    async def _next(self) -> Any:
        while not self._ready:
            if self._size > limits.BODY_BYTES or self._head > _HEADER_BYTES:
                problem = http.too_large()
                request_id = http.new_request_id()
                await self._send(413, problem.body(request_id), problem.headers, request_id, False)
                return None
            with trio.move_on_after(_IDLE_SECONDS) as scope:
                data = await self._stream.receive_some(64 * 1024)
            if scope.cancelled_caught or not data:
                return None
            try:
                self._parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
                problem = _misunderstood(error, data)
                request_id = http.new_request_id()
                await self._send(problem.status, problem.body(request_id), problem.headers, request_id, False)
                return None
            if self._headers.get("expect") == ["100-continue"] and not self._ready:
                await self._stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                self._headers.pop("expect")
        return self._ready.pop(0)

    async def _send(
        self, status: int, body: bytes, more: dict[str, str], request_id: str, keep: bool
    ) -> None:
        head = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in more.items()]
        head += [f"X-Request-Id: {request_id}", f"Connection: {'keep-alive' if keep else 'close'}", "", ""]
        await self._stream.send_all("\r\n".join(head).encode("latin-1") + body)

    async def _answer(
        self, method: str, url: bytes, headers: dict[str, list[str]], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        path = url.partition(b"?")[0]
        if path == b"/healthz" and method in ("GET", "HEAD"):
            return 200, b'{"status":"ok"}' if method == "GET" else b"", {"Content-Type": "application/json"}
        match = _PATH.fullmatch(path)
        if match is None:
            raise Problem(404, "not_found", "The lane makes holds: POST /api/events/{id}/holds.")
        if method != "POST":
            raise _wrong_method()
        return await self._reserve(match[1].decode(), headers, body)

    async def _reserve(
        self, event_id: str, headers: dict[str, list[str]], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        context = self._lane.context
        _check_origin(headers)
        http.check_media_type(headers.get("content-type", [None])[0])
        document = http.read_json(body)
        key = http.check_idempotency_key(headers.get("idempotency-key", [None])[0])
        asked = http.convert(document, HoldAsked)
        who = self._caller(headers, asked.fingerprint)
        scope = f"{who.scope}\nPOST /api/events/{event_id}/holds"
        outcome = await reservations.reserve(
            context,
            event_id,
            read_lines(asked.lines),
            asked.promo_code,
            who,
            key=None if key is None else context.secrets.idempotency(scope, key),
            body=0 if key is None else body_hash(msgspec.json.encode(document, order="sorted")),
        )
        if not outcome.ok:
            raise refuse(outcome)
        inventory = context.directory.event(event_id)
        assert inventory is not None
        hold_id = ids.spell("hold", inventory.facts.number, outcome.value.id)
        reply = queries.hold(inventory, outcome.value, hold_id, context.now(), made=True)
        more = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        if outcome.replayed:
            more["Idempotent-Replayed"] = "true"
        return 201, msgspec.json.encode(reply), more

    def _caller(self, headers: dict[str, list[str]], fingerprint: str | None) -> Caller:
        proxies = self._lane.context.settings.lane_trusted_proxies
        address = client_address(self._peer, headers.get("x-forwarded-for", []), proxies)
        agent = headers.get("user-agent", [""])[0]
        match = _SESSION.search("; ".join(headers.get("cookie", [])))
        session = match[1] if match else None
        scope = f"session:{session}" if session else f"address:{address}\n{agent}"
        solved = challenge.solved(
            self._lane.context.secrets.challenge_key,
            headers.get("fm-challenge", [None])[0],
            self._lane.context.now() // SECOND,
        )
        return Caller(address, scope, session, fingerprint, agent, solved)


def _wrong_method() -> Problem:
    return Problem(405, "method_not_allowed", "The lane takes POST only; everything else is on the web app.")


def _misunderstood(error: Exception, data: bytes) -> Problem:
    """A method nobody knows is still a method; anything else is not HTTP."""
    if isinstance(error, httptools.HttpParserInvalidMethodError) and _METHOD.match(data):
        return _wrong_method()
    return Problem(400, "bad_request", "The request cannot be understood.")


def _check_origin(headers: dict[str, list[str]]) -> None:
    """Raises Problem 403 for another site's page."""
    origin = headers.get("origin", [None])[0]
    if origin is None or (origin == "null" and headers.get("sec-fetch-site") == ["same-origin"]):
        return
    if origin.partition("://")[2] != headers.get("host", [""])[0]:
        raise Problem(403, "cross_origin", "This request came from another site's page.")
