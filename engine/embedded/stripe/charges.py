"""A charge: what a card does with a PaymentIntent. Every function runs in the transaction of its request."""

from __future__ import annotations

import time
from typing import Any

from engine.embedded.stripe import store
from engine.embedded.stripe.cards import BEHAVIOURS, Behaviour, Card
from engine.embedded.stripe.errors import error_body
from engine.embedded.stripe.store import Stored
from engine.embedded.stripe.work import Answer, Work


async def charge(
    work: Work, intent: Stored, card: Card, billing: dict[str, Any], proof: dict[str, Any] | None
) -> Answer:
    behaviour = BEHAVIOURS[card.behaviour]
    made = _new_charge(intent, card, billing, behaviour, proof)
    await store.insert(work.conn, made)
    intent.data["latest_charge"] = made.id
    intent.data["next_action"] = None
    if behaviour.decline is not None:
        return await _decline(work, intent, made, behaviour)
    intent.data |= {
        "status": "succeeded",
        "amount_received": intent.data["amount"],
        "last_payment_error": None,
    }
    await store.save(work.conn, intent)
    await store.schedule(
        work.conn, "charge_cleared", made.id, time.time() + work.faults.balance_delay_seconds
    )
    await work.emit("charge.succeeded", made.data)
    await work.emit("payment_intent.succeeded", intent.data)
    return 200, intent.data


async def _decline(work: Work, intent: Stored, charge: Stored, behaviour: Behaviour) -> Answer:
    assert behaviour.decline is not None
    code, decline_code, message, param = behaviour.decline
    method = await store.fetch(work.conn, "payment_method", intent.data["payment_method"])
    body = error_body(
        "card_error",
        message,
        code=code,
        decline_code=decline_code if code == "card_declined" else None,
        param=param,
        charge=charge.id,
        doc_url=f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
        payment_method=method.data,
    )
    intent.data |= {
        "status": "requires_payment_method",
        "last_payment_error": dict(body["error"]),
        "payment_method": None,
    }
    await store.save(work.conn, intent)
    await work.emit("charge.failed", charge.data)
    await work.emit("payment_intent.payment_failed", intent.data)
    body["error"]["payment_intent"] = intent.data
    return 402, body


def _new_charge(
    intent: Stored, card: Card, billing: dict[str, Any], behaviour: Behaviour, proof: dict[str, Any] | None
) -> Stored:
    declined = behaviour.decline is not None
    charge_id = store.new_id("charge")
    return Stored(
        {
            "id": charge_id,
            "object": "charge",
            "amount": intent.data["amount"],
            "amount_captured": 0 if declined else intent.data["amount"],
            "amount_refunded": 0,
            "balance_transaction": None,
            "billing_details": billing,
            "calculated_statement_descriptor": "FORCE MAJEURE",
            "captured": not declined,
            "created": int(time.time()),
            "currency": intent.data["currency"],
            "customer": intent.data["customer"],
            "description": intent.data["description"],
            "disputed": False,
            "failure_code": behaviour.decline[0] if behaviour.decline else None,
            "failure_message": behaviour.decline[2] if behaviour.decline else None,
            "fraud_details": {},
            "livemode": False,
            "metadata": intent.data["metadata"],
            "outcome": _outcome(behaviour),
            "paid": not declined,
            "payment_intent": intent.id,
            "payment_method": intent.data["payment_method"],
            "payment_method_details": {
                "card": {**card.details, "three_d_secure": proof, "amount_authorized": intent.data["amount"]},
                "type": "card",
            },
            "receipt_email": intent.data["receipt_email"],
            "refunded": False,
            "status": "failed" if declined else "succeeded",
            "transfer_group": intent.data["transfer_group"],
        },
        {"behaviour": card.behaviour},
    )


def _outcome(behaviour: Behaviour) -> dict[str, Any]:
    outcome = {
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": behaviour.risk_level,
        "risk_score": behaviour.risk_score,
        "seller_message": "Payment complete.",
        "type": "authorized",
        "advice_code": None,
    }
    if behaviour.block is not None:
        outcome |= {
            "network_status": "not_sent_to_network",
            "reason": behaviour.block,
            "seller_message": "Stripe blocked this payment as too risky.",
            "type": "blocked",
        }
    elif behaviour.decline is not None:
        outcome |= {
            "network_status": "declined_by_network",
            "reason": behaviour.decline[1],
            "seller_message": "The bank returned a decline.",
            "type": "issuer_declined",
        }
    return outcome
