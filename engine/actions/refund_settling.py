"""What Stripe's balance says of a refund, into the books: taken out of it, or come back. As often as anybody asks."""

from __future__ import annotations

from typing import Any

from engine.actions import clearing
from engine.actions.context import Context
from engine.actions.refunds import failure_task, word_of
from engine.adapters import captures, refunds
from ledger import rules
from ledger.entry import Entry, to_row
from ledger.fx import share
from ledger.money import quantum
from ledger.rules import RefundFigures
from ledger.rules.refund import settled_share


async def settle(context: Context, refund_id: str) -> bool:
    """Book what Stripe's balance says of a refund; False while it says nothing yet. Any number of times.

    Raises what the Stripe port raises.
    """
    refund = await context.pool.run(refunds.find, refund_id)
    if refund is None or refund["stripe_refund"] is None:
        return True
    found = await context.stripe.refund_document(refund["stripe_refund"])
    txn, back = found.get("balance_transaction"), found.get("failure_balance_transaction")
    failed = word_of(found["status"]) == "failed"
    if not isinstance(txn, dict):
        return failed and txn is None and back is None
    capture = await context.pool.run(captures.find, refund["payment_intent"])
    if capture is None or capture["txn"] is None:
        return False
    lot_row = await context.pool.run(refunds.lot_of, refund["payment_intent"])
    entries, lot = _settled(context, refund, capture, txn, lot_row)
    if isinstance(back, dict):
        entries.append(_failed(context, refund, back))
    facts = {
        "status": word_of(found["status"]),
        "txn": txn["id"],
        "failure_txn": back["id"] if isinstance(back, dict) else None,
        "failure": found.get("failure_reason"),
        "task": failure_task(context, refund, found.get("failure_reason") or "failed") if failed else None,
    }
    await context.pool.transaction(refunds.settle, refund_id, facts, [to_row(one) for one in entries], lot)
    return not failed or isinstance(back, dict)


def _settled(
    context: Context, refund: Any, capture: Any, txn: dict[str, Any], lot: Any
) -> tuple[list[Entry], dict[str, Any] | None]:
    currency = refund["currency"]
    balance = clearing.read_balance(txn, currency, refund["amount"])
    figures = RefundFigures(
        refund["face"], refund["fee"], refund["tax"], refund["absorbed"], refund["absorbed_tax"]
    )
    payout = refund["payout_face"] - refund["payout_fees"]
    booked: int | None = None
    taken = None
    if capture["kind"] == "unmatched":
        figures, booked = RefundFigures(refund["amount"], 0, 0), capture["txn_amount"]
    elif refund["payout_currency"] == balance.currency:
        booked = payout
    elif lot is not None:
        cost = settled_share(balance, figures)
        booked = (
            cost
            if balance.currency == currency
            else share(lot["balance_left"], payout, lot["payout_left"], quantum(balance.currency))
        )
        taken = {
            "capture": capture["id"],
            "source": refund["id"],
            "order_id": refund["order_id"],
            "organizer": refund["organizer"],
            "payout_currency": refund["payout_currency"],
            "balance_currency": balance.currency,
            "payout": payout,
            "balance": booked,
            "cost": cost,
        }
        if lot["payout_left"] < payout:
            booked = None
    entry = rules.refund_settled(
        refund=refund["id"],
        order=refund["order_id"],
        event=refund["event_id"],
        organizer=refund["organizer"],
        country=context.settings.platform_country,
        currency=currency,
        figures=figures,
        booked=booked,
        balance=balance,
        effective_at=context.now(),
    )
    return [entry], taken


def _failed(context: Context, refund: Any, back: dict[str, Any]) -> Entry:
    return rules.refund_failed(
        refund=refund["id"],
        order=refund["order_id"],
        event=refund["event_id"],
        organizer=refund["organizer"],
        currency=refund["currency"],
        amount=refund["amount"],
        balance=clearing.read_balance(back, refund["currency"], refund["amount"]),
        effective_at=context.now(),
    )
