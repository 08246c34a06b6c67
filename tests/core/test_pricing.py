"""Prices worked by hand from MONEY.md and the contract's section on money; then what holds for any basket."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.core.pricing import Discount, FeeSchedule, Priced, Quote, below_minimum, price_lines, unit_fee

GA, VIP = Priced(1, 2500), Priced(2, 4000)


def quote(
    lines: list[tuple[Priced, int]], promo: Discount | None = None, currency: str = "eur", **fee: Any
) -> Quote:
    return price_lines(lines, FeeSchedule(**fee), promo, currency)


def figures(found: Quote) -> tuple[int, int, int, int, int]:
    return found.subtotal, found.discount, found.fees, found.tax, found.total


def test_percent_and_fixed_per_ticket() -> None:
    # 5 % of 25.00 is 1.25, and 0.50: 1.75 for each of two.
    assert figures(quote([(GA, 2)], percent_bps=500, fixed=50)) == (5000, 0, 350, 0, 5350)


def test_halves_go_to_the_even_cent() -> None:
    # 5 % of 0.50 is 2.5 cents → 2; of 0.70 it is 3.5 cents → 4.
    assert quote([(Priced(1, 50), 1)], percent_bps=500).fees == 2
    assert quote([(Priced(1, 70), 1)], percent_bps=500).fees == 4


def test_the_fee_is_taken_on_price_minus_discount() -> None:
    # 20 % off 40.00 is 32.00; 5 % of it and 0.50 is 2.10.
    assert figures(quote([(VIP, 1)], Discount(percent_bps=2000), percent_bps=500, fixed=50)) == (
        4000,
        800,
        210,
        0,
        3410,
    )


def test_a_percent_code_rounds_each_ticket() -> None:
    # 15 % of 0.33 is 4.95 → 5, three times.
    assert quote([(Priced(1, 33), 3)], Discount(percent_bps=1500)).discount == 15


def test_an_amount_is_taken_once_and_shared_over_lines_then_tickets() -> None:
    found = quote([(GA, 2), (VIP, 1)], Discount(amount=1000))
    # 1000 over 5000 : 4000 is 555.6 : 444.4 → 556 and 444; 556 over two tickets is 278 each.
    assert [line.discount for line in found.lines] == [556, 444]
    assert [ticket.discount for ticket in found.lines[0].tickets] == [278, 278]


def test_an_amount_never_goes_below_zero() -> None:
    assert figures(quote([(GA, 1)], Discount(amount=9999), percent_bps=500, fixed=50)) == (
        2500,
        2500,
        0,
        0,
        0,
    )


def test_a_code_for_one_tier_leaves_the_others() -> None:
    found = quote([(GA, 1), (VIP, 1)], Discount(percent_bps=5000, tiers=(2,)))
    assert [line.discount for line in found.lines] == [0, 2000]


def test_the_fixed_part_once_per_order() -> None:
    # 5 % of 25.00 is 1.25 each; 0.99 once, shared 50 : 49.
    found = quote([(GA, 2)], percent_bps=500, fixed=99, basis="order")
    assert found.fees == 125 + 125 + 99
    assert [ticket.fee for ticket in found.lines[0].tickets] == [175, 174]
    assert found.lines[0].unit_fee == 125


def test_absorbed_fees_show_as_zero() -> None:
    found = quote([(GA, 2)], percent_bps=500, fixed=50, mode="absorbed", tax_bps=1900)
    assert figures(found) == (5000, 0, 0, 0, 5000)
    # 19 % of 3.50 is 66.5 → 67, half up.
    assert (found.absorbed, found.absorbed_tax) == (350, 67)


def test_tax_on_the_fee_half_up_once_per_order() -> None:
    assert quote([(GA, 2)], percent_bps=500, fixed=50, tax_bps=1900).tax == 67


def test_tax_within_the_price_is_a_memo() -> None:
    found = quote([(Priced(1, 11900, 1900), 1)])
    assert found.total == 11900 and found.lines[0].tickets[0].included_tax == 1900


def test_a_ticket_at_zero_carries_no_fee() -> None:
    assert figures(quote([(Priced(1, 0), 3), (GA, 1)], percent_bps=500, fixed=50)) == (2500, 0, 175, 0, 2675)


def test_currencies_of_other_steps() -> None:
    # 5 % of 7.500 KWD is 0.375 → 0.380 in tens, the tie to the even one.
    assert quote([(Priced(1, 7500), 1)], currency="kwd", percent_bps=500).fees == 380
    # ISK in whole hundreds: 5 % of 4990.00 is 249.50 → 250.00? the nearest hundred of 24950 is 24900 or 25000: a tie, even.
    assert quote([(Priced(1, 499_000), 1)], currency="isk", percent_bps=500).fees % 100 == 0
    assert quote([(Priced(1, 3000), 1)], currency="jpy", percent_bps=550).fees == 165


def test_minimum() -> None:
    assert (
        below_minimum(49, "eur") == 50
        and below_minimum(50, "eur") is None
        and below_minimum(0, "eur") is None
    )
    assert below_minimum(29, "gbp") == 30


FEES = st.builds(
    FeeSchedule,
    percent_bps=st.integers(0, 3000),
    fixed=st.integers(0, 30).map(lambda n: n * 100),
    basis=st.sampled_from(["ticket", "order"]),
    mode=st.sampled_from(["passed_on", "absorbed"]),
    tax_bps=st.integers(0, 2500),
)
PROMOS = st.one_of(
    st.none(),
    st.builds(Discount, percent_bps=st.integers(0, 10_000)),
    st.builds(
        Discount, amount=st.integers(0, 500).map(lambda n: n * 100), tiers=st.sampled_from([None, (1,)])
    ),
)
BASKETS = st.lists(
    st.tuples(st.integers(0, 500).map(lambda n: n * 100), st.integers(1, 6)), min_size=1, max_size=4
)


@given(BASKETS, FEES, PROMOS, st.sampled_from(["eur", "jpy", "kwd", "isk"]))
def test_any_basket_adds_up(
    basket: list[tuple[int, int]], fees: FeeSchedule, promo: Discount | None, currency: str
) -> None:
    lines = [(Priced(number, price, 700), count) for number, (price, count) in enumerate(basket, 1)]
    found = price_lines(lines, fees, promo, currency)
    step = {"eur": 1, "jpy": 1, "kwd": 10, "isk": 100}[currency]
    assert found.total == found.subtotal - found.discount + found.fees + found.tax
    assert found.total == sum(line.total for line in found.lines) and 0 <= found.discount <= found.subtotal
    for line in found.lines:
        assert line.total == line.unit_price * line.quantity - line.discount + line.fees + line.tax
        assert line.discount == sum(ticket.discount for ticket in line.tickets)
        assert line.fees == sum(ticket.fee for ticket in line.tickets)
        for ticket in line.tickets:
            assert 0 <= ticket.discount <= ticket.face
            if ticket.face == ticket.discount:
                assert ticket.fee == ticket.absorbed == 0
    for amount in (found.total, found.discount, found.fees, found.tax, found.absorbed):
        assert amount % step == 0
    assert unit_fee(0, fees, step) == 0
