"""What both faces' apps share: request ids, problems instead of HTML, strict bodies, health, metrics, security headers.

Promises: bad input is a 4xx problem+json, never a 5xx or a page; a body over the limit is 413 before it is read whole.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import structlog
import trio
from quart import Response, g, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from engine.adapters import http
from engine.adapters.http import Problem
from engine.adapters.limits import client_address
from engine.core import limits

T = TypeVar("T")

log = structlog.get_logger(__name__)

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=(), payment=(self), camera=()",
}


_BODY_SECONDS = 1.0


class Health:
    """What /readyz asks: every check returns None or what is wrong; `degraded` names what is missing but not needed."""

    def __init__(
        self,
        ready: Callable[[], Awaitable[str | None]],
        degraded: Callable[[], Awaitable[list[str]]],
        metrics: Callable[[], Awaitable[bytes]],
    ) -> None:
        self.ready, self.degraded, self.metrics = ready, degraded, metrics


def make_app(name: str, health: Health, trusted_proxies: int, **options: Any) -> QuartTrio:
    """An app with everything but its routes."""
    app = QuartTrio(name, **options)
    app.config["MAX_CONTENT_LENGTH"] = limits.BODY_BYTES
    app.config["BODY_TIMEOUT"] = 30
    app.config["RESPONSE_TIMEOUT"] = None
    app.asgi_app = _finish_replies(app.asgi_app)  # type: ignore[method-assign]

    @app.before_request
    async def _begin() -> None:
        g.request_id = http.new_request_id()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)
        g.address = client_address(
            request.remote_addr or "unknown", request.headers.getlist("X-Forwarded-For"), trusted_proxies
        )
        _refuse_nul()

    @app.after_request
    async def _finish(response: Response) -> Response:
        response.headers["X-Request-Id"] = getattr(g, "request_id", None) or http.new_request_id()
        for header, value in _HEADERS.items():
            response.headers.setdefault(header, value)
        if not await _body_came():
            # The rest of the body is on its way and nobody is going to read it.
            response.headers["Connection"] = "close"
        return response

    app.register_error_handler(Problem, say_problem)
    app.register_error_handler(HTTPException, _say_http)
    app.register_error_handler(Exception, _say_failure)

    @app.get("/healthz")
    async def healthz() -> Response:
        return answer({"status": "ok"})

    @app.get("/readyz")
    async def readyz() -> Response:
        wrong = await health.ready()
        if wrong is not None:
            raise Problem(503, "not_ready", wrong, retry_after=1)
        return answer({"status": "ok", "degraded": await health.degraded()})

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(await health.metrics(), content_type="text/plain; version=0.0.4; charset=utf-8")

    return app


async def _body_came() -> bool:
    """Whether the request's body is here whole, waiting a little for it.

    Why: a server closes a connection on which its reply overtook the body, and the client may not have heard it.
    """
    if not request.content_length and "Transfer-Encoding" not in request.headers:
        return True
    with trio.move_on_after(_BODY_SECONDS):
        try:
            await request.body
        except RequestEntityTooLarge:
            return False
        return True
    return False


def _refuse_nul() -> None:
    """No name of ours holds a NUL, and Postgres cannot even be asked for one. Raises Problem 404, 422."""
    if "\0" in request.path:
        raise Problem(404, "not_found", "There is nothing at this address.")
    if any("\0" in text for pair in request.args.items(multi=True) for text in pair):
        raise Problem(422, "invalid_request", "A parameter of the address holds a NUL; leave it out.")


def _finish_replies(inner: Any) -> Any:
    """An ASGI app whose last words cannot be cut off.

    Why: within the last `send` hypercorn tells the app that the request is over; quart-trio then cancels everything of
    the request, that same `send` included, and the connection is neither closed nor made ready for its next request.
    """

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        async def whole(message: Any) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body")
            with trio.CancelScope(shield=last):
                await send(message)

        await inner(scope, receive, whole)

    return outer


async def say_problem(problem: Problem) -> Response:
    """application/problem+json, with this request's id."""
    request_id = getattr(g, "request_id", None) or http.new_request_id()
    response = Response(problem.body(request_id), status=problem.status)
    for header, value in problem.headers.items():
        response.headers[header] = value
    return response


async def _say_http(error: HTTPException) -> Response:
    status = error.code or 500
    if isinstance(error, RequestEntityTooLarge):
        return await say_problem(http.too_large())
    if status == 404:
        problem = Problem(404, "not_found", "There is nothing at this address.")
    elif status == 405:
        problem = Problem(405, "method_not_allowed", "This address does not take that method.")
    elif 300 <= status < 400:
        return error.get_response()  # type: ignore[return-value]
    else:
        problem = Problem(
            status if status >= 400 else 500, "bad_request", "The request cannot be understood."
        )
    response = await say_problem(problem)
    allow = getattr(error, "valid_methods", None)
    if allow:
        response.headers["Allow"] = ", ".join(sorted(allow))
    return response


async def _say_failure(error: Exception) -> Response:
    log.error(
        "request.failed",
        request_id=getattr(g, "request_id", None),
        path=request.url_rule and request.url_rule.rule,
        exc_info=error,
    )
    return await say_problem(
        Problem(503, "unavailable", "Something failed on our side; try again.", retry_after=1)
    )


def answer(document: Any, status: int = 200) -> Response:
    """A JSON reply; nobody keeps it."""
    response = Response(msgspec.json.encode(document), status=status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


async def read_body() -> bytes:
    """The raw body. Raises Problem 413."""
    try:
        body: bytes = await request.get_data(cache=True, as_text=False, parse_form_data=False)
    except RequestEntityTooLarge:
        raise http.too_large() from None
    if len(body) > limits.BODY_BYTES:
        raise http.too_large()
    return body


async def read_document() -> tuple[bytes, Any]:
    """The raw body and its strict JSON document. Raises Problem 413, 415, 400."""
    body = await read_body()
    http.check_media_type(request.headers.get("Content-Type"))
    return body, http.read_json(body)


def idempotency_key() -> str | None:
    """The request's key. Raises Problem 422."""
    return http.check_idempotency_key(request.headers.get("Idempotency-Key"))


def check_origin() -> None:
    """An unsafe request from a browser must come from a page of ours. Raises Problem 403."""
    origin = request.headers.get("Origin")
    if origin is None:
        return
    if origin == "null":
        if request.headers.get("Sec-Fetch-Site") == "same-origin":
            return
    elif origin.partition("://")[2] == request.host:
        return
    raise Problem(403, "cross_origin", "This request came from another site's page.")


async def patiently(seconds: float, ask: Callable[[], Awaitable[T]]) -> T | None:
    """`ask`'s answer, or None when it takes longer."""
    with trio.move_on_after(seconds):
        return await ask()
    return None


def page_size(args: Any) -> tuple[int, str | None]:
    """`limit` (1–100, 20 unless told) and `starting_after` of a list. Raises Problem 422."""
    text = args.get("limit", "20")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 100:
        raise Problem(422, "invalid_request", "limit must be a number from 1 to 100.")
    return int(text), args.get("starting_after")
