"""Entries cannot be unbalanced, the journal cannot be changed, and a sale is booked to the cent."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adapters.bridge import Pool, call, open_bridge
from ledger import accounts, rules
from ledger.entry import Entry, Posting, mirror, to_row
from ledger.journal import JournalConflict, insert_entries
from ledger.money import quantum, round_half_even, round_half_up, split
from tests.conftest import Servers

SALE: dict[str, Any] = {
    "payment": "pi_1",
    "order": "ord_1",
    "event": "evt_1",
    "organizer": "org_1",
    "country": "DE",
    "currency": "eur",
    "face": 5000,
    "discount": 500,
    "fee": 325,
    "fee_tax": 62,
    "absorbed": 0,
    "absorbed_tax": 0,
    "effective_at": 0,
}


def balances(entry: Entry) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in entry.postings:
        found[one.account] = found.get(one.account, 0) + one.amount
    return found


def test_a_sale_with_the_fee_passed_on() -> None:
    entry = rules.sale(**SALE)
    assert entry is not None
    assert balances(entry) == {
        "stripe:uncleared:EUR": 4887,
        "org:org_1:payable:EUR": -4500,
        "revenue:platform_fee:EUR": -325,
        "tax:payable:DE:EUR": -62,
    }


def test_a_sale_with_the_fee_absorbed() -> None:
    entry = rules.sale(**SALE | {"fee": 0, "fee_tax": 0, "absorbed": 325, "absorbed_tax": 62})
    assert entry is not None
    assert balances(entry) == {
        "stripe:uncleared:EUR": 4500,
        "org:org_1:payable:EUR": -4113,
        "revenue:platform_fee:EUR": -325,
        "tax:payable:DE:EUR": -62,
    }


def test_statement_lines_add_up_to_what_is_payable() -> None:
    entry = rules.sale(**SALE | {"absorbed": 10})
    assert entry is not None
    lines = {one.section: one.amount for one in entry.postings if one.section}
    assert lines == {"gross": -5000, "discounts": 500, "platform_fees": 10}


def test_nothing_paid_is_no_entry() -> None:
    nothing = dict.fromkeys(("face", "discount", "fee", "fee_tax"), 0)
    assert rules.sale(**SALE | nothing) is None


@given(
    st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**5), st.integers(0, 10**5), st.booleans()
)
def test_every_sale_balances(face: int, discount: int, fee: int, tax: int, absorbed: bool) -> None:
    names = ("absorbed", "absorbed_tax") if absorbed else ("fee", "fee_tax")
    figures = {
        "face": face,
        "discount": min(face, discount),
        "fee": 0,
        "fee_tax": 0,
        names[0]: fee,
        names[1]: tax,
    }
    try:
        entry = rules.sale(**SALE | figures)
    except ValueError as error:
        # One posting alone: a free ticket whose absorbed fee equals nothing paid cannot be a sale.
        assert "postings" in str(error) or "balance" in str(error)
        return
    assert entry is None or sum(one.amount for one in entry.postings) == 0


@pytest.mark.parametrize(
    "postings",
    [
        (Posting("stripe:uncleared:EUR", 5), Posting("revenue:platform_fee:EUR", -4)),
        (Posting("stripe:uncleared:EUR", 5), Posting("revenue:platform_fee:USD", -5)),
        (Posting("stripe:uncleared:EUR", 0), Posting("revenue:platform_fee:EUR", 0)),
        (Posting("stripe:uncleared:EUR", 5.0), Posting("revenue:platform_fee:EUR", -5)),  # type: ignore[arg-type]
        (Posting("stripe:uncleared:EUR", 5), Posting("org:o:payable:EUR", -5)),
        (),
    ],
)
def test_an_unsound_entry_cannot_be_built(postings: tuple[Posting, ...]) -> None:
    with pytest.raises(ValueError):
        Entry(source_type="t", source_id="1", kind="k", effective_at=0, description="d", postings=postings)


def test_a_mirror_undoes() -> None:
    entry = rules.sale(**SALE)
    assert entry is not None
    back = mirror(entry, "correction", "c1", 1, "undone")
    assert {**balances(entry)} == {name: -amount for name, amount in balances(back).items()}


def test_misspelt_accounts_are_refused() -> None:
    for currency in ("EUR", "eu", "euro", ""):
        with pytest.raises(ValueError):
            accounts.clearing(currency)
    with pytest.raises(ValueError):
        accounts.payable("org:1", "eur")


# --- money --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "step", "even", "up"),
    [
        (Fraction(1, 2), 1, 0, 1),
        (Fraction(3, 2), 1, 2, 2),
        (Fraction(5, 2), 1, 2, 3),
        (Fraction(-1, 2), 1, 0, -1),
        (Fraction(15), 10, 20, 20),
        (Fraction(25), 10, 20, 30),
        (Fraction(150), 100, 200, 200),
    ],
)
def test_rounding(amount: Fraction, step: int, even: int, up: int) -> None:
    assert round_half_even(amount, step) == even
    assert round_half_up(amount, step) == up


def test_splits_worked_by_hand() -> None:
    assert split(100, [1, 1, 1]) == [34, 33, 33]
    assert split(5, [3, 3, 3]) == [2, 2, 1]
    assert split(1000, [2500, 4000]) == [385, 615]
    assert split(20, [1, 1, 1], 10) == [10, 10, 0]
    assert split(7, [0, 0]) == [4, 3]
    assert split(-100, [1, 1, 1]) == [-34, -33, -33]


@given(
    st.integers(0, 10**9),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=30),
    st.sampled_from([1, 10, 100]),
)
def test_a_split_loses_nothing_and_is_never_off_by_a_quantum(
    total: int, weights: list[int], step: int
) -> None:
    total -= total % step
    parts = split(total, weights, step)
    assert sum(parts) == total and all(part % step == 0 for part in parts)
    shares = weights if any(weights) else [1] * len(weights)
    for part, share in zip(parts, shares, strict=True):
        assert abs(Fraction(total * share, sum(shares)) - part) < step


def test_quanta() -> None:
    assert [quantum(c) for c in ("eur", "jpy", "kwd", "isk", "ugx", "huf")] == [1, 1, 10, 100, 100, 1]


# --- the journal in Postgres ----------------------------------------------------------------------------------------


async def test_a_fact_is_booked_once(pool: Pool) -> None:
    entry = rules.sale(**SALE)
    assert entry is not None
    for _ in range(3):
        await pool.transaction(insert_entries, [to_row(entry)])
    other = rules.sale(**SALE | {"face": 5001})
    assert other is not None
    with pytest.raises(JournalConflict):
        await pool.transaction(insert_entries, [to_row(other)])

    async def read(conn: Any) -> Any:
        return await conn.fetchval("SELECT count(*) FROM journal_postings")

    assert await pool.run(read) == len(entry.postings)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal_postings SET amount = amount + 1",
        "DELETE FROM journal_postings",
        "UPDATE journal_entries SET description = 'x'",
        "DELETE FROM journal_entries",
        "TRUNCATE journal_postings",
    ],
)
@pytest.mark.parametrize("role", ["fm_app", "fm_owner"])
async def test_nobody_changes_the_journal(
    servers: Servers, database: str, pool: Pool, statement: str, role: str
) -> None:
    entry = rules.sale(**SALE)
    assert entry is not None
    await pool.transaction(insert_entries, [to_row(entry)])
    conn = await call(asyncpg.connect, servers.url(database, role))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await call(conn.execute, statement)
    finally:
        await call(conn.close)


async def test_postgres_refuses_an_unbalanced_entry_and_a_late_posting(
    servers: Servers, database: str
) -> None:
    async with open_bridge():
        conn = await call(asyncpg.connect, servers.url(database))
        try:
            made = """WITH e AS (INSERT INTO journal_entries (source_type, source_id, kind, lines, effective_at, booked_at, description)
                                 VALUES ('t', $1, 'k', 2, now(), now(), 'd') RETURNING id)
                      INSERT INTO journal_postings (entry, line, account, currency, amount, booked_at)
                      SELECT id, n, a, 'EUR', v, now() FROM e, (VALUES (1, 'a:EUR', 5), (2, 'b:EUR', $2::bigint)) AS p (n, a, v)"""
            await call(conn.execute, made, "good", -5)
            with pytest.raises(asyncpg.CheckViolationError):
                await call(conn.execute, made, "bad", -4)
            with pytest.raises(asyncpg.CheckViolationError):
                await call(
                    conn.execute,
                    """INSERT INTO journal_postings (entry, line, account, currency, amount, booked_at)
                       SELECT id, n, 'c:EUR', 'EUR', v, now() FROM journal_entries, (VALUES (3, 7), (4, -7)) AS p (n, v)
                       WHERE source_id = 'good'""",
                )
        finally:
            await call(conn.close)
