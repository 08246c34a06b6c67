"""An event's settlement and an organizer's month: open ones computed, closed ones kept and served byte for byte."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import trio

from engine.actions.catalog import Actor, audit_row
from engine.actions.context import Context
from engine.adapters import catalog, records, statement_papers, statements
from engine.adapters.times import instant, micros
from engine.core.model import Record
from engine.core.outcomes import Code, Outcome
from ledger import rules
from ledger.entry import to_row
from ledger.statements import document

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_PAGE = 5000


class Papers(msgspec.Struct, frozen=True):
    """One statement in its three forms."""

    document: bytes
    csv: bytes
    pdf: bytes


# --- of an event ----------------------------------------------------------------------------------------------------


async def settlement(context: Context, event: Any) -> bytes:
    """The event's settlement as JSON; once closed the stored bytes, with what came later beside them."""
    return await context.pool.run(_settlement, event)


async def _settlement(conn: Any, event: Any) -> bytes:
    kept = await statements.settlement(conn, event["id"])
    if kept is None:
        return msgspec.json.encode(await _event_document(conn, event, None, None, False))
    stored: bytes = kept["document"]
    later = await _event_document(conn, event, kept["cut"], None, False)
    if all(not later[name] for name in later if isinstance(later[name], int)):
        return stored
    return stored[:-1] + b',"after_close":' + msgspec.json.encode(later) + b"}"


async def _event_document(
    conn: Any, event: Any, start: datetime | None, end: datetime | None, final: bool
) -> dict[str, Any]:
    organizer = await catalog.organizer(conn, event["organizer"])
    currency = organizer["payout_currency"]
    sums = await statements.sums(conn, organizer["id"], currency, start, end, event["id"])
    fx = await statements.rates_of(conn, organizer["id"], start, end, event["id"])
    return {"event": event["id"], "organizer": organizer["id"]} | document(currency, final, 0, sums, fx)


async def close(context: Context, actor: Actor, event: Any) -> Outcome:
    """`value`: the settlement's bytes, final from now on. CONFLICT before the event has ended. Again: the same bytes."""
    ends = event["ends_at"] or event["starts_at"]
    if event["state"] != "cancelled" and micros(ends) > context.now():
        return Outcome(
            Code.CONFLICT, detail={"reason": "the event has not ended; close its settlement after that"}
        )
    await context.pool.transaction(_close, context, actor, event)
    return Outcome(Code.OK, await settlement(context, event))


async def _close(conn: Any, context: Context, actor: Actor, event: Any) -> None:
    cut = await statements.close_period(conn)
    if await statements.settlement(conn, event["id"]) is not None:
        return
    found = await _event_document(conn, event, None, cut, True)
    await statements.insert_settlement(conn, event["id"], event["organizer"], cut, msgspec.json.encode(found))
    audit = audit_row(context, actor, "settlement.close", event["id"], None, {"closing": found["closing"]})
    await records.write(conn, [audit])


# --- of a month -----------------------------------------------------------------------------------------------------


def month_bounds(month: str) -> tuple[datetime, datetime] | None:
    """(first instant, first instant after it) of a month in UTC; None if it is none."""
    if not _MONTH.fullmatch(month) or month.startswith("0000") or month.startswith("9999"):
        return None
    year, number = int(month[:4]), int(month[5:])
    start = datetime(year, number, 1, tzinfo=UTC)
    return start, datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)


async def statement(context: Context, organizer: Any, month: str) -> Papers | None:
    """A month's statement, made final with the first look after its end. None: no such month, or one not begun."""
    bounds = month_bounds(month)
    now = instant(context.now())
    if bounds is None or bounds[0] > now or bounds[1] <= organizer["created_at"]:
        return None
    kept = await context.pool.run(statements.statement, organizer["id"], month)
    if kept is None and bounds[1] <= now:
        await _make(context, organizer, month, *bounds)
        kept = await context.pool.run(statements.statement, organizer["id"], month)
    if kept is not None:
        return Papers(kept["document"], kept["csv"], kept["pdf"])
    return await _papers(context, organizer, month, *bounds, final=False)


async def _make(context: Context, organizer: Any, month: str, start: datetime, end: datetime) -> None:
    """Nothing can be booked into the month any more: read it, then store it, whoever comes first."""
    await context.pool.transaction(statements.close_period)
    papers = await _papers(context, organizer, month, start, end, final=True)

    async def store(conn: Any) -> None:
        await statements.close_period(conn)
        if await statements.statement(conn, organizer["id"], month) is None:
            row = {
                "organizer": organizer["id"],
                "month": month,
                "id": _name(organizer["id"], month),
                "cut": end,
            }
            await statements.insert_statement(conn, row | msgspec.structs.asdict(papers))

    await context.pool.transaction(store)


def _name(organizer: str, month: str) -> str:
    return f"stmt_{organizer.removeprefix('org_')}_{month}"


async def _papers(
    context: Context, organizer: Any, month: str, start: datetime, end: datetime, final: bool
) -> Papers:
    identity, currency = organizer["id"], organizer["payout_currency"]
    before = await context.pool.run(statements.sums, identity, currency, None, start)
    sums = await context.pool.run(statements.sums, identity, currency, start, end)
    fx = await context.pool.run(statements.rates_of, identity, start, end)
    opening = -sum(before.values())
    found = {"id": _name(identity, month), "organizer": identity, "month": month} | document(
        currency, final, opening, sums, fx
    )
    rows: list[Any] = []
    after = (0, 0)
    while True:
        page = await context.pool.run(statements.postings, identity, currency, start, end, after, _PAGE)
        rows += page
        if len(page) < _PAGE:
            break
        after = (page[-1]["entry"], page[-1]["line"])

    def render() -> Papers:
        return Papers(
            msgspec.json.encode(found),
            statement_papers.as_csv(found, rows),
            statement_papers.as_pdf(found, f"Statement {month}", organizer["name"], end),
        )

    return await trio.to_thread.run_sync(render)


# --- carried over ---------------------------------------------------------------------------------------------------


async def open_balance(
    context: Context, actor: Actor, source: str, organizer: str, currency: str, amount: int, reason: str
) -> None:
    """A balance from elsewhere, once for each `source`."""
    entry = rules.opening(
        source=source,
        organizer=organizer,
        currency=currency,
        amount=amount,
        reason=reason,
        effective_at=context.now(),
    )
    audit = audit_row(context, actor, "ledger.opening", organizer, None, {"amount": amount, "reason": reason})
    await context.pool.transaction(records.write, [Record("journal", to_row(entry)), audit])
