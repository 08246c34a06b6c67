"""The front of core: one command in, one decision out."""

from __future__ import annotations

from engine.core import catalog, paying, reserving
from engine.core.inventory import Inventory
from engine.core.model import (
    Amend,
    Change,
    ChangeEvent,
    Checkout,
    Command,
    Comp,
    Confirm,
    Look,
    PutPromo,
    PutTier,
    Records,
    Release,
    Reserve,
    ReturnPlaces,
    Settle,
)
from engine.core.outcomes import Code, Outcome

Decision = tuple[Outcome, tuple[Change, ...], Records]
_NO_RECORDS: Records = ()


def decide(inventory: Inventory, command: Command, now: int) -> Decision:
    """The outcome, the changes to apply and the records to write with them. Reads the inventory, changes nothing."""
    kind = type(command)
    if kind is Reserve:
        outcome, changes = reserving.reserve(inventory, command, now)  # type: ignore[arg-type]
        return outcome, changes, _NO_RECORDS
    if isinstance(command, Look):
        hold = inventory.find(command.hold)
        return (Outcome(Code.OK, hold) if hold else Outcome(Code.UNKNOWN_HOLD)), (), _NO_RECORDS
    if isinstance(command, Checkout):
        return paying.checkout(inventory, command, now)
    if isinstance(command, Confirm):
        return paying.confirm(inventory, command, now)
    if isinstance(command, Release):
        return *reserving.release(inventory, command, now), _NO_RECORDS
    if isinstance(command, Amend):
        return *reserving.amend(inventory, command, now), _NO_RECORDS
    if isinstance(command, Settle):
        return paying.settle(inventory, command, now)
    if isinstance(command, ReturnPlaces):
        return paying.return_places(inventory, command)
    if isinstance(command, ChangeEvent):
        return catalog.change_event(inventory, command)
    if isinstance(command, PutTier):
        return catalog.put_tier(inventory, command)
    if isinstance(command, PutPromo):
        return catalog.put_promo(inventory, command)
    if isinstance(command, Comp):
        return catalog.comp(inventory, command)
    raise AssertionError(f"no decision for {kind.__name__}")
