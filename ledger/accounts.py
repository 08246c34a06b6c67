"""The chart of accounts: names as in MONEY.md section 2, the currency behind in upper case.

Why functions and not strings: a misspelt account would be a new one, and balance all the same.
"""

from __future__ import annotations

import re

_CURRENCY = re.compile("[a-z]{3}")
_NAME = re.compile(r"[A-Za-z0-9_]+")


def _account(name: str, currency: str) -> str:
    if not _CURRENCY.fullmatch(currency):
        raise ValueError(f"not a currency code in lower case: {currency!r}")
    return f"{name}:{currency.upper()}"


def _part(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"not a part of an account's name: {text!r}")
    return text


def uncleared(currency: str) -> str:
    """Captured payments whose balance transaction is not known yet."""
    return _account("stripe:uncleared", currency)


def clearing(currency: str) -> str:
    """What Stripe owes the platform."""
    return _account("stripe:clearing", currency)


def payable(organizer: str, currency: str) -> str:
    """Owed to an organizer."""
    return _account(f"org:{_part(organizer)}:payable", currency)


def refund_payable(currency: str) -> str:
    """Owed to buyers."""
    return _account("buyer:refund_payable", currency)


def platform_fee(currency: str) -> str:
    return _account("revenue:platform_fee", currency)


def tax(country: str, currency: str) -> str:
    """Tax that the platform must remit in a country."""
    return _account(f"tax:payable:{_part(country)}", currency)


def processing_fee(currency: str) -> str:
    """What Stripe takes, its FX fee included."""
    return _account("expense:processing_fee", currency)


def bank(currency: str) -> str:
    return _account("bank", currency)


def in_transit(currency: str) -> str:
    """Payouts requested, not executed."""
    return _account("payout:in_transit", currency)


def reserve(organizer: str, currency: str) -> str:
    """An organizer's money held back."""
    return _account(f"org:{_part(organizer)}:reserve", currency)


def fx_position(currency: str) -> str:
    """One side of every conversion; the other one stands in the other currency."""
    return _account("fx:position", currency)


def fx_gain_loss(currency: str) -> str:
    """Realised by conversions at another rate than the booked one."""
    return _account("fx:gain_loss", currency)


def opening(currency: str) -> str:
    """Against balances carried over."""
    return _account("equity:opening", currency)


def currency_of(account: str) -> str:
    """In upper case."""
    return account.rpartition(":")[2]
