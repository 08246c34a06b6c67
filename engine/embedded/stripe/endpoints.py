"""Which function answers which path of Stripe's API."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from engine.embedded.stripe import connect, forms, payments, refunds, store
from engine.embedded.stripe.errors import StripeError
from engine.embedded.stripe.forms import Params
from engine.embedded.stripe.settings import ACCOUNT
from engine.embedded.stripe.work import Answer, Work

_ID = r"([A-Za-z0-9_]{1,255})"
Endpoint = Callable[[Work, list[str], Params], Awaitable[Answer]]


def _retrieve(kind: str, param: str = "id") -> Endpoint:
    async def endpoint(work: Work, ids: list[str], params: Params) -> Answer:
        found = await store.fetch(work.conn, kind, ids[0], param=param)
        if kind == "payment_intent":
            payments.check_secret(found, params)
        return 200, found.data

    return endpoint


def _list(kind: str, *filters: str) -> Endpoint:
    async def endpoint(work: Work, ids: list[str], params: Params) -> Answer:
        allowed = {*filters, "limit", "starting_after", "ending_before", "created"}
        forms.allow(params, allowed | ({"types"} if kind == "event" else set()))
        equal: dict[str, Any] = {name: forms.text(params, name) for name in filters}
        if kind == "event" and "types" in params:
            equal["type"] = forms.texts(params, "types")
        return 200, await store.listing(work.conn, kind, params, f"/v1/{kind}s", **equal)

    return endpoint


async def _account(work: Work, ids: list[str], params: Params) -> Answer:
    return 200, {
        "id": ACCOUNT,
        "object": "account",
        "default_currency": work.settings.currency,
        "livemode": False,
    }


async def _balance(work: Work, ids: list[str], params: Params) -> Answer:
    rows = await work.conn.fetch(
        """SELECT data->>'currency' AS currency, data->>'status' AS status, sum((data->>'net')::bigint) AS net
           FROM objects WHERE kind = 'balance_transaction' GROUP BY 1, 2"""
    )
    found: dict[str, list[dict[str, Any]]] = {"available": [], "pending": []}
    for row in rows:
        found[row["status"]].append({"amount": int(row["net"]), "currency": row["currency"]})
    return 200, {"object": "balance", "livemode": False, **found}


_ENDPOINTS: list[tuple[str, re.Pattern[str], Endpoint]] = [
    (method, re.compile(path), endpoint)
    for method, path, endpoint in (
        ("POST", "/v1/payment_intents", lambda w, ids, p: payments.create(w, p)),
        ("GET", "/v1/payment_intents", _list("payment_intent", "customer")),
        ("GET", f"/v1/payment_intents/{_ID}", _retrieve("payment_intent", "intent")),
        ("POST", f"/v1/payment_intents/{_ID}", lambda w, ids, p: payments.update(w, ids[0], p)),
        ("POST", f"/v1/payment_intents/{_ID}/confirm", lambda w, ids, p: payments.confirm(w, ids[0], p)),
        ("POST", f"/v1/payment_intents/{_ID}/cancel", lambda w, ids, p: payments.cancel(w, ids[0], p)),
        ("GET", "/v1/charges", _list("charge", "payment_intent", "customer")),
        ("GET", f"/v1/charges/{_ID}", _retrieve("charge", "charge")),
        ("GET", f"/v1/payment_methods/{_ID}", _retrieve("payment_method", "payment_method")),
        ("POST", "/v1/refunds", lambda w, ids, p: refunds.create(w, p)),
        ("GET", "/v1/refunds", _list("refund", "payment_intent", "charge")),
        ("GET", f"/v1/refunds/{_ID}", _retrieve("refund", "refund")),
        ("GET", "/v1/balance_transactions", _list("balance_transaction", "source", "type", "currency")),
        ("GET", f"/v1/balance_transactions/{_ID}", _retrieve("balance_transaction")),
        ("GET", "/v1/events", _list("event", "type")),
        ("GET", f"/v1/events/{_ID}", _retrieve("event", "event")),
        ("POST", "/v1/accounts", lambda w, ids, p: connect.create_account(w, p)),
        ("GET", f"/v1/accounts/{_ID}", lambda w, ids, p: connect.retrieve_account(w, ids[0])),
        ("POST", "/v1/transfers", lambda w, ids, p: connect.create_transfer(w, p)),
        ("GET", "/v1/transfers", _list("transfer", "destination", "transfer_group")),
        ("GET", f"/v1/transfers/{_ID}", _retrieve("transfer", "transfer")),
        ("POST", f"/v1/transfers/{_ID}/reversals", lambda w, ids, p: connect.reverse_transfer(w, ids[0], p)),
        ("GET", "/v1/account", _account),
        ("GET", "/v1/balance", _balance),
    )
]
# What a browser may do with the publishable key and the client secret.
PUBLIC = re.compile(rf"/v1/payment_intents/{_ID}(/confirm)?")


def find(method: str, path: str) -> tuple[Endpoint, list[str]]:
    """The endpoint and the ids in the path. Raises StripeError 404."""
    for known, pattern, endpoint in _ENDPOINTS:
        match = pattern.fullmatch(path)
        if match is not None and known == method:
            return endpoint, list(match.groups())
    raise StripeError(404, f"Unrecognized request URL ({method}: {path}).")
