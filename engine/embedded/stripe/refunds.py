"""Refunds, and the jobs that come later: balance transactions of charges and refunds, refunds that settle or fail."""

from __future__ import annotations

import time
from typing import Any

from engine.embedded.stripe import currencies, forms, store
from engine.embedded.stripe.cards import BEHAVIOURS
from engine.embedded.stripe.errors import bad_parameter, wrong_state
from engine.embedded.stripe.forms import Params
from engine.embedded.stripe.store import Stored
from engine.embedded.stripe.work import Answer, Work

_AVAILABLE_SECONDS = 2 * 24 * 3600
_LATER_SECONDS = 0.8


async def create(work: Work, params: Params) -> Answer:
    forms.allow(params, {"payment_intent", "charge", "amount", "reason", "metadata", "instructions_email"})
    reason = forms.choice(params, "reason", ("duplicate", "fraudulent", "requested_by_customer"))
    charge = await _charge(work, params)
    left = charge.data["amount_captured"] - charge.data["amount_refunded"]
    if left <= 0:
        raise wrong_state(
            f"Charge {charge.id} has already been refunded.", "charge_already_refunded", charge=charge.id
        )
    asked = forms.integer(params, "amount")
    amount = left if asked is None else asked
    if amount < 1:
        raise bad_parameter("Invalid positive integer", "amount", "parameter_invalid_integer")
    if amount > left:
        raise wrong_state(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            "amount_too_large",
            param="amount",
        )
    behaviour = BEHAVIOURS[charge.private["behaviour"]].refund
    refund = Stored(
        {
            "id": store.new_id("refund"),
            "object": "refund",
            "amount": amount,
            "balance_transaction": None,
            "charge": charge.id,
            "created": int(time.time()),
            "currency": charge.data["currency"],
            "destination_details": {"card": {"type": "refund"}, "type": "card"},
            "failure_balance_transaction": None,
            "failure_reason": None,
            "metadata": forms.metadata(params, {}),
            "payment_intent": charge.data["payment_intent"],
            "pending_reason": "processing" if behaviour == "pending" else None,
            "reason": reason,
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": "pending" if behaviour == "pending" else "succeeded",
            "transfer_reversal": None,
        }
    )
    await store.insert(work.conn, refund)
    charge.data["amount_refunded"] += amount
    charge.data["refunded"] = charge.data["amount_refunded"] == charge.data["amount_captured"]
    await store.save(work.conn, charge)
    await work.emit("refund.created", refund.data)
    await work.emit("charge.refunded", charge.data)
    now = time.time()
    await store.schedule(work.conn, "refund_cleared", refund.id, now + work.faults.balance_delay_seconds)
    if behaviour in ("pending", "fails"):
        kind = "refund_succeeds" if behaviour == "pending" else "refund_fails"
        later = now + work.faults.balance_delay_seconds + _LATER_SECONDS
        await store.schedule(work.conn, kind, refund.id, later)
    return 200, refund.data


async def _charge(work: Work, params: Params) -> Stored:
    intent_id, charge_id = forms.text(params, "payment_intent"), forms.text(params, "charge")
    if charge_id is None:
        if intent_id is None:
            raise bad_parameter("One of the following params should be provided: payment_intent or charge.")
        intent = await store.fetch(work.conn, "payment_intent", intent_id, param="payment_intent")
        charge_id = intent.data["latest_charge"]
        if intent.data["status"] != "succeeded" or charge_id is None:
            raise wrong_state(
                f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.",
                "payment_intent_unexpected_state",
            )
    charge = await store.fetch(work.conn, "charge", charge_id, lock=True, param="charge")
    if charge.data["status"] != "succeeded":
        raise wrong_state(f"Charge {charge_id} was not successful.", "charge_not_refundable")
    return charge


async def run_job(work: Work, kind: str, subject: str) -> None:
    """One job that has come due, in its transaction."""
    if kind == "charge_cleared":
        charge = await store.fetch(work.conn, "charge", subject, lock=True)
        if charge.data["balance_transaction"] is None:
            at_once = BEHAVIOURS[charge.private["behaviour"]].available_at_once
            charge.data["balance_transaction"] = await _transaction(work, charge.data, "charge", 1, at_once)
            await store.save(work.conn, charge)
            await work.emit("charge.updated", charge.data)
        return
    refund = await store.fetch(work.conn, "refund", subject, lock=True)
    if kind == "refund_cleared":
        refund.data["balance_transaction"] = await _transaction(work, refund.data, "refund", -1, True)
    elif kind == "refund_succeeds":
        refund.data |= {"status": "succeeded", "pending_reason": None}
    elif kind == "refund_fails":
        refund.data |= {"status": "failed", "failure_reason": "expired_or_canceled_card"}
        refund.data["failure_balance_transaction"] = await _transaction(
            work, refund.data, "refund_failure", 1, True
        )
        charge = await store.fetch(work.conn, "charge", refund.data["charge"], lock=True)
        charge.data["amount_refunded"] -= refund.data["amount"]
        charge.data["refunded"] = False
        await store.save(work.conn, charge)
    await store.save(work.conn, refund)
    await work.emit("refund.updated", refund.data)
    if kind == "refund_fails":
        await work.emit("refund.failed", refund.data)


async def _transaction(work: Work, source: dict[str, Any], kind: str, sign: int, at_once: bool) -> str:
    """A balance transaction in the balance's currency; only charges cost a fee."""
    currency = work.settings.held_in(source["currency"])
    amount, rate = currencies.convert(source["amount"], source["currency"], currency)
    fee = currencies.fee(amount) if kind == "charge" else 0
    now = int(time.time())
    details = [
        {
            "amount": fee,
            "application": None,
            "currency": currency,
            "description": "Stripe processing fees",
            "type": "stripe_fee",
        }
    ]
    transaction = Stored(
        {
            "id": store.new_id("balance_transaction"),
            "object": "balance_transaction",
            "amount": sign * amount,
            "available_on": now if at_once else now + _AVAILABLE_SECONDS,
            "balance_type": "payments",
            "created": now,
            "currency": currency,
            "description": source.get("description"),
            "exchange_rate": None if rate is None else float(rate),
            "fee": fee,
            "fee_details": details if fee else [],
            "net": sign * amount - fee,
            "reporting_category": kind,
            "source": source["id"],
            "status": "available" if at_once else "pending",
            "type": kind,
        }
    )
    await store.insert(work.conn, transaction)
    return transaction.id
