"""Connected accounts and transfers to them. Every function runs in the transaction of its request."""

from __future__ import annotations

import time
from typing import Any

from engine.embedded.stripe import currencies, forms, store
from engine.embedded.stripe.errors import StripeError, bad_parameter, wrong_state
from engine.embedded.stripe.forms import Params
from engine.embedded.stripe.store import Stored
from engine.embedded.stripe.work import Answer, Work

_ACCOUNT_ID = "acct_"


async def create_account(work: Work, params: Params) -> Answer:
    """Onboarded at once: here nobody has to show a passport."""
    made = _account(store.new_id("account"), params)
    await store.insert(work.conn, made)
    await work.emit("account.updated", made.data)
    return 200, made.data


async def retrieve_account(work: Work, id: str) -> Answer:
    return 200, (await _known(work, id)).data


async def create_transfer(work: Work, params: Params) -> Answer:
    """Out of the platform's balance, in the transfer's currency or converted from the first we hold."""
    names = {
        "amount",
        "currency",
        "destination",
        "description",
        "metadata",
        "transfer_group",
        "source_transaction",
    }
    forms.allow(params, names)
    amount, currency = forms.integer(params, "amount"), forms.needed_text(params, "currency").lower()
    if amount is None or amount < 1:
        raise bad_parameter("Invalid positive integer", "amount", "parameter_invalid_integer")
    if not currencies.is_known(currency):
        raise bad_parameter(f"Invalid currency: {currency[:20]}", "currency")
    account = await _known(work, forms.needed_text(params, "destination"))
    # Transfers of one moment see each other's effect on the balance.
    await work.conn.execute("SELECT pg_advisory_xact_lock(7203412)")
    held = work.settings.held_in(currency)
    cost, rate = currencies.convert(amount, currency, held)
    if await _balance(work, held) < cost:
        raise wrong_state(
            "You have insufficient available funds in your Stripe account.", "balance_insufficient"
        )
    transfer_id = store.new_id("transfer")
    transaction = await _transaction(work, transfer_id, "transfer", -cost, held, rate)
    made = Stored(
        {
            "id": transfer_id,
            "object": "transfer",
            "amount": amount,
            "amount_reversed": 0,
            "balance_transaction": transaction,
            "created": int(time.time()),
            "currency": currency,
            "description": forms.text(params, "description"),
            "destination": account.id,
            "destination_payment": None,
            "livemode": False,
            "metadata": forms.metadata(params, {}),
            "reversals": {
                "object": "list",
                "data": [],
                "has_more": False,
                "url": f"/v1/transfers/{transfer_id}/reversals",
            },
            "reversed": False,
            "source_transaction": forms.text(params, "source_transaction"),
            "source_type": "card",
            "transfer_group": forms.text(params, "transfer_group"),
        }
    )
    await store.insert(work.conn, made)
    await work.emit("transfer.created", made.data)
    return 200, made.data


async def reverse_transfer(work: Work, id: str, params: Params) -> Answer:
    """Money back from the connected account, all of it or `amount`."""
    forms.allow(params, {"amount", "description", "metadata", "refund_application_fee"})
    transfer = await store.fetch(work.conn, "transfer", id, lock=True)
    left = transfer.data["amount"] - transfer.data["amount_reversed"]
    asked = forms.integer(params, "amount")
    amount = left if asked is None else asked
    if not 1 <= amount <= left:
        raise bad_parameter(f"Reversal amount must be from 1 to {left}", "amount", "amount_too_large")
    held = work.settings.held_in(transfer.data["currency"])
    back, rate = currencies.convert(amount, transfer.data["currency"], held)
    reversal_id = store.new_id("transfer_reversal")
    made = Stored(
        {
            "id": reversal_id,
            "object": "transfer_reversal",
            "amount": amount,
            "balance_transaction": await _transaction(work, reversal_id, "transfer_refund", back, held, rate),
            "created": int(time.time()),
            "currency": transfer.data["currency"],
            "destination_payment_refund": None,
            "metadata": forms.metadata(params, {}),
            "source_refund": None,
            "transfer": transfer.id,
        }
    )
    await store.insert(work.conn, made)
    transfer.data["amount_reversed"] += amount
    transfer.data["reversed"] = transfer.data["amount_reversed"] == transfer.data["amount"]
    transfer.data["reversals"]["data"].insert(0, made.data)
    await store.save(work.conn, transfer)
    await work.emit("transfer.reversed", transfer.data)
    return 200, made.data


async def _known(work: Work, id: str) -> Stored:
    """The account. A well-formed id nobody made here was onboarded elsewhere: it is known from now on."""
    try:
        return await store.fetch(work.conn, "account", id, param="destination")
    except StripeError:
        if not id.startswith(_ACCOUNT_ID) or len(id) > 100:
            raise
    made = _account(id, {})
    await store.insert(work.conn, made)
    return made


def _account(id: str, params: Params) -> Stored:
    return Stored(
        {
            "id": id,
            "object": "account",
            "capabilities": {"card_payments": "active", "transfers": "active"},
            "charges_enabled": True,
            "country": forms.text(params, "country") or "US",
            "created": int(time.time()),
            "default_currency": forms.text(params, "default_currency") or "usd",
            "details_submitted": True,
            "email": forms.text(params, "email"),
            "metadata": forms.metadata(params, {}),
            "payouts_enabled": True,
            "type": forms.text(params, "type") or "express",
        }
    )


async def _balance(work: Work, currency: str) -> int:
    found = await work.conn.fetchval(
        """SELECT coalesce(sum((data->>'net')::bigint), 0) FROM objects
           WHERE kind = 'balance_transaction' AND data->>'currency' = $1""",
        currency,
    )
    return int(found)


async def _transaction(work: Work, source: str, kind: str, amount: int, currency: str, rate: Any) -> str:
    category = "transfer" if kind == "transfer" else "transfer_reversal"
    now = int(time.time())
    made = Stored(
        {
            "id": store.new_id("balance_transaction"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": now,
            "balance_type": "payments",
            "created": now,
            "currency": currency,
            "description": None,
            "exchange_rate": None if rate is None else float(rate),
            "fee": 0,
            "fee_details": [],
            "net": amount,
            "reporting_category": category,
            "source": source,
            "status": "available",
            "type": kind,
        }
    )
    await store.insert(work.conn, made)
    return made.id
