"""The local Stripe's money: balance transactions, fees, conversion, refunds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import stripe

from tests.embedded.stripe_program import (
    SECRET_KEY,
    Program,
    Shop,
    cleared,
    money_of,
    wait_for,
)

# The SDK hands httpx its bodies in a way that httpx has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


# --- money -------------------------------------------------------------------------------------------------------------


def test_a_charge_reaches_the_balance_a_moment_later(local: Program, shop: Shop) -> None:
    local.faults(balance_transaction_delay_ms=600_000)
    waiting = local.pay()
    assert local.charge_of(waiting).balance_transaction is None
    local.faults(balance_transaction_delay_ms=50)
    charge = cleared(local, local.pay(amount=5350))
    params: Any = {"expand": ["latest_charge.balance_transaction"]}
    payment = local.sdk.v1.payment_intents.retrieve(charge.payment_intent, params)
    money = payment.latest_charge.balance_transaction  # type: ignore[union-attr]
    assert not isinstance(money, str) and money is not None
    # 2.9 % of 53.50 is 1.5515, and thirty cents.
    assert (money.amount, money.fee, money.net, money.currency) == (5350, 185, 5165, "usd")
    assert (money.type, money.reporting_category, money.source) == ("charge", "charge", charge.id)
    assert sum(detail.amount for detail in money.fee_details) == money.fee
    assert (money.exchange_rate, money.status) == (None, "pending") and money.available_on > money.created
    wait_for(lambda: "charge.updated" in shop.kinds())
    assert local.charge_of(waiting).balance_transaction is None


@pytest.mark.parametrize(("currency", "amount"), [("eur", 5350), ("jpy", 5350), ("kwd", 5350)])
def test_a_foreign_charge_is_converted_and_says_its_rate(local: Program, currency: str, amount: int) -> None:
    charge = cleared(local, local.pay(amount=amount, currency=currency))
    money = local.sdk.v1.balance_transactions.retrieve(charge.balance_transaction)
    assert money.currency == "usd" and isinstance(money.exchange_rate, float)
    whole = amount / {"eur": 100, "jpy": 1, "kwd": 1000}[currency]
    assert abs(money.amount / 100 - whole * money.exchange_rate) <= 0.005001
    assert money.net == money.amount - money.fee


def test_refunds_never_exceed_what_is_left(local: Program, shop: Shop) -> None:
    payment = local.pay(amount=5000)
    refunds = local.sdk.v1.refunds
    first = refunds.create({"payment_intent": payment.id, "amount": 2000, "metadata": {"order": "A"}})
    assert (first.status, first.amount, first.charge) == ("succeeded", 2000, payment.latest_charge)
    with pytest.raises(stripe.InvalidRequestError):
        refunds.create({"payment_intent": payment.id, "amount": 3001})
    with ThreadPoolExecutor(4) as threads:
        codes = list(
            threads.map(
                lambda _: (
                    httpx.post(
                        f"{local.url}/v1/refunds",
                        auth=(SECRET_KEY, ""),
                        data={"payment_intent": payment.id, "amount": "3000"},
                        timeout=15,
                    ).status_code
                ),
                range(4),
            )
        )
    assert sorted(codes) == [200, 400, 400, 400]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        refunds.create({"charge": str(payment.latest_charge)})
    assert refused.value.code == "charge_already_refunded"
    charge = local.charge_of(payment)
    assert (charge.amount_refunded, charge.refunded) == (5000, True)
    assert sum(one.amount for one in refunds.list({"payment_intent": payment.id}).data) == 5000
    wait_for(lambda: money_of(local, first.id) == [("refund", -2000, 0, -2000)])
    wait_for(lambda: shop.kinds().count("charge.refunded") == 2)


def test_a_refund_that_waits_succeeds_and_one_that_fails_gives_the_money_back(
    local: Program, shop: Shop
) -> None:
    slow = local.sdk.v1.refunds.create({"payment_intent": local.pay("pm_card_pendingRefund").id})
    assert slow.status == "pending"
    wait_for(lambda: local.sdk.v1.refunds.retrieve(slow.id).status == "succeeded")
    payment = local.pay("pm_card_refundFail", amount=4000)
    failing = local.sdk.v1.refunds.create({"payment_intent": payment.id, "amount": 1500})
    assert failing.status == "succeeded"
    wait_for(lambda: local.sdk.v1.refunds.retrieve(failing.id).status == "failed")
    failed = local.sdk.v1.refunds.retrieve(failing.id)
    assert failed.failure_reason and failed.failure_balance_transaction
    wait_for(lambda: sum(net for _, _, _, net in money_of(local, failing.id)) == 0)
    assert [kind for kind, *_ in money_of(local, failing.id)] == ["refund", "refund_failure"]
    charge = local.charge_of(payment)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    wait_for(lambda: "refund.failed" in shop.kinds())
