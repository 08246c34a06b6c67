"""The words the engine's folders share: holds, baskets, commands to an event's owner, changes to its state.

Times are microseconds since 1970 UTC. Hold ids and keys are 128-bit integers; their spelling is `engine.core.ids`.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from engine.core.pricing import FeeSchedule, Quote


class HoldState(enum.IntEnum):
    HELD = 0
    IN_CHECKOUT = 1
    OVERDUE = 2  # past its expiry while a payment is unresolved: places kept, reads "expired"
    SOLD = 3
    RELEASED = 4
    EXPIRED = 5
    CANCELLED = 6  # released out of checkout: its order is cancelled


LIVE = frozenset({HoldState.HELD, HoldState.IN_CHECKOUT, HoldState.OVERDUE})
IN_CHECKOUT = frozenset({HoldState.IN_CHECKOUT, HoldState.OVERDUE})


class Basket(msgspec.Struct, gc=False, frozen=True):
    """What is bought: places by tier number and their price. Equal baskets of an event are one object, one row."""

    number: int
    lines: tuple[tuple[int, int], ...]  # (tier number, quantity)
    places: int
    promo: int | None
    quote: Quote


class Hold(msgspec.Struct, gc=False):
    """A buyer's timed claim. `owners` are hashes of session, fingerprint and e-mail, kept only where a limit counts them."""

    id: int
    basket: Basket
    created: int
    expires: int
    state: HoldState
    key: int | None = None
    body: int = 0
    order: str | None = None
    owners: tuple[int, ...] | None = None


class Record(msgspec.Struct, gc=False):
    """Rows an action prepared, opaque to the engine, written in the batch transaction of the decision they go with."""

    kind: str
    row: dict[str, Any]


Records = tuple[Record, ...]


class TicketDraft(msgspec.Struct, gc=False, frozen=True):
    """A ticket without its number, which the event's owner gives it at confirmation."""

    id: str
    tier: int
    name: str | None
    price: dict[str, int]


# --- what is for sale -----------------------------------------------------------------------------------------


class EventFacts(msgspec.Struct, frozen=True):
    """What the owner must know of an event to decide. Capacity lives in the venue's pool."""

    number: int
    id: str
    organizer: str
    currency: str
    state: str  # draft, published, paused, cancelled
    ends_at: int
    on_sale_at: int | None = None
    hold_seconds: int = 600
    max_per_buyer: int | None = None
    queue: bool = False
    fee: FeeSchedule = FeeSchedule()


class TierFacts(msgspec.Struct, frozen=True):
    number: int
    id: str
    name: str
    price: int
    tax_bps: int = 0
    max_per_order: int = 10
    hidden: bool = False
    sale_starts_at: int | None = None
    sale_ends_at: int | None = None
    deleted: bool = False


class PromoFacts(msgspec.Struct, frozen=True):
    """`tiers` are tier numbers, None meaning all. Uses taken are counted by the inventory."""

    number: int
    id: str
    code: str
    percent_bps: int | None = None
    amount: int | None = None
    max_uses: int | None = None
    tiers: tuple[int, ...] | None = None
    reveals_hidden: bool = False
    valid_from: int | None = None
    valid_until: int | None = None


# --- commands -------------------------------------------------------------------------------------------------


class Command(msgspec.Struct, gc=False, tag=True):
    event: int


class Reserve(Command):
    hold: int
    lines: tuple[tuple[str, int], ...]
    promo: str | None = None
    key: int | None = None
    body: int = 0
    owners: tuple[int, ...] = ()


class Look(Command):
    hold: int


class Amend(Command):
    hold: int
    lines: tuple[tuple[str, int], ...]


class Release(Command):
    hold: int


class Checkout(Command):
    """Held → in checkout; a zero total → sold at once. `records` go with the first, `paid_records` with the second."""

    hold: int
    order: str
    email: int
    records: Records
    paid_records: Records
    tickets: tuple[TicketDraft, ...]


class Confirm(Command):
    """Paid. `records` if the places are its own (or free again), `late_records` if they are gone."""

    hold: int
    order: str
    tickets: tuple[TicketDraft, ...]
    records: Records
    late_records: Records
    seen_records: Records


class Settle(Command):
    """Stripe will never take this payment (or the hard limit passed): the places of a checkout go back."""

    hold: int
    order: str
    cancelled: bool
    records: Records


class Comp(Command):
    """Places for a guest, straight out of the tier."""

    tier: str
    tickets: tuple[TicketDraft, ...]
    records: Records


class ReturnPlaces(Command):
    """Places of refunded tickets back to their tiers: `places` are (tier number, count). Once for each `refund`."""

    refund: str
    places: tuple[tuple[int, int], ...]
    resell: bool
    records: Records = ()


class ChangeEvent(Command):
    """New figures of the event: fields of `EventFacts` by name, and `capacity`."""

    changes: dict[str, Any]
    records: Records = ()


class PutTier(Command):
    """A new tier (`id` unknown) or new figures of one: fields of `TierFacts` by name, `capacity`, `withheld`."""

    id: str
    changes: dict[str, Any]
    records: Records = ()


class PutPromo(Command):
    """A promo code: fields of `PromoFacts` by name, without its number."""

    id: str
    changes: dict[str, Any]
    records: Records = ()


# --- changes --------------------------------------------------------------------------------------------------


class HoldMade(msgspec.Struct, gc=False):
    hold: Hold


class HoldMoved(msgspec.Struct, gc=False):
    """A hold into another state; places follow the states. `order` and `email` are set on entering checkout."""

    hold: Hold
    after: HoldState
    order: str | None = None
    email: int | None = None


class HoldAmended(msgspec.Struct, gc=False):
    hold: Hold
    basket: Basket


class TicketsMade(msgspec.Struct, gc=False):
    order: str
    first_number: int
    tickets: tuple[TicketDraft, ...]
    comp: bool = False


class EventChanged(msgspec.Struct, gc=False):
    facts: EventFacts
    capacity: int


class TierPut(msgspec.Struct, gc=False):
    facts: TierFacts
    capacity: int
    withheld: int


class PromoPut(msgspec.Struct, gc=False):
    facts: PromoFacts


class PlacesReturned(msgspec.Struct, gc=False):
    """Sold places free again, or withheld."""

    refund: str
    places: tuple[tuple[int, int], ...]
    resell: bool


Change = HoldMade | HoldMoved | HoldAmended | TicketsMade | EventChanged | TierPut | PromoPut | PlacesReturned
