"""Refunds by hand from MONEY.md section 5: whole tickets, shares, amounts; never more than was paid."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from engine.core import refunding
from engine.core.outcomes import Code
from engine.core.refund_policy import NoRefund, Step, Tiers, Until
from engine.core.refunding import Asked, PaidTicket, Parts, Past, Plan

START = datetime(2027, 3, 28, 18, tzinfo=UTC)


def ticket(
    name: str, face: int = 2500, fee: int = 175, tax: int = 33, discount: int = 0, **more: int
) -> PaidTicket:
    price = {"face": face, "discount": discount, "fee": fee, "fee_tax": tax, "absorbed": 0, "absorbed_tax": 0}
    return PaidTicket(name, 1, "valid", price | more)


def plan(bought: list[PaidTicket], past: list[Past], **asked: object) -> Plan:
    outcome = refunding.plan(bought, past, Asked(**asked), "eur")  # type: ignore[arg-type]
    assert outcome.ok, outcome
    found: Plan = outcome.value
    return found


def after(tickets: list[PaidTicket], voided: tuple[str, ...]) -> list[PaidTicket]:
    return [PaidTicket(t.id, t.tier, "void" if t.id in voided else t.status, t.price) for t in tickets]


def test_a_whole_ticket_returns_what_it_cost() -> None:
    found = plan([ticket("a"), ticket("b", discount=500)], [], tickets=("b",))
    assert (found.parts, found.voids, found.status) == (Parts(2000, 175, 33), ("b",), "partially_refunded")


def test_the_service_fee_is_kept_with_its_tax() -> None:
    found = plan([ticket("a"), ticket("b")], [], keep_service_fee=True)
    assert (found.parts, found.kept_fee, found.status) == (Parts(5000), 416, "refunded")


def test_a_share_is_split_face_fee_tax() -> None:
    found = plan([ticket("a", 1001, 51, 10)], [], percent_bps=5000)
    # 531 of 1062: 500.5, 25.5, 5 — the left-over unit goes to the lowest of the equal remainders.
    assert found.parts == Parts(501, 25, 5)


def test_many_shares_add_up_like_one() -> None:
    tickets = [ticket(name, 333, 0, 0) for name in "abc"]
    past: list[Past] = []
    for name in "abc":
        found = plan(tickets, past, tickets=(name,), percent_bps=5000)
        past.append(Past(found.parts, found.basis, found.percent_bps))
        tickets = after(tickets, found.voids)
    # 166.5, 333, 499.5: half-even on the cumulative total.
    assert [one.parts.amount for one in past] == [166, 167, 167]


def test_an_amount_is_drawn_on_face_first_and_voids_nothing() -> None:
    tickets = [ticket("a"), ticket("b")]
    found = plan(tickets, [], amount=5100)
    assert (found.parts, found.voids, found.status) == (Parts(5000, 100, 0), (), "partially_refunded")
    rest = plan(tickets, [Past(found.parts)], amount=316)
    assert (rest.parts, rest.voids, rest.status) == (Parts(0, 250, 66), ("a", "b"), "refunded")


def test_what_is_left_is_the_limit() -> None:
    tickets = [ticket("a"), ticket("b")]
    past = [Past(Parts(4000))]
    outcome = refunding.plan(tickets, past, Asked(amount=1417), "eur")
    assert (outcome.code, outcome.detail) == (Code.EXCEEDS_REFUNDABLE, {"refundable": 1416})
    found = plan(tickets, past, tickets=("a",))
    assert found.parts == Parts(1000, 175, 33)
    last = plan(after(tickets, ("a",)), [*past, Past(found.parts, found.basis, found.percent_bps)])
    assert last.parts == Parts(0, 175, 33)


def test_an_absorbed_fee_goes_back_to_the_organizer_unless_it_is_kept() -> None:
    tickets = [ticket("a", fee=0, tax=0, absorbed=175, absorbed_tax=33)]
    assert plan(tickets, []).parts == Parts(2500, 0, 0, 175, 33)
    assert plan(tickets, [], keep_service_fee=True).parts == Parts(2500)


def test_used_and_void_tickets() -> None:
    used = PaidTicket("a", 1, "used", ticket("a").price)
    assert refunding.plan([used], [], Asked(), "eur").code is Code.CHECKED_IN
    assert plan([used], [], override=True).voids == ("a",)
    void = PaidTicket("a", 1, "void", ticket("a").price)
    assert refunding.plan([void], [Past(Parts(2500, 175, 33))], Asked(), "eur").code is Code.ALREADY_REFUNDED


def test_the_boundary_is_inside_across_a_change_of_clocks_and_the_better_start_counts() -> None:
    policy = Until(hours_before=48, percent_bps=10_000, keep_service_fee=True)
    edge = START - timedelta(hours=48)
    assert refunding.allowed_bps(policy, [START], edge) == (10_000, True)
    assert refunding.allowed_bps(policy, [START], edge + timedelta(microseconds=1)) == (0, True)
    for moved in (START - timedelta(days=9), START + timedelta(days=9)):
        later = max(START, moved)
        assert refunding.allowed_bps(policy, [START, moved], later - timedelta(hours=48))[0] == 10_000
        assert refunding.allowed_bps(policy, [START, moved], later - timedelta(hours=47))[0] == 0


def test_steps_and_none() -> None:
    steps = [Step(hours_before=168, percent_bps=10_000), Step(hours_before=48, percent_bps=5_000)]
    policy = Tiers(steps=steps, keep_service_fee=False)
    shares = [
        refunding.allowed_bps(policy, [START], START - timedelta(hours=h))[0] for h in (169, 168, 100, 48, 47)
    ]
    assert shares == [10_000, 10_000, 5_000, 5_000, 0]
    assert refunding.allowed_bps(NoRefund(), [START], START)[0] == 0


_PRICES = st.tuples(st.integers(1, 9999), st.integers(0, 900), st.integers(0, 90))


@given(
    st.lists(_PRICES, min_size=1, max_size=5),
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(1, 10_000), st.booleans(), st.integers(0, 3000)), max_size=8
    ),
)
def test_no_part_is_ever_given_back_twice(
    prices: list[tuple[int, int, int]], steps: list[tuple[int, int, bool, int]]
) -> None:
    tickets = [ticket(str(at), *price) for at, price in enumerate(prices)]
    paid = refunding.paid_parts(tickets)
    past: list[Past] = []
    for at, bps, keep, amount in steps:
        asked = (
            Asked(amount=amount, keep_service_fee=keep, override=True)
            if amount
            else Asked((str(at % len(tickets)),), None, bps, keep)
        )
        outcome = refunding.plan(tickets, past, asked, "eur")
        if not outcome.ok:
            continue
        past.append(Past(outcome.value.parts, outcome.value.basis, outcome.value.percent_bps))
        tickets = after(tickets, outcome.value.voids)
        back = sum((one.parts for one in past), Parts())
        assert min(outcome.value.parts.face, outcome.value.parts.fee, outcome.value.parts.tax) >= 0
        assert back.face <= paid.face and back.fee <= paid.fee and back.tax <= paid.tax


@given(st.lists(_PRICES, min_size=1, max_size=6), st.integers(1, 10**6))
def test_whole_tickets_close_the_organizers_part_in_another_currency(
    prices: list[tuple[int, int, int]], total: int
) -> None:
    tickets = [ticket(str(at), *price) for at, price in enumerate(prices)]
    past, paid = Parts(), (0, 0)
    for at in range(len(tickets)):
        found = plan(tickets, [Past(past)] if at else [], tickets=(str(at),))
        face, fees = refunding.organizers_part(tickets, found, paid, past, (total, 0), 1)
        past, paid = past + found.parts, (paid[0] + face, paid[1] + fees)
        tickets = after(tickets, found.voids)
    assert paid == (total, 0)
