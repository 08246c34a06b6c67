"""Money to organizers: requested under their lock, sent once by a transfer, booked at what it cost.

Life: requested → executed | failed. A request is an entry; so two at once cannot spend the same balance.
"""

from __future__ import annotations

from typing import Any

import structlog
import trio

from engine.actions import clearing
from engine.actions.catalog import Actor, audit_row
from engine.actions.context import Context
from engine.adapters import payouts
from engine.adapters.stripe import StripeIndeterminate, StripeRefused, StripeUnavailable
from engine.adapters.times import rfc3339, rfc3339_or_none
from engine.core import limits
from engine.core.model import Record
from engine.core.outcomes import Code, Outcome
from ledger import rules
from ledger.entry import mirror, to_row

log = structlog.get_logger(__name__)

_STRIPE_SECONDS = 8.0


async def request(context: Context, actor: Actor, organizer: Any, amount: int | None, payout: str) -> Outcome:
    """`value`: the payout's row. NEGATIVE_PAYABLE, NOTHING_PAYABLE, EXCEEDS_PAYABLE. Sent at once if Stripe answers."""
    outcome: Outcome = await context.pool.transaction(_decide, context, actor, organizer, amount, payout)
    if not outcome.ok:
        return outcome
    context.outbox_came.now()
    with trio.move_on_after(_STRIPE_SECONDS):
        await send(context, payout)
    return Outcome(Code.OK, await context.pool.run(payouts.find, payout))


async def _decide(
    conn: Any, context: Context, actor: Actor, organizer: Any, amount: int | None, payout: str
) -> Outcome:
    currency = organizer["payout_currency"]
    rows = await payouts.payable(conn, organizer["id"], currency)
    if await payouts.find(conn, payout) is not None:
        return Outcome(Code.OK, payout)
    total = sum(row["amount"] for row in rows)
    if total < 0:
        return Outcome(Code.NEGATIVE_PAYABLE, detail={"payable": total})
    # The operator pays at any time, an organizer for events that have ended.
    open_to = [row for row in rows if actor.organizer is None or row["ended"]]
    most = min(total, sum(row["amount"] for row in open_to))
    if most <= 0:
        return Outcome(Code.NOTHING_PAYABLE)
    wanted = most if amount is None else amount
    if wanted > most:
        return Outcome(Code.EXCEEDS_PAYABLE, detail={"payable": most})
    parts = _parts(open_to, wanted)
    at = context.now()
    now = rfc3339(at)
    row = {
        "id": payout,
        "organizer": organizer["id"],
        "amount": wanted,
        "currency": currency,
        "status": "requested",
        "parts": parts,
        "requested_by": actor.name,
        "created_at": now,
    }
    entry = rules.payout_requested(
        payout=payout, organizer=organizer["id"], currency=currency, parts=parts, effective_at=at
    )
    owed = {
        "kind": "payout",
        "key": f"payout:{payout}",
        "shard": 0,
        "payload": {"payout": payout},
        "run_at": now,
        "attempts": 0,
        "created_at": now,
    }
    audit = audit_row(context, actor, "payout.request", payout, None, {"amount": wanted})
    await payouts.insert(conn, row, [Record("journal", to_row(entry)), Record("insert outbox", owed), audit])
    return Outcome(Code.OK, payout)


def _parts(rows: list[Any], wanted: int) -> list[tuple[str | None, int]]:
    """Oldest event first."""
    parts = []
    for row in rows:
        part = min(wanted, row["amount"])
        if part > 0:
            parts.append((row["event"], part))
            wanted -= part
    return parts


async def send(context: Context, payout_id: str) -> str | None:
    """The transfer, once; why it is to be tried again, or None when there is an end."""
    payout = await context.pool.run(payouts.find, payout_id)
    if payout is None or payout["status"] != "requested":
        return None
    try:
        account = payout["stripe_account"] or await _account(context, payout)
        transfer = await _transfer(context, payout, account)
    except (StripeUnavailable, StripeIndeterminate) as error:
        return str(error)
    except StripeRefused as error:
        await _give_up(context, payout, error.code)
        return None
    txn = transfer["balance_transaction"]
    balance = clearing.read_balance(txn, payout["currency"], payout["amount"])
    at = context.now()

    def entry_of(booked: int | None) -> dict[str, Any]:
        return to_row(
            rules.payout_executed(
                payout=payout_id,
                organizer=payout["organizer"],
                currency=payout["currency"],
                amount=payout["amount"],
                balance=balance,
                booked=booked,
                effective_at=at,
            )
        )

    pair = (payout["currency"], balance.currency)
    await context.pool.transaction(
        payouts.execute, payout_id, transfer["id"], txn["id"], entry_of, payout["organizer"], pair
    )
    return None


async def _account(context: Context, payout: Any) -> str:
    """An organizer without an account at Stripe gets one; whether money may go there is Stripe's to say."""
    organizer = payout["organizer"]
    for generation in range(limits.STRIPE_KEYS):
        try:
            made = await context.stripe.create_account(
                payout["email"], payout["country"], organizer, f"account:{organizer}:{generation}"
            )
        except StripeIndeterminate:
            # At worst an account stays behind that nobody ever pays.
            continue
        await context.pool.run(payouts.set_account, organizer, made)
        return (await context.pool.run(payouts.find, payout["id"]))["stripe_account"]
    raise StripeUnavailable("Stripe keeps failing")


async def _transfer(context: Context, payout: Any, account: str) -> dict[str, Any]:
    """A stored failure is resolved by looking for the transfer, then by a new key."""
    for generation in range(limits.STRIPE_KEYS):
        try:
            return await context.stripe.create_transfer(
                payout["amount"],
                payout["currency"],
                account,
                payout["id"],
                f"payout:{payout['id']}:{generation}",
            )
        except StripeIndeterminate:
            found = await context.stripe.find_transfer(payout["id"])
            if found is not None:
                return found
    raise StripeUnavailable("Stripe keeps failing")


async def _give_up(context: Context, payout: Any, code: str) -> None:
    log.error("payout.refused", payout=payout["id"], code=code)
    at = context.now()
    asked = rules.payout_requested(
        payout=payout["id"],
        organizer=payout["organizer"],
        currency=payout["currency"],
        parts=[(event, amount) for event, amount in payout["parts"]],
        effective_at=at,
    )
    back = to_row(mirror(asked, "payout", payout["id"], at, "Payout refused by Stripe"))
    task = {
        "kind": "payout_failed",
        "subject": payout["id"],
        "detail": {"code": code, "amount": payout["amount"]},
        "created_at": rfc3339(at),
    }
    await context.pool.transaction(
        payouts.fail, payout["id"], code, back, Record("insert operator_tasks", task)
    )


def shown(row: Any) -> dict[str, Any]:
    """As the API says it."""
    return {
        "id": row["id"],
        "organizer": row["organizer"],
        "status": row["status"],
        "amount": {"amount": row["amount"], "currency": row["currency"]},
        "events": [{"event": event, "amount": amount} for event, amount in row["parts"]],
        "transfer": row["transfer"],
        "failure": row["failure"],
        "created_at": rfc3339_or_none(row["created_at"]),
    }
