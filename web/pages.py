"""Pages for people: what is on, choose places, your details, pay, your order.

Everything but the card works without JavaScript; the card is Stripe's business and needs it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from quart import Blueprint, Response, redirect, render_template, request

from engine import queries
from engine.actions import orders as placing
from engine.actions import payments, reservations
from engine.actions.context import Caller
from engine.adapters.face import CSP, check_origin, say_problem
from engine.adapters.http import ANSWERS, Problem, refuse
from engine.adapters.money_words import words as money_words
from engine.bootstrap import Engine
from engine.core import ids
from engine.core.outcomes import Code, Outcome
from engine.core.refund_policy import parse, policy_words
from web.caller import caller, remember
from web.holds import _check_email, _check_name
from web.orders import unknown_order

_STRIPE_JS = "https://js.stripe.com"


def routes(engine: Engine) -> Blueprint:
    context = engine.context
    blueprint = Blueprint("pages", __name__)

    async def page(template: str, status: int = 200, csp: str = CSP, **values: Any) -> Response:
        body = await render_template(template, money=_money, when=_when, policy=_policy, **values)
        response = Response(body, status=status, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = csp
        response.headers["Cache-Control"] = "private, no-store"
        return remember(response)

    def by(form: Any) -> Caller:
        return caller(context, solution=form.get("fm_challenge"))

    async def puzzle(outcome: Outcome, form: Any) -> Response:
        """The page that solves the puzzle and sends the same form again."""
        assert outcome.detail is not None
        fields = [(name, value) for name, value in form.items(multi=True) if name != "fm_challenge"]
        puzzle = outcome.detail["challenge"]
        return await page("challenge.html", 403, action=request.path, fields=fields, puzzle=puzzle)

    async def event_or_404(slug: str) -> dict[str, Any]:
        event_id = await queries.event_id(context, slug)
        found = await queries.event(context, event_id) if event_id else None
        if found is None:
            raise refuse(Outcome(Code.UNKNOWN_EVENT))
        return found

    @blueprint.errorhandler(Problem)
    async def say(problem: Problem) -> Response:
        """A page for people; programs get the problem itself."""
        if "text/html" not in request.headers.get("Accept", ""):
            return await say_problem(problem)
        return await page("problem.html", problem.status, problem=problem)

    @blueprint.get("/")
    async def home() -> Response:
        data, _more = await queries.events(context, 100, None)
        return await page("home.html", events=data)

    @blueprint.get("/events/<slug>")
    async def event(slug: str) -> Response:
        return await page("event.html", event=await event_or_404(slug), wrong=None)

    @blueprint.post("/events/<slug>/holds")
    async def hold_places(slug: str) -> Response:
        check_origin()
        found = await event_or_404(slug)
        form = await request.form
        lines = tuple(
            (tier["id"], int(text))
            for tier in found["tiers"]
            if (text := form.get(f"quantity-{tier['id']}", "0").strip()).isdigit() and 0 < int(text) < 10_000
        )
        if not lines:
            return await page("event.html", 422, event=found, wrong="Choose how many tickets you would like.")
        outcome = await reservations.reserve(
            context, found["id"], lines, form.get("promo_code", "").strip() or None, by(form)
        )
        if outcome.code is Code.CHALLENGE_REQUIRED:
            return await puzzle(outcome, form)
        if not outcome.ok:
            status, _code, words = ANSWERS[outcome.code]
            return await page("event.html", status, event=await event_or_404(slug), wrong=words)
        inventory = context.directory.event(found["id"])
        assert inventory is not None
        return _go(f"/holds/{ids.spell('hold', inventory.facts.number, outcome.value.id)}")

    async def hold_page(hold_id: str, status: int = 200, wrong: str | None = None, **values: Any) -> Response:
        outcome = await reservations.look(context, hold_id)
        found = context.inventory_of("hold", hold_id)
        if not outcome.ok or found is None:
            raise refuse(outcome)
        hold = queries.hold(found[0], outcome.value, hold_id, context.now())
        if outcome.value.order is not None and hold["status"] in ("in_checkout", "sold"):
            return _go(f"/orders/{outcome.value.order}/pay")
        event = await queries.event(context, hold["event"])
        return await page("hold.html", status, hold=hold, event=event, wrong=wrong, values=values)

    @blueprint.get("/holds/<hold_id>")
    async def hold(hold_id: str) -> Response:
        return await hold_page(hold_id)

    @blueprint.post("/holds/<hold_id>/checkout")
    async def checkout(hold_id: str) -> Response:
        check_origin()
        form = await request.form
        given = {"email": form.get("email", ""), "name": form.get("name", "")}
        try:
            email, name = _check_email(given["email"]), _check_name(given["name"], "name")
        except Problem as problem:
            return await hold_page(hold_id, 422, problem.detail, **given)
        outcome = await placing.place_order(context, hold_id, email, name, [], by(form))
        if outcome.code is Code.CHALLENGE_REQUIRED:
            return await puzzle(outcome, form)
        if not outcome.ok and outcome.code is not Code.PAYMENT_UNAVAILABLE:
            status, _code, words = ANSWERS[outcome.code]
            return await hold_page(hold_id, status, words, **given)
        if outcome.ok and outcome.value.payment_intent is None:
            return _go(f"/orders/{outcome.value.order['id']}")
        return await hold_page(hold_id) if not outcome.ok else _go(f"/orders/{outcome.value.order['id']}/pay")

    @blueprint.post("/holds/<hold_id>/release")
    async def release(hold_id: str) -> Response:
        check_origin()
        looked = await reservations.look(context, hold_id)
        outcome = await reservations.release(context, hold_id)
        if outcome.code is Code.IN_CHECKOUT:
            outcome = await payments.abandon(context, hold_id)
        if not outcome.ok or not looked.ok:
            raise refuse(outcome)
        found = context.inventory_of("hold", hold_id)
        assert found is not None
        return _go(f"/events/{found[0].facts.id}")

    @blueprint.get("/orders/<order_id>/pay")
    async def pay(order_id: str) -> Response:
        document = await queries.order_document(context, order_id)
        found = await queries.order(context, order_id)
        if document is None or found is None:
            raise unknown_order()
        if found["status"] != "awaiting_payment":
            return _go(f"/orders/{order_id}")
        secret = await placing.payment_of(context, order_id)
        event = await queries.event(context, found["event"])
        return await page(
            "pay.html",
            csp=_payment_csp(engine),
            order=found,
            document=document,
            event=event,
            expires_at=await placing.expiry_of(context, order_id),
            payment=secret,
            local=engine.settings.stripe_is_local,
            stripe_base=engine.settings.stripe_api_base.rstrip("/"),
            publishable_key=engine.settings.stripe_publishable_key,
            return_url=f"{engine.settings.public_url}/orders/{order_id}",
        )

    @blueprint.get("/orders/<order_id>")
    async def order(order_id: str) -> Response:
        found = await queries.order(context, order_id)
        document = await queries.order_document(context, order_id)
        if found is None or document is None:
            raise unknown_order()
        words = policy_words(parse(document.refund_policy), document.starts_at, document.timezone)
        return await page("order.html", order=found, document=document, policy_text=words)

    return blueprint


def _go(where: str) -> Response:
    response: Response = redirect(where, 303)  # type: ignore[assignment]
    response.headers["Cache-Control"] = "no-store"
    return response


def _payment_csp(engine: Engine) -> str:
    """Stripe on the payment step, and nobody else."""
    if engine.settings.stripe_is_local:
        parts = urlsplit(engine.settings.stripe_api_base)
        return CSP.replace("connect-src 'self'", f"connect-src 'self' {parts.scheme}://{parts.netloc}")
    return (
        CSP.replace("script-src 'self'", f"script-src 'self' {_STRIPE_JS}").replace(
            "connect-src 'self'", "connect-src 'self' https://api.stripe.com"
        )
        + f"; frame-src {_STRIPE_JS} https://hooks.stripe.com"
    )


def _money(value: dict[str, Any]) -> str:
    return money_words(value["amount"], value["currency"])


def _when(instant: str | datetime, zone: str) -> str:
    at = datetime.fromisoformat(instant) if isinstance(instant, str) else instant
    return format_datetime(at, "EEEE, d MMMM y, HH:mm", tzinfo=ZoneInfo(zone), locale="en") + f" ({zone})"


def _policy(policy: dict[str, Any], starts_at: str, zone: str) -> str:
    return policy_words(parse(policy), datetime.fromisoformat(starts_at), zone)
