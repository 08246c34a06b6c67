"""Stripe's test cards: what each does, and what may be kept of a card.

Promises: a number never leaves `read_card`; what is kept is brand, last four digits, expiry, fingerprint and country.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass, field
from typing import Any, Final

from engine.embedded.stripe.errors import StripeError
from engine.embedded.stripe.forms import Params

_DECLINED = "Your card was declined."


@dataclass(frozen=True)
class Behaviour:
    """What a payment with a card does. `decline` is (code, decline_code, message, param)."""

    decline: tuple[str, str, str, str | None] | None = None
    authenticate: bool = False
    block: str | None = None
    risk_level: str = "normal"
    risk_score: int = 12
    refund: str = "succeeded"
    available_at_once: bool = False
    checks: dict[str, str] = field(default_factory=dict)


def _declined(decline_code: str, message: str = _DECLINED) -> Behaviour:
    return Behaviour(decline=("card_declined", decline_code, message, None))


def _failed(code: str, message: str, param: str | None = None) -> Behaviour:
    return Behaviour(decline=(code, code, message, param))


_VELOCITY = (
    "Your card was declined for making repeated attempts too frequently or exceeding its amount limit."
)
_PROCESSING = "An error occurred while processing your card. Try again in a little bit."

BEHAVIOURS: Final[dict[str, Behaviour]] = {
    "succeeds": Behaviour(),
    "generic_decline": _declined("generic_decline"),
    "insufficient_funds": _declined("insufficient_funds", "Your card has insufficient funds."),
    "lost_card": _declined("lost_card"),
    "stolen_card": _declined("stolen_card"),
    "velocity": _declined("card_velocity_exceeded", _VELOCITY),
    "expired_card": _failed("expired_card", "Your card has expired.", "exp_month"),
    "incorrect_cvc": _failed("incorrect_cvc", "Your card's security code is incorrect.", "cvc"),
    "processing_error": _failed("processing_error", _PROCESSING),
    "authenticates": Behaviour(authenticate=True),
    "authenticates_declined": Behaviour(authenticate=True, decline=_declined("generic_decline").decline),
    "authenticates_insufficient": Behaviour(
        authenticate=True,
        decline=_declined("insufficient_funds", "Your card has insufficient funds.").decline,
    ),
    "authenticates_error": Behaviour(
        authenticate=True, decline=_failed("processing_error", _PROCESSING).decline
    ),
    "blocked": Behaviour(
        decline=_declined("fraudulent").decline,
        block="highest_risk_level",
        risk_level="highest",
        risk_score=100,
    ),
    "highest_risk": Behaviour(
        decline=_declined("fraudulent").decline,
        block="highest_risk_level",
        risk_level="highest",
        risk_score=90,
    ),
    "elevated_risk": Behaviour(risk_level="elevated", risk_score=70),
    "refund_pending": Behaviour(refund="pending"),
    "refund_fails": Behaviour(refund="fails"),
    "available_at_once": Behaviour(available_at_once=True),
    "cvc_check_fails": Behaviour(checks={"cvc_check": "fail"}),
    "zip_check_fails": Behaviour(checks={"address_postal_code_check": "fail"}),
    "line1_check_fails": Behaviour(checks={"address_line1_check": "fail"}),
    "address_checks_fail": Behaviour(
        checks={"address_line1_check": "fail", "address_postal_code_check": "fail"}
    ),
    "address_unchecked": Behaviour(
        checks={"address_line1_check": "unavailable", "address_postal_code_check": "unavailable"}
    ),
}

# number: (behaviour, country, names after `pm_card_`)
_TEST_CARDS: Final[dict[str, tuple[str, str, str]]] = {
    "4242424242424242": ("succeeds", "US", "visa us"),
    "4000056655665556": ("succeeds", "US", "visa_debit"),
    "5555555555554444": ("succeeds", "US", "mastercard"),
    "2223003122003222": ("succeeds", "US", ""),
    "5200828282828210": ("succeeds", "US", "mastercard_debit"),
    "5105105105105100": ("succeeds", "US", "mastercard_prepaid"),
    "378282246310005": ("succeeds", "US", "amex"),
    "371449635398431": ("succeeds", "US", ""),
    "6011111111111117": ("succeeds", "US", "discover"),
    "6011000990139424": ("succeeds", "US", ""),
    "3056930009020004": ("succeeds", "US", "diners"),
    "36227206271667": ("succeeds", "US", ""),
    "3566002020360505": ("succeeds", "JP", "jcb"),
    "6200000000000005": ("succeeds", "CN", "unionpay"),
    "4000008260000000": ("succeeds", "GB", "gb"),
    "4000002760000016": ("succeeds", "DE", "de"),
    "4000002500000003": ("succeeds", "FR", "fr"),
    "4000000400000008": ("succeeds", "AT", "at"),
    "4000007560000009": ("succeeds", "CH", "ch"),
    "4000007240000007": ("succeeds", "ES", "es"),
    "4000003800000008": ("succeeds", "IT", "it"),
    "4000005280000002": ("succeeds", "NL", "nl"),
    "4000001240000000": ("succeeds", "CA", "ca"),
    "4000000360000006": ("succeeds", "AU", "au"),
    "4000003920000003": ("succeeds", "JP", "jp"),
    "4000000760000002": ("succeeds", "BR", "br"),
    "4000000000000002": ("generic_decline", "US", "chargeDeclined visa_chargeDeclined"),
    "4000000000009995": (
        "insufficient_funds",
        "US",
        "chargeDeclinedInsufficientFunds visa_chargeDeclinedInsufficientFunds",
    ),
    "4000000000009987": ("lost_card", "US", "chargeDeclinedLostCard visa_chargeDeclinedLostCard"),
    "4000000000009979": ("stolen_card", "US", "chargeDeclinedStolenCard visa_chargeDeclinedStolenCard"),
    "4000000000006975": (
        "velocity",
        "US",
        "chargeDeclinedVelocityLimitExceeded visa_chargeDeclinedVelocityLimitExceeded",
    ),
    "4000000000000069": ("expired_card", "US", "chargeDeclinedExpiredCard visa_chargeDeclinedExpiredCard"),
    "4000000000000127": ("incorrect_cvc", "US", "chargeDeclinedIncorrectCvc visa_chargeDeclinedIncorrectCvc"),
    "4000000000000119": (
        "processing_error",
        "US",
        "chargeDeclinedProcessingError visa_chargeDeclinedProcessingError",
    ),
    "4000000000000341": ("generic_decline", "US", "chargeCustomerFail"),
    "4000002500003155": (
        "authenticates",
        "FR",
        "authenticationRequiredOnSetup authenticationRequiredSetupForOffSession",
    ),
    "4000002760003184": ("authenticates", "DE", "authenticationRequired"),
    "4000000000003220": ("authenticates", "US", "threeDSecure2Required"),
    "4000000000003063": ("authenticates", "US", "threeDSecureRequired"),
    "4000000000003055": ("succeeds", "US", "threeDSecureOptional"),
    "4000008400001629": ("authenticates_declined", "US", "threeDSecureRequiredChargeDeclined"),
    "4000008400001280": ("authenticates_error", "US", "threeDSecureRequiredProcessingError"),
    "4000008260003178": (
        "authenticates_insufficient",
        "GB",
        "authenticationRequiredChargeDeclinedInsufficientFunds",
    ),
    "4100000000000019": ("blocked", "US", "radarBlock"),
    "4000000000004954": ("highest_risk", "US", "riskLevelHighest"),
    "4000000000009235": ("elevated_risk", "US", "riskLevelElevated"),
    "4000000000007726": ("refund_pending", "US", "pendingRefund"),
    "4000000000005126": ("refund_fails", "US", "refundFail"),
    "4000000000000077": ("available_at_once", "US", "bypassPending"),
    "4000003720000278": ("available_at_once", "IE", "bypassPendingInternational"),
    "4000000000000101": ("cvc_check_fails", "US", "cvcCheckFail"),
    "4000000000000036": ("zip_check_fails", "US", "avsZipFail"),
    "4000000000000028": ("line1_check_fails", "US", "avsLine1Fail"),
    "4000000000000010": ("address_checks_fail", "US", "avsFail"),
    "4000000000000044": ("address_unchecked", "US", "avsUnchecked"),
    # What follows a payment with these (disputes, fraud warnings) is not played yet.
    "4000000000000259": ("succeeds", "US", "createDispute"),
    "4000000000002685": ("succeeds", "US", "createDisputeProductNotReceived"),
    "4000000000001976": ("succeeds", "US", "createDisputeInquiry"),
    "4000000000005423": ("succeeds", "US", "createIssuerFraudRecord"),
    "4000000404000079": ("succeeds", "US", "createMultipleDisputes"),
    "4000000404000038": ("succeeds", "US", "createCe3EligibleDispute"),
    "4000008400000779": ("succeeds", "US", "createComplianceDispute"),
}
_BY_NAME: Final = {
    f"pm_card_{name}": number for number, (_, _, names) in _TEST_CARDS.items() for name in names.split()
}
_DEBIT: Final = frozenset({"4000056655665556", "5200828282828210"})
_PREPAID: Final = frozenset({"5105105105105100"})


@dataclass(frozen=True)
class Card:
    """What is kept of a card: `details` as Stripe renders it, and the name of its behaviour."""

    details: dict[str, Any]
    behaviour: str


def named_card(name: str, key: str) -> Card | None:
    """The card of a `pm_card_…` name; None when there is none."""
    number = _BY_NAME.get(name)
    return None if number is None else _card(number, 12, time.gmtime().tm_year + 8, key, cvc_given=True)


def read_card(given: Params, key: str) -> Card:
    """A card from its number, expiry and code. Raises StripeError (402) when they cannot be one."""
    number = "".join(str(given.get("number", "")).split()).replace("-", "")
    if not (number.isascii() and number.isdecimal() and 12 <= len(number) <= 19 and _luhn(number)):
        raise _card_error("incorrect_number", "Your card number is incorrect.", "number")
    month, year = _whole(given.get("exp_month")), _whole(given.get("exp_year"))
    if month is None or not 1 <= month <= 12:
        raise _card_error("invalid_expiry_month", "Your card's expiration month is invalid.", "exp_month")
    if year is not None and year < 100:
        year += 2000
    today = time.gmtime()
    if year is None or not today.tm_year <= year <= today.tm_year + 50:
        raise _card_error("invalid_expiry_year", "Your card's expiration year is invalid.", "exp_year")
    if (year, month) < (today.tm_year, today.tm_mon):
        raise _card_error("invalid_expiry_month", "Your card's expiration month is invalid.", "exp_month")
    code = given.get("cvc")
    if code is not None and not (
        isinstance(code, str) and code.isascii() and code.isdecimal() and len(code) in (3, 4)
    ):
        raise _card_error("invalid_cvc", "Your card's security code is invalid.", "cvc")
    if number not in _TEST_CARDS:
        raise _card_error(
            "card_declined",
            "Your card was declined. Your request was in test mode, but used a non test card. "
            "For a list of valid test cards, visit: https://stripe.com/docs/testing.",
            None,
            "test_mode_live_card",
        )
    return _card(number, month, year, key, cvc_given=code is not None)


def _card(number: str, month: int, year: int, key: str, *, cvc_given: bool) -> Card:
    behaviour, country, _ = _TEST_CARDS[number]
    digest = hmac.new(key.encode(), number.encode(), hashlib.sha256).hexdigest()
    checks = {
        "address_line1_check": None,
        "address_postal_code_check": None,
        "cvc_check": "pass" if cvc_given else None,
    }
    return Card(
        {
            "brand": _brand(number),
            "checks": checks | BEHAVIOURS[behaviour].checks,
            "country": country,
            "exp_month": month,
            "exp_year": year,
            "fingerprint": digest[:16],
            "funding": "debit" if number in _DEBIT else "prepaid" if number in _PREPAID else "credit",
            "last4": number[-4:],
            "network": _brand(number),
            "wallet": None,
        },
        behaviour,
    )


def _card_error(code: str, message: str, param: str | None, decline_code: str | None = None) -> StripeError:
    return StripeError(402, message, kind="card_error", code=code, param=param, decline_code=decline_code)


def _whole(value: object) -> int | None:
    ok = isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 4
    return int(str(value)) if ok else None


def _luhn(number: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(number)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _brand(number: str) -> str:
    for prefixes, brand in (
        (("4",), "visa"),
        (("34", "37"), "amex"),
        (("51", "52", "53", "54", "55", "22", "23", "24", "25", "26", "27"), "mastercard"),
        (("60", "64", "65"), "discover"),
        (("30", "36", "38"), "diners"),
        (("35",), "jcb"),
        (("62", "81"), "unionpay"),
    ):
        if number.startswith(prefixes):
            return brand
    return "unknown"
