"""Which amounts Stripe takes in which currency, what they are worth in the balance's currency, and its fee.

Why a table of its own: this program imports nothing of ours, so that a mistake in our table shows up here.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from engine.embedded.stripe.errors import bad_parameter

_ZERO_DECIMAL: Final = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
_THREE_DECIMAL: Final = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
_WHOLE_HUNDREDS: Final = frozenset({"isk", "ugx"})
_MINIMUM_MINOR: Final = {
    "usd": 50, "eur": 50, "gbp": 30, "chf": 50, "cad": 50, "aud": 50, "nzd": 50, "sgd": 50, "dkk": 250, "nok": 300,
    "sek": 300, "pln": 200, "czk": 1500, "huf": 17500, "ron": 200, "jpy": 50, "krw": 50, "mxn": 1000, "hkd": 400,
    "myr": 200, "thb": 1000, "aed": 200, "brl": 50, "inr": 50, "ils": 50, "idr": 50, "php": 50, "zar": 50, "cop": 50,
    "ars": 50,
}  # fmt: skip
_MAXIMUM_MINOR: Final = 99_999_999

# What one unit costs in US dollars. Fixed for ever, so that tests can compute with it.
_DOLLARS: Final = {
    code: Decimal(rate)
    for code, rate in (
        pair.split(":")
        for pair in [
            "usd:1",
            "eur:1.08",
            "gbp:1.27",
            "chf:1.13",
            "cad:0.73",
            "aud:0.66",
            "nzd:0.61",
            "sgd:0.74",
            "dkk:0.145",
            "nok:0.094",
            "sek:0.096",
            "pln:0.25",
            "czk:0.043",
            "huf:0.0027",
            "ron:0.217",
            "jpy:0.0067",
            "krw:0.00074",
            "mxn:0.058",
            "hkd:0.128",
            "myr:0.215",
            "thb:0.028",
            "aed:0.2723",
            "brl:0.19",
            "inr:0.012",
            "ils:0.27",
            "idr:0.000063",
            "php:0.0175",
            "zar:0.054",
            "cop:0.00025",
            "ars:0.0011",
            "bgn:0.552",
            "try:0.031",
            "uah:0.024",
            "twd:0.031",
            "cny:0.138",
            "isk:0.0072",
            "ugx:0.00027",
            "bhd:2.65",
            "jod:1.41",
            "kwd:3.25",
            "omr:2.6",
            "tnd:0.32",
            "clp:0.0011",
            "pyg:0.00013",
            "vnd:0.00004",
            "xof:0.00165",
            "xaf:0.00165",
            "xpf:0.00905",
            "bif:0.00035",
            "djf:0.0056",
            "gnf:0.000116",
            "kmf:0.0022",
            "mga:0.00022",
            "rwf:0.00077",
            "vuv:0.0084",
            "sar:0.2666",
            "qar:0.2747",
            "egp:0.021",
            "mad:0.099",
            "kes:0.0077",
            "ngn:0.00065",
            "pen:0.267",
            "uyu:0.025",
            "rsd:0.0092",
            "gel:0.37",
            "kzt:0.0021",
            "lkr:0.0033",
            "pkr:0.0036",
            "bdt:0.0084",
            "mop:0.124",
            "bam:0.552",
            "all:0.0107",
            "mkd:0.0175",
            "mdl:0.056",
            "amd:0.0026",
            "azn:0.588",
        ]
    )
}

_FEE_PER_MILLE: Final = 29
_FEE_FIXED_MINOR: Final = 30


def exponent(currency: str) -> int:
    return 0 if currency in _ZERO_DECIMAL else 3 if currency in _THREE_DECIMAL else 2


def check(amount_minor: int, currency: str, balance_currency: str) -> None:
    """Raises StripeError when a card payment of this amount is not possible."""
    if currency not in _DOLLARS:
        known = ", ".join(sorted(_DOLLARS))
        raise bad_parameter(
            f"Invalid currency: {currency[:20]}. Stripe currently supports these currencies: {known}",
            "currency",
        )
    if amount_minor < 0:
        raise bad_parameter(
            "This value must be greater than or equal to 1.", "amount", "parameter_invalid_integer"
        )
    if amount_minor > _MAXIMUM_MINOR:
        raise bad_parameter(
            f"Amount must be no more than {_MAXIMUM_MINOR} {currency}", "amount", "amount_too_large"
        )
    if currency in _MINIMUM_MINOR:
        least, given, named = _MINIMUM_MINOR[currency], amount_minor, currency
    else:
        least, named = _MINIMUM_MINOR.get(balance_currency, 50), balance_currency
        given, _ = convert(amount_minor, currency, balance_currency)
    if given < least:
        raise bad_parameter(f"Amount must be at least {least} {named}", "amount", "amount_too_small")
    quantum = 10 if currency in _THREE_DECIMAL else 100 if currency in _WHOLE_HUNDREDS else 1
    if amount_minor % quantum:
        raise bad_parameter(
            f"Amounts in {currency} must be multiples of {quantum}", "amount", "invalid_amount"
        )


def convert(amount_minor: int, currency: str, into: str) -> tuple[int, Decimal | None]:
    """The amount in minor units of `into`, and the rate between whole units; None when nothing was converted."""
    if currency == into:
        return amount_minor, None
    rate = (_DOLLARS[currency] / _DOLLARS[into]).quantize(Decimal("0.000001"), ROUND_HALF_UP)
    exact = amount_minor * rate * Decimal(10) ** (exponent(into) - exponent(currency))
    return int(exact.quantize(Decimal(1), ROUND_HALF_UP)), rate


def is_known(currency: str) -> bool:
    return currency in _DOLLARS


def fee(amount_minor: int) -> int:
    """2.9 % and thirty minor units of the balance's currency, half a unit rounded up."""
    return (amount_minor * _FEE_PER_MILLE + 500) // 1000 + _FEE_FIXED_MINOR
