"""Who asks, as far as an anonymous buyer can be told: an address, a session cookie, a fingerprint.

Why a cookie that means nothing: limits count by it, and a repeat under an Idempotency-Key is told by it. Only pages
set it; a JSON reply never does.
"""

from __future__ import annotations

import re
import secrets

from quart import Response, g, request

from engine.actions.context import Caller, Context
from engine.adapters import challenge
from engine.core.limits import SECOND

_SHAPE = re.compile(r"[A-Za-z0-9_-]{22}")
_YEAR_SECONDS = 365 * 24 * 3600


def _cookie_name() -> str:
    return "__Host-fm_buyer" if request.scheme == "https" else "fm_buyer"


def session() -> str | None:
    """The buyer's session, if a page gave one."""
    value = request.cookies.get(_cookie_name(), "")
    return value if _SHAPE.fullmatch(value) else None


def caller(context: Context, fingerprint: str | None = None, solution: str | None = None) -> Caller:
    """The caller of this request. Scope: the session, otherwise address and user agent.

    `solution`: of a puzzle, where a page's form brings it instead of the header.
    """
    solved = challenge.solved(
        context.secrets.challenge_key,
        solution or request.headers.get("FM-Challenge"),
        context.now() // SECOND,
    )
    own = session()
    agent = request.headers.get("User-Agent", "")
    scope = f"session:{own}" if own else f"address:{g.address}\n{agent}"
    return Caller(g.address, scope, own, fingerprint, agent, solved)


def remember(response: Response) -> Response:
    """Give a page's visitor a session if there is none."""
    if session() is None:
        response.set_cookie(
            _cookie_name(),
            secrets.token_urlsafe(16),
            max_age=_YEAR_SECONDS,
            httponly=True,
            samesite="Lax",
            secure=request.scheme == "https",
            path="/",
        )
    return response
