"""Payments cleared in other currencies, by hand from MONEY.md: the position closes, what is left is gain or loss."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import pytest

from ledger import rules
from ledger.entry import Entry
from ledger.fx import Rate, convert, read_rate, stated_rate
from ledger.rules import Balance, OrganizerPart, RefundFigures
from ledger.rules.sale import organizer_part

WHO: dict[str, Any] = {"order": "ord_1", "event": "evt_1", "organizer": "org_1"}
HERE: dict[str, Any] = WHO | {"country": "DE", "effective_at": 0}


def total(*entries: Entry | None) -> dict[str, int]:
    found: Counter[str] = Counter()
    for entry in entries:
        assert entry is not None
        for one in entry.postings:
            found[one.account] += one.amount
    return {account: amount for account, amount in found.items() if amount}


def sold(currency: str, part: OrganizerPart | None, face: int = 5000, fee: int = 350) -> Entry | None:
    return rules.sale(
        payment="pi_1", currency=currency, face=face, discount=0, fee=fee, fee_tax=0, absorbed=0, absorbed_tax=0,
        part=part, **HERE,
    )  # fmt: skip


def cleared(
    currency: str, part: OrganizerPart | None, balance: Balance, amount: int = 5350, fee: int = 350
) -> Entry:
    return rules.clear(
        payment="pi_1", currency=currency, amount=amount, balance=balance, fee=fee, tax=0, part=part, **HERE
    )


def test_one_currency_throughout() -> None:
    balance = Balance("txn_1", "eur", 5350, 105)
    part = organizer_part(5000, 0, 0, "eur", None)
    assert total(sold("eur", part), cleared("eur", part, balance)) == {
        "stripe:clearing:EUR": 5245,
        "expense:processing_fee:EUR": 105,
        "org:org_1:payable:EUR": -5000,
        "revenue:platform_fee:EUR": -350,
    }


def test_sold_in_dollars_paid_and_kept_in_euros() -> None:
    """5,000 USD cents at 0.92 are 4,600 payable; Stripe converts 5,350 at 0.93 to 4,976, of which 326 are our fee."""
    part = organizer_part(5000, 0, 0, "eur", Rate("usd", "eur", "0.92"))
    assert part.payable == 4600
    balance = Balance("txn_1", "eur", 4976, 100, Fraction("0.93"))
    assert total(sold("usd", part), cleared("usd", part, balance)) == {
        "stripe:clearing:EUR": 4876,
        "expense:processing_fee:EUR": 100,
        "org:org_1:payable:EUR": -4600,
        "revenue:platform_fee:EUR": -326,
        "fx:gain_loss:EUR": -50,
    }


def test_its_refund_costs_what_the_day_says() -> None:
    part = organizer_part(5000, 0, 0, "eur", Rate("usd", "eur", "0.92"))
    sale, clear = (
        sold("usd", part),
        cleared("usd", part, Balance("txn_1", "eur", 4976, 100, Fraction("0.93"))),
    )
    figures = RefundFigures(5000, 350, 0)
    back = rules.refund(refund="ref_1", currency="usd", figures=figures, part=part, **HERE)
    settled = rules.refund_settled(
        refund="ref_1", currency="usd", figures=figures, booked=4600,
        balance=Balance("txn_2", "eur", 5082, 0, Fraction("0.95")), **HERE,
    )  # fmt: skip
    # 350 at 0.95 are 332.5, half-even 332; the organizer's part cost 4750 and stood at 4600.
    assert total(sale, clear, back, settled) == {
        "stripe:clearing:EUR": 4876 - 5082,
        "expense:processing_fee:EUR": 100,
        "revenue:platform_fee:EUR": 332 - 326,
        "fx:gain_loss:EUR": 150 - 50,
    }


def test_sold_and_kept_in_euros_paid_in_dollars_closes_at_the_payout() -> None:
    part = organizer_part(5000, 0, 0, "usd", Rate("eur", "usd", "1.1"))
    sale, clear = sold("eur", part), cleared("eur", part, Balance("txn_1", "eur", 5350, 105))
    assert total(sale, clear)["fx:position:EUR"] == -5000
    assert total(sale, clear)["fx:position:USD"] == 5500
    asked = rules.payout_requested(
        payout="po_1", organizer="org_1", currency="usd", parts=[("evt_1", 5500)], effective_at=0
    )
    sent = rules.payout_executed(
        payout="po_1", organizer="org_1", currency="usd", amount=5500,
        balance=Balance("txn_3", "eur", 5040, 0), booked=5000, effective_at=0,
    )  # fmt: skip
    assert total(sale, clear, asked, sent) == {
        "stripe:clearing:EUR": 5245 - 5040,
        "expense:processing_fee:EUR": 105,
        "revenue:platform_fee:EUR": -350,
        "fx:gain_loss:EUR": 40,
    }


def test_three_currencies() -> None:
    """Sold in JPY, kept in USD, paid in EUR: the yen close at once, the rest stands as euros against dollars."""
    part = organizer_part(7500, 0, 0, "eur", Rate("jpy", "eur", "0.0061"))
    assert part.payable == 4575
    balance = Balance("txn_1", "usd", 5360, 185, Fraction(5360, 8000))
    found = total(sold("jpy", part, 7500, 500), cleared("jpy", part, balance, 8000, 500))
    assert found == {
        "stripe:clearing:USD": 5175,
        "expense:processing_fee:USD": 185,
        "revenue:platform_fee:USD": -335,
        "org:org_1:payable:EUR": -4575,
        "fx:position:EUR": 4575,
        "fx:position:USD": -(5360 - 335),
    }


def test_a_payment_for_nothing_leaves_only_the_fee() -> None:
    owed = rules.unmatched(payment="pi_1", currency="usd", amount=5350, effective_at=0, **WHO)
    clear = cleared("usd", None, Balance("txn_1", "eur", 4976, 100, Fraction("0.93")), fee=0)
    settled = rules.refund_settled(
        refund="ref_1", currency="usd", figures=RefundFigures(5350, 0, 0), booked=4976,
        balance=Balance("txn_2", "eur", 4976, 0, Fraction("0.93")), **HERE,
    )  # fmt: skip
    assert total(owed, clear, settled) == {
        "stripe:clearing:EUR": -100,
        "expense:processing_fee:EUR": 100,
    }


def test_the_organizer_bears_the_fee_at_cost() -> None:
    entry = rules.recharge(
        balance=Balance("txn_1", "eur", 5350, 105), payout_currency="eur", amount=105, effective_at=0, **WHO
    )
    assert total(entry) == {"org:org_1:payable:EUR": 105, "expense:processing_fee:EUR": -105}


@pytest.mark.parametrize(
    ("amount", "rate", "converted"),
    [
        (5000, Rate("usd", "eur", "0.92345"), 4617),
        (7500, Rate("jpy", "usd", "0.0067"), 5025),
        (7510, Rate("kwd", "usd", "3.25"), 2441),
        (2500, Rate("usd", "kwd", "0.3067"), 7670),
        (1000, Rate("eur", "isk", "147.4"), 147400),
        (5, Rate("usd", "eur", "0.5"), 2),
        (15, Rate("usd", "eur", "0.5"), 8),
    ],
)
def test_conversion_counts_minor_units_of_either_currency(amount: int, rate: Rate, converted: int) -> None:
    assert convert(amount, rate) == converted


@pytest.mark.parametrize("text", ["", "0", "-1", "1e3", ".5", "1.", "NaN", "1,5", "0.0", "１"])
def test_a_rate_is_a_decimal_above_zero(text: str) -> None:
    with pytest.raises(ValueError):
        read_rate(text)


def test_a_stated_rate_must_explain_its_figures() -> None:
    assert stated_rate(5350, "usd", 4976, "eur", "0.93") == Fraction("0.93")
    assert stated_rate(8000, "jpy", 5360, "usd", "0.0067") == Fraction("0.67")
    assert stated_rate(8000, "jpy", 5360, "usd", "0.67") == Fraction("0.67")
    assert stated_rate(5350, "usd", 4976, "eur", "2.5") == Fraction(4976, 5350)
    assert stated_rate(5350, "usd", 4976, "eur", None) == Fraction(4976, 5350)
