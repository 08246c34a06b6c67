"""One balanced fact. An entry that does not sum to zero in every currency cannot be built.

Debit +, credit −. Amounts are integer minor units, never zero.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec

from ledger import accounts


class Posting(msgspec.Struct, frozen=True):
    """`section`: the statement line it counts in; only on organizers' accounts, together with `event`."""

    account: str
    amount: int
    event: str | None = None
    section: str | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """`source_type`, `source_id`, `kind` name the fact and are unique. `effective_at` in µs since 1970 UTC."""

    source_type: str
    source_id: str
    kind: str
    effective_at: int
    description: str
    postings: tuple[Posting, ...]
    organizer: str | None = None
    event: str | None = None
    order: str | None = None

    def __post_init__(self) -> None:
        sums: dict[str, int] = defaultdict(int)
        for posting in self.postings:
            if type(posting.amount) is not int or posting.amount == 0:
                raise ValueError(f"a posting is an integer other than zero, not {posting.amount!r}")
            if posting.account.startswith("org:") and posting.section is None:
                raise ValueError(f"a posting to {posting.account} needs its statement line")
            sums[accounts.currency_of(posting.account)] += posting.amount
        if len(self.postings) < 2:
            raise ValueError("an entry has at least two postings")
        unbalanced = {currency: total for currency, total in sums.items() if total}
        if unbalanced:
            raise ValueError(f"entry {self.kind} of {self.source_id} does not balance: {unbalanced}")


def posting(account: str, amount: int, event: str | None = None, section: str | None = None) -> list[Posting]:
    """The posting, or none for zero."""
    return [Posting(account, amount, event, section)] if amount else []


def to_row(entry: Entry) -> dict[str, Any]:
    """Plain data for `ledger.journal.insert_entries`."""
    return msgspec.to_builtins(entry)


def mirror(entry: Entry, source_type: str, source_id: str, effective_at: int, description: str) -> Entry:
    """The entry undone: every posting with the other sign."""
    back = tuple(msgspec.structs.replace(one, amount=-one.amount) for one in entry.postings)
    return msgspec.structs.replace(
        entry,
        source_type=source_type,
        source_id=source_id,
        kind=f"{entry.kind}_reversal",
        effective_at=effective_at,
        description=description,
        postings=back,
    )
