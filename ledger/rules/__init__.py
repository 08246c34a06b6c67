"""One pure posting rule per business fact: figures in, a balanced entry out. Source: MONEY.md section 3.

All amounts in minor units, all currencies in lower case, all times in µs. Where currencies differ, the two sides of the
conversion stand in `fx:position`, one posting in each currency.
"""

from ledger.rules.payout import payout_executed, payout_requested, payout_reversed
from ledger.rules.refund import RefundFigures, refund, refund_failed, refund_settled
from ledger.rules.sale import Balance, OrganizerPart, clear, recharge, sale, unmatched
from ledger.rules.various import adjustment, bank_payout, comp_fee, opening, reserve, stripe_fee

__all__ = [
    "Balance",
    "OrganizerPart",
    "RefundFigures",
    "adjustment",
    "bank_payout",
    "clear",
    "comp_fee",
    "opening",
    "payout_executed",
    "payout_requested",
    "payout_reversed",
    "recharge",
    "refund",
    "refund_failed",
    "refund_settled",
    "reserve",
    "sale",
    "stripe_fee",
    "unmatched",
]
