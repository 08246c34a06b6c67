"""Rates as decimal strings, amounts as integers: conversion between minor units, exact until it is rounded once.

Why strings: a rate is a fact that somebody stated; a float would be another number. Source: MONEY.md sections 1 and 5.
"""

from __future__ import annotations

import re
from fractions import Fraction

import msgspec

from ledger.money import exponent, quantum, round_half_even

_RATE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,20})?")


class Rate(msgspec.Struct, frozen=True):
    """`rate` units of `target` for one unit of `source` currency, both counted in whole units, not minor ones."""

    source: str
    target: str
    rate: str


def read_rate(text: str) -> Fraction:
    """A rate above zero, of at most twelve digits before the point and twenty behind it. Raises ValueError."""
    if not _RATE.fullmatch(text) or not Fraction(text):
        raise ValueError("a decimal number above zero, such as 0.9234")
    return Fraction(text)


def convert(amount: int, rate: Rate | None) -> int:
    """Minor units of the target for minor units of the source, half-even to its quantum. No rate: the amount itself."""
    if rate is None:
        return amount
    return round_half_even(amount * minor_rate(rate), quantum(rate.target))


def minor_rate(rate: Rate) -> Fraction:
    """Minor units of the target for one minor unit of the source."""
    return read_rate(rate.rate) * Fraction(10) ** (exponent(rate.target) - exponent(rate.source))


def stated_rate(amount: int, currency: str, converted: int, target: str, stated: str | None) -> Fraction:
    """What a balance transaction converted at, in minor units: the rate it states where that explains its figures.

    Why the check: for currencies with other exponents it is not said whether the rate counts whole or minor units.
    """
    if stated is not None:
        plain = read_rate(stated)
        for rate in (plain, plain * Fraction(10) ** (exponent(target) - exponent(currency))):
            if abs(amount * rate - converted) <= quantum(target):
                return rate
    return Fraction(converted, amount) if amount else Fraction(1)


def share(total: int, part: int, whole: int, step: int) -> int:
    """`part / whole` of `total`, half-even; all of it when the part is the whole."""
    if part == whole or not whole:
        return total
    return round_half_even(Fraction(total * part, whole), step)
