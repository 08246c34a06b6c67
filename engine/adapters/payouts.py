"""Payouts in SQL: what is payable under the organizer's lock, requested, then executed or undone."""

from __future__ import annotations

from typing import Any

from engine.adapters import records
from engine.core.model import Record
from ledger import accounts
from ledger.journal import insert_entries


async def find(conn: Any, payout: str, *, lock: bool = False) -> Any:
    return await conn.fetchrow(
        "SELECT p.*, g.stripe_account, g.email, g.country FROM payouts p JOIN organizers g ON g.id = p.organizer "
        f"WHERE p.id = $1 {'FOR UPDATE OF p' if lock else ''}",
        payout,
    )


async def payable(conn: Any, organizer: str, currency: str) -> list[Any]:
    """Rows (event or null, amount, ended) with what is payable of each, oldest first; the organizer locked."""
    await conn.execute("SELECT FROM organizers WHERE id = $1 FOR UPDATE", organizer)
    rows: list[Any] = await conn.fetch(
        """SELECT p.event, -sum(p.amount)::bigint AS amount,
                  bool_and(e.id IS NULL OR e.state = 'cancelled' OR coalesce(e.ends_at, e.starts_at) <= now()) AS ended
           FROM journal_postings p LEFT JOIN events e ON e.id = p.event
           WHERE p.account = $1 GROUP BY p.event, e.starts_at ORDER BY e.starts_at NULLS FIRST, p.event""",
        accounts.payable(organizer, currency),
    )
    return rows


async def insert(conn: Any, row: dict[str, Any], rows: list[Record]) -> None:
    await records.write(conn, [Record("insert payouts", row), *rows])


async def execute(
    conn: Any,
    payout: str,
    transfer: str,
    txn: str,
    entry_of: Any,
    organizer: str,
    currencies: tuple[str, str],
) -> None:
    """Book the transfer once. `entry_of(booked)` makes the entry; `booked` closes lots first in, first out."""
    row = await find(conn, payout, lock=True)
    if row["status"] != "requested":
        return
    booked = None
    if currencies[0] != currencies[1]:
        booked = await _close_lots(conn, organizer, *currencies, row["amount"])
    await insert_entries(conn, [entry_of(booked)])
    await conn.execute(
        """UPDATE payouts SET status = 'executed', transfer = $2, txn = $3, executed_at = clock_timestamp()
           WHERE id = $1""",
        payout,
        transfer,
        txn,
    )


async def _close_lots(conn: Any, organizer: str, payout_currency: str, held: str, amount: int) -> int | None:
    """What `amount` stood at in the balance's currency; None when the lots do not reach."""
    lots = await conn.fetch(
        """SELECT * FROM fx_lots WHERE organizer = $1 AND payout_currency = $2 AND balance_currency = $3
             AND payout_left <> 0 ORDER BY id FOR UPDATE""",
        organizer,
        payout_currency,
        held,
    )
    if sum(lot["payout_left"] for lot in lots) < amount:
        return None
    booked, left = 0, amount
    for lot in lots:
        if not left:
            break
        part = min(left, lot["payout_left"])
        cost = (
            lot["balance_left"]
            if part == lot["payout_left"]
            else lot["balance_left"] * part // lot["payout_left"]
        )
        await conn.execute(
            "UPDATE fx_lots SET payout_left = payout_left - $2, balance_left = balance_left - $3 WHERE id = $1",
            lot["id"],
            part,
            cost,
        )
        booked, left = booked + cost, left - part
    return booked


async def fail(conn: Any, payout: str, why: str, entry: dict[str, Any], task: Record) -> None:
    """Stripe will not: payable again."""
    row = await find(conn, payout, lock=True)
    if row["status"] != "requested":
        return
    await insert_entries(conn, [entry])
    await conn.execute("UPDATE payouts SET status = 'failed', failure = $2 WHERE id = $1", payout, why)
    await records.write(conn, [task])


async def set_account(conn: Any, organizer: str, account: str) -> None:
    await conn.execute(
        "UPDATE organizers SET stripe_account = $2 WHERE id = $1 AND stripe_account IS NULL",
        organizer,
        account,
    )
