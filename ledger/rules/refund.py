"""Money back to a buyer: owed when we accept it, settled when Stripe took it, owed again when it failed."""

from __future__ import annotations

import msgspec

from ledger import accounts
from ledger.entry import Entry, posting
from ledger.rules.sale import Balance, OrganizerPart, position, translated


class RefundFigures(msgspec.Struct, frozen=True):
    """Minor units of the sale's currency, all ≥ 0. `face + fee + tax` is what the buyer gets.

    `absorbed…`: the fee an organizer had borne and gets back from the platform.
    """

    face: int
    fee: int
    tax: int
    absorbed: int = 0
    absorbed_tax: int = 0

    @property
    def amount(self) -> int:
        return self.face + self.fee + self.tax

    @property
    def platform_fee(self) -> int:
        return self.fee + self.absorbed

    @property
    def platform_tax(self) -> int:
        return self.tax + self.absorbed_tax

    @property
    def organizers(self) -> int:
        """What the organizer bears, in the sale's currency."""
        return self.face - self.absorbed - self.absorbed_tax


def refund(
    *,
    refund: str,
    order: str,
    event: str,
    organizer: str,
    country: str,
    currency: str,
    figures: RefundFigures,
    part: OrganizerPart,
    effective_at: int,
) -> Entry:
    """A refund we accepted. `part.gross` is the organizer's part of it, `part.fees` the fee they get back."""
    payable = accounts.payable(organizer, part.currency)
    postings = (
        posting(payable, part.gross, event, "refunds")
        + posting(payable, -part.fees, event, "platform_fees")
        + posting(accounts.platform_fee(currency), figures.platform_fee)
        + posting(accounts.tax(country, currency), figures.platform_tax)
        + posting(accounts.refund_payable(currency), -figures.amount)
    )
    if part.currency != currency:
        postings += position(part.currency, -part.payable) + position(currency, figures.organizers)
    return Entry(
        source_type="refund",
        source_id=refund,
        kind="refund",
        effective_at=effective_at,
        description="Refund",
        postings=tuple(postings),
        organizer=organizer,
        event=event,
        order=order,
    )


def refund_settled(
    *,
    refund: str,
    order: str,
    event: str,
    organizer: str,
    country: str,
    currency: str,
    figures: RefundFigures,
    booked: int | None,
    balance: Balance,
    effective_at: int,
) -> Entry:
    """Stripe took the refund out of our balance: `balance.amount` positive, `balance.fee` as stated.

    `booked`: what the organizer's part (of an unmatched payment: all of it) stands at in the balance's currency, None
    while nothing is to be realised; the difference to today's cost is realised.
    """
    postings = (
        posting(accounts.refund_payable(currency), figures.amount)
        + posting(accounts.processing_fee(balance.currency), balance.fee)
        + posting(accounts.clearing(balance.currency), -(balance.amount + balance.fee))
    )
    if balance.currency != currency:
        postings += position(currency, -figures.amount) + position(balance.currency, balance.amount)
        postings += translated(country, currency, balance, -figures.platform_fee, -figures.platform_tax)
        if booked is not None:
            loss = settled_share(balance, figures) - booked
            postings += position(balance.currency, -loss)
            postings += posting(accounts.fx_gain_loss(balance.currency), loss)
    return Entry(
        source_type="balance_transaction",
        source_id=balance.transaction,
        kind="refund_settled",
        effective_at=effective_at,
        description=f"Refund {refund} settled",
        postings=tuple(postings),
        organizer=organizer,
        event=event,
        order=order,
    )


def settled_share(balance: Balance, figures: RefundFigures) -> int:
    """What of a refund's balance transaction stands for the organizer's part."""
    return balance.amount - balance.translate(figures.platform_fee) - balance.translate(figures.platform_tax)


def refund_failed(
    *,
    refund: str,
    order: str,
    event: str,
    organizer: str,
    currency: str,
    amount: int,
    balance: Balance,
    effective_at: int,
) -> Entry:
    """The money came back to our balance; it is still the buyer's."""
    postings = posting(accounts.clearing(balance.currency), balance.amount - balance.fee)
    postings += posting(accounts.processing_fee(balance.currency), balance.fee)
    postings += posting(accounts.refund_payable(currency), -amount)
    if balance.currency != currency:
        postings += position(currency, amount) + position(balance.currency, -balance.amount)
    return Entry(
        source_type="balance_transaction",
        source_id=balance.transaction,
        kind="refund_failed",
        effective_at=effective_at,
        description=f"Refund {refund} failed",
        postings=tuple(postings),
        organizer=organizer,
        event=event,
        order=order,
    )
