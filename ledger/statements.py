"""Settlements and statements: sums of postings by statement line, and nothing else. Source: MONEY.md section 5.

Promises: `opening + the lines = closing`, always; the same sums give the same document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LINES = (
    "gross",
    "discounts",
    "platform_fees",
    "processing_fees",
    "refunds",
    "disputes",
    "held",
    "adjustments",
    "payouts",
)


def document(
    currency: str, final: bool, opening: int, sums: Mapping[str, int], fx: list[Any]
) -> dict[str, Any]:
    """`sums`: postings to `org:…:payable` by line, as booked (+ debit); here what lowers the balance is negative.

    Raises ValueError for a line nobody knows.
    """
    unknown = set(sums) - set(LINES) - {"opening"}
    if unknown:
        raise ValueError(f"postings with unknown statement lines: {sorted(unknown)}")
    opening -= sums.get("opening", 0)
    lines = {name: -sums.get(name, 0) for name in LINES}
    closing = opening + sum(lines.values())
    return {
        "currency": currency,
        "final": final,
        "opening": opening,
        **lines,
        "closing": closing,
        "net_payout": max(0, closing - lines["payouts"]),
        "fx": fx,
    }
