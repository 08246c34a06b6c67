"""Settlements and statements: lines that add up, months that stay what they were, later facts beside a closed event."""

from __future__ import annotations

import asyncio
import csv
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pypdf

from tests.system.conftest import Product
from tests.system.test_money import buy, entries, event_for

LINES = (
    "gross", "discounts", "platform_fees", "processing_fees", "refunds", "disputes", "held", "adjustments", "payouts",
)  # fmt: skip
FEE = {"percent_bps": 500, "fixed": 50, "mode": "absorbed", "processing": "organizer"}


def read(product: Product, path: str) -> dict[str, Any]:
    answer = product.admin("GET", path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found["opening"] + sum(found[name] for name in LINES) == found["closing"]
    assert found["net_payout"] == max(0, found["closing"] - found["payouts"])
    return found


def test_a_settlement_is_the_sum_of_its_postings(product: Product) -> None:
    event = event_for(product, "eur", FEE)
    order = buy(product, event, 2)
    fee = entries(product, order, "clear", "recharge")["clear"]["expense:processing_fee:EUR"]
    body = {"amount": 1000, "override_policy": True, "keep_service_fee": True, "reason": "seat"}
    assert product.admin("POST", f"/api/orders/{order}/refunds", body).status_code == 201
    found = read(product, f"/api/events/{event}/settlement")
    assert found["currency"] == "eur" and not found["final"] and found["fx"] == []
    assert [found[name] for name in LINES] == [5000, 0, -350, -fee, -1000, 0, 0, 0, 0]
    early = product.admin("POST", f"/api/events/{event}/settlement/close")
    assert (early.status_code, early.json()["code"]) == (409, "conflict")


def test_a_closed_settlement_stays_and_later_facts_stand_beside_it(product: Product) -> None:
    now = datetime.now(UTC)
    event = event_for(
        product,
        "eur",
        FEE,
        starts_at=(now + timedelta(hours=1)).isoformat(),
        ends_at=(now + timedelta(hours=2)).isoformat(),
    )
    order = buy(product, event, 1)
    entries(product, order, "clear", "recharge")
    past = {
        "starts_at": (now - timedelta(hours=2)).isoformat(),
        "ends_at": (now - timedelta(hours=1)).isoformat(),
    }
    assert product.admin("PATCH", f"/api/events/{event}", past).status_code == 200
    closed = product.admin("POST", f"/api/events/{event}/settlement/close")
    assert closed.status_code == 200 and closed.json()["final"]
    again = product.admin("GET", f"/api/events/{event}/settlement")
    assert again.content == closed.content
    body = {"override_policy": True, "reason": "late"}
    assert product.admin("POST", f"/api/orders/{order}/refunds", body).status_code == 201
    after = product.admin("GET", f"/api/events/{event}/settlement").json()
    later = after.pop("after_close")
    assert after == closed.json()
    assert later["refunds"] == -2500 and later["platform_fees"] == 175


def test_a_month_in_three_forms(product: Product) -> None:
    event = event_for(product, "eur", FEE)
    order = buy(product, event, 2)
    entries(product, order, "clear", "recharge")
    organizer = product.admin("GET", f"/api/events/{event}").json()["organizer"]
    carried = {"organizer": organizer, "amount": 12345, "currency": "eur", "reason": "from the old system"}
    assert product.admin("POST", "/api/ledger/opening", carried).status_code == 201
    month = f"{datetime.now(UTC):%Y-%m}"
    found = read(product, f"/api/organizers/{organizer}/statements/{month}")
    assert (found["opening"], found["gross"], found["final"]) == (12345, 5000, False)
    balances = product.admin("GET", "/api/ledger/trial_balance").json()["data"]
    payable = next(one["balance"] for one in balances if one["account"] == f"org:{organizer}:payable:EUR")
    assert found["closing"] == -payable
    table = product.admin("GET", f"/api/organizers/{organizer}/statements/{month}.csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert sum(int(row["amount"]) for row in rows[:-1]) == int(rows[-1]["amount"]) == found["closing"]
    paper = product.admin("GET", f"/api/organizers/{organizer}/statements/{month}.pdf")
    assert "Closing balance" in pypdf.PdfReader(io.BytesIO(paper.content)).pages[0].extract_text()
    for wrong in ("2026-13", "1999-01", "2199-01", "nonsense", f"{month}.exe"):
        assert product.admin("GET", f"/api/organizers/{organizer}/statements/{wrong}").status_code == 404
    for change in ({"amount": 0}, {"amount": 1.5}, {"currency": "usd"}, {"reason": ""}):
        assert product.admin("POST", "/api/ledger/opening", carried | change).status_code == 422


def test_settlements_of_others_do_not_exist(product: Product) -> None:
    event = event_for(product, "eur", FEE)
    stranger = product.admin("GET", f"/api/events/{event_for(product, 'eur', FEE)}").json()["organizer"]
    key = product.admin("POST", f"/api/organizers/{stranger}/keys").json()["secret"]
    owner = product.admin("GET", f"/api/events/{event}").json()["organizer"]
    assert product.admin("GET", f"/api/events/{event}/settlement", key=key).status_code == 404
    assert product.admin("POST", f"/api/events/{event}/settlement/close", key=key).status_code == 404
    assert product.admin("GET", f"/api/organizers/{owner}/statements/2026-11", key=key).status_code == 404
    refused = product.admin("POST", "/api/ledger/opening", {}, key=key)
    assert refused.status_code == 403


def test_a_month_that_is_over_is_made_once_and_served_for_ever(product: Product) -> None:
    event = event_for(product, "eur", FEE)
    organizer = product.admin("GET", f"/api/events/{event}").json()["organizer"]

    async def age() -> None:
        conn = await asyncpg.connect(product.run["database_url"])
        try:
            await conn.execute("UPDATE organizers SET created_at = '2026-01-10' WHERE id = $1", organizer)
        finally:
            await conn.close()

    asyncio.run(age())
    for suffix in ("", ".csv", ".pdf"):
        path = f"/api/organizers/{organizer}/statements/2026-02{suffix}"
        with ThreadPoolExecutor(8) as pool:
            answers = set(pool.map(lambda _, path=path: product.admin("GET", path).content, range(8)))
        assert len(answers) == 1
    found = read(product, f"/api/organizers/{organizer}/statements/2026-02")
    assert found["final"] and found["closing"] == 0
    assert product.admin("GET", f"/api/organizers/{organizer}/statements/2025-12").status_code == 404
