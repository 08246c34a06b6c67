"""Money in integer minor units as Stripe counts them: exponents, quanta, minima, rounding, splitting. No floats.

Why our own table: Stripe's exponent differs from ISO 4217 for ISK and UGX. Source: Stripe's currency documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

ZERO_DECIMAL: Final = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
THREE_DECIMAL: Final = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
# Sent with two decimals, in multiples of a hundred.
WHOLE_HUNDREDS: Final = frozenset({"isk", "ugx"})

_TWO_DECIMAL: Final = frozenset(
    [
        "aed",
        "afn",
        "all",
        "amd",
        "ang",
        "aoa",
        "ars",
        "aud",
        "awg",
        "azn",
        "bam",
        "bbd",
        "bdt",
        "bgn",
        "bmd",
        "bnd",
        "bob",
        "brl",
        "bsd",
        "bwp",
        "byn",
        "bzd",
        "cad",
        "cdf",
        "chf",
        "cny",
        "cop",
        "crc",
        "cve",
        "czk",
        "dkk",
        "dop",
        "dzd",
        "egp",
        "etb",
        "eur",
        "fjd",
        "fkp",
        "gbp",
        "gel",
        "gip",
        "gmd",
        "gtq",
        "gyd",
        "hkd",
        "hnl",
        "htg",
        "huf",
        "idr",
        "ils",
        "inr",
        "jmd",
        "kes",
        "kgs",
        "khr",
        "kyd",
        "kzt",
        "lak",
        "lbp",
        "lkr",
        "lrd",
        "lsl",
        "mad",
        "mdl",
        "mkd",
        "mmk",
        "mnt",
        "mop",
        "mur",
        "mvr",
        "mwk",
        "mxn",
        "myr",
        "mzn",
        "nad",
        "ngn",
        "nio",
        "nok",
        "npr",
        "nzd",
        "pab",
        "pen",
        "pgk",
        "php",
        "pkr",
        "pln",
        "qar",
        "ron",
        "rsd",
        "rub",
        "sar",
        "sbd",
        "scr",
        "sek",
        "sgd",
        "shp",
        "sle",
        "sos",
        "srd",
        "std",
        "szl",
        "thb",
        "tjs",
        "top",
        "try",
        "ttd",
        "twd",
        "tzs",
        "uah",
        "usd",
        "uyu",
        "uzs",
        "wst",
        "xcd",
        "yer",
        "zar",
        "zmw",
    ]
)
CURRENCIES: Final = _TWO_DECIMAL | ZERO_DECIMAL | THREE_DECIMAL | WHOLE_HUNDREDS

AMOUNT_MAX: Final = 99_999_999

# The least a card payment may be, by settlement currency, in minor units.
MINIMUM: Final = {
    "usd": 50, "eur": 50, "gbp": 30, "chf": 50, "cad": 50, "aud": 50, "nzd": 50, "sgd": 50, "dkk": 250, "nok": 300,
    "sek": 300, "pln": 200, "czk": 1500, "huf": 17500, "ron": 200, "jpy": 50, "krw": 50, "mxn": 1000, "hkd": 400,
    "myr": 200, "thb": 1000, "aed": 200, "brl": 50, "inr": 50, "ils": 50, "idr": 50, "php": 50, "zar": 50, "cop": 50,
    "ars": 50,
}  # fmt: skip


def exponent(currency: str) -> int:
    """Decimals of a minor unit as Stripe counts: 0, 2 or 3."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


def quantum(currency: str) -> int:
    """Amounts are multiples of this many minor units."""
    return 10 if currency in THREE_DECIMAL else 100 if currency in WHOLE_HUNDREDS else 1


def round_half_even(amount: Fraction, step: int = 1) -> int:
    """The nearest multiple of `step`; a tie goes to the even one."""
    return round(amount / step) * step


def round_half_up(amount: Fraction, step: int = 1) -> int:
    """The nearest multiple of `step`; a tie goes away from zero."""
    whole = abs(amount) / step + Fraction(1, 2)
    size = whole.numerator // whole.denominator * step
    return size if amount >= 0 else -size


def split(total: int, weights: Sequence[int], step: int = 1) -> list[int]:
    """`total` over `weights` (≥ 0) by largest remainder; ties to the lowest index. Without any weight: evenly.

    Every part is a multiple of `step` when `total` is one. The parts add up to `total`, always.
    """
    if not weights:
        raise ValueError("nothing to split over")
    if total < 0:
        return [-part for part in split(-total, weights, step)]
    shares = list(weights) if any(weights) else [1] * len(weights)
    whole, rest = divmod(total, step)
    exact = [Fraction(whole * share, sum(shares)) for share in shares]
    units = [share.numerator // share.denominator for share in exact]
    order = sorted(range(len(shares)), key=lambda at: (units[at] - exact[at], at))
    for at in order[: whole - sum(units)]:
        units[at] += 1
    parts = [unit * step for unit in units]
    if rest:
        # A total that its own step cannot carry: the remainder goes to the largest share, so nothing is lost.
        parts[max(range(len(shares)), key=lambda at: (shares[at], -at))] += rest
    return parts
