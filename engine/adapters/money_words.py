"""Amounts of money as people read them: the locale's signs and separators, the decimals Stripe counts in.

Why not Babel's own decimals: its tables round 10.50 RSD to a whole one, and know nothing of Stripe's ISK and UGX.
"""

from __future__ import annotations

import copy
import re
from decimal import Decimal
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.numbers import NumberPattern

from ledger.money import WHOLE_HUNDREDS, exponent

_FALLBACK = Locale("en")
# CLDR's spacing of codes (`KWD 12.345`), which Babel leaves out.
_LETTER_MEETS_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")


def words(amount_minor: int, currency: str, locale: str = "en") -> str:
    """`words(5350, "eur", "de")` is `53,50 €`. An unknown locale reads as English; `currency` in either case."""
    spoken = _locale(locale)
    lower = currency.lower()
    digits = exponent(lower)
    value = Decimal(amount_minor).scaleb(-digits)
    # Stripe counts ISK and UGX in hundredths that nobody uses.
    shown = 0 if lower in WHOLE_HUNDREDS and amount_minor % 100 == 0 else digits
    text: str = _pattern(str(spoken), shown).apply(
        value, spoken, currency=currency.upper(), currency_digits=False
    )
    return _LETTER_MEETS_DIGIT.sub("\N{NO-BREAK SPACE}", text)


@lru_cache(maxsize=256)
def _pattern(locale: str, digits: int) -> NumberPattern:
    pattern = copy.copy(Locale.parse(locale).currency_formats["standard"])
    pattern.frac_prec = (digits, digits)
    return pattern


@lru_cache(maxsize=256)
def _locale(name: str) -> Locale:
    try:
        return Locale.parse(name.replace("-", "_"))
    except (UnknownLocaleError, ValueError, TypeError):
        return _FALLBACK
