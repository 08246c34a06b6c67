"""Who may hold which places: reserve, amend, release, expire.

Why one decision for a whole basket: venue, tiers, promo code and buyer limit are in one memory, so there is no
partial hold and no second look.
"""

from __future__ import annotations

from engine.core import limits
from engine.core.inventory import Inventory, Promo, Tier
from engine.core.model import (
    IN_CHECKOUT,
    Amend,
    Basket,
    Change,
    Hold,
    HoldAmended,
    HoldMade,
    HoldMoved,
    HoldState,
    Release,
    Reserve,
)
from engine.core.outcomes import Code, Outcome
from engine.core.pricing import Discount, Priced, below_minimum, price_lines

Decision = tuple[Outcome, tuple[Change, ...]]
AskedLines = tuple[tuple[str, int], ...]

# A basket carries its promo code's number, so a code that applied to nothing was refused before.
_UNKNOWN_TIER = Outcome(Code.UNKNOWN_TIER)
_PROMO_INVALID = Outcome(Code.PROMO_INVALID)


def reserve(inventory: Inventory, command: Reserve, now: int) -> Decision:
    """A hold, or the first refusal in API.md's order. A key seen before answers as it did."""
    if command.key is not None:
        known = inventory.keys.get(command.key)
        if known is not None:
            if known.body != command.body:
                return Outcome(Code.IDEMPOTENCY_MISMATCH), ()
            return Outcome(Code.OK, known, replayed=True), ()
    refusal = refuse_shape(inventory, command.lines, command.promo, now)
    if refusal is not None:
        return refusal, ()
    facts = inventory.facts
    if facts.queue:
        return Outcome(Code.QUEUE_REQUIRED), ()
    basket = _basket(inventory, command.lines, command.promo, now)
    if isinstance(basket, Outcome):
        return basket, ()
    if facts.max_per_buyer is not None:
        refusal = over_buyer_limit(inventory, command.owners, basket.places)
        if refusal is not None:
            return refusal, ()
    refusal = _refuse_minimum(inventory, basket) or _refuse_places(inventory, basket)
    if refusal is not None:
        return refusal, ()
    hold = Hold(
        command.hold,
        basket,
        now,
        inventory.expiry(now),
        HoldState.HELD,
        command.key,
        command.body,
        None,
        command.owners if facts.max_per_buyer is not None and command.owners else None,
    )
    return Outcome(Code.OK, hold), (HoldMade(hold),)


def refuse_shape(inventory: Inventory, lines: AskedLines, promo: str | None, now: int) -> Outcome | None:
    """What can be said from the catalog alone: unknown or hidden tiers, too many of one."""
    if (lines, promo) in inventory.priced:
        return None
    if inventory.facts.state == "draft":
        return Outcome(Code.UNKNOWN_EVENT)
    code = inventory.promo_codes.get(promo) if promo else None
    for tier_id, _quantity in lines:
        tier = inventory.tier_ids.get(tier_id)
        if tier is None or tier.facts.deleted or (tier.facts.hidden and not reveals(code, tier, now)):
            return _UNKNOWN_TIER
    for tier_id, quantity in lines:
        tier = inventory.tier_ids[tier_id]
        if quantity > tier.facts.max_per_order:
            return Outcome(
                Code.ABOVE_MAX_PER_ORDER, detail={"tier": tier_id, "max_per_order": tier.facts.max_per_order}
            )
    return None


def reveals(promo: Promo | None, tier: Tier, now: int) -> bool:
    """Whether a code opens a hidden tier."""
    if promo is None or not promo.facts.reveals_hidden or not _in_window(promo, now):
        return False
    return promo.facts.tiers is None or tier.facts.number in promo.facts.tiers


def _in_window(promo: Promo, now: int) -> bool:
    facts = promo.facts
    return (facts.valid_from is None or now >= facts.valid_from) and (
        facts.valid_until is None or now < facts.valid_until
    )


def on_sale(inventory: Inventory, tier: Tier, now: int) -> bool:
    """Published, the later of both opening times passed, and no closing time."""
    facts, own = inventory.facts, tier.facts
    return (
        facts.state == "published"
        and now < facts.ends_at
        and (facts.on_sale_at is None or now >= facts.on_sale_at)
        and (own.sale_starts_at is None or now >= own.sale_starts_at)
        and (own.sale_ends_at is None or now < own.sale_ends_at)
    )


def _basket(
    inventory: Inventory, lines: AskedLines, code: str | None, now: int, mine: bool = False
) -> Basket | Outcome:
    """The priced basket, or not on sale, or what is wrong with the promo code (`mine`: its use is already taken)."""
    for tier_id, _quantity in lines:
        if not on_sale(inventory, inventory.tier_ids[tier_id], now):
            return Outcome(Code.NOT_ON_SALE)
    promo: Promo | None = None
    if code:
        promo = inventory.promo_codes.get(code)
        if promo is None or not _in_window(promo, now):
            return _PROMO_INVALID
        if promo.facts.tiers is not None and not any(
            inventory.tier_ids[tier_id].facts.number in promo.facts.tiers for tier_id, _ in lines
        ):
            return _PROMO_INVALID
        if not mine and promo.facts.max_uses is not None and promo.used >= promo.facts.max_uses:
            return Outcome(Code.PROMO_EXHAUSTED)
    basket = inventory.priced.get((lines, code))
    return basket if basket is not None else _price(inventory, lines, code, promo)


def _price(inventory: Inventory, lines: AskedLines, code: str | None, promo: Promo | None) -> Basket:
    tiers = [(inventory.tier_ids[tier_id], quantity) for tier_id, quantity in lines]
    quote = price_lines(
        [
            (Priced(tier.facts.number, tier.facts.price, tier.facts.tax_bps), quantity)
            for tier, quantity in tiers
        ],
        inventory.facts.fee,
        Discount(promo.facts.percent_bps, promo.facts.amount, promo.facts.tiers) if promo else None,
        inventory.facts.currency,
    )
    if len(inventory.priced) >= limits.PRICED_BASKETS:
        inventory.priced.clear()
    inventory.last_basket += 1
    basket = Basket(
        inventory.last_basket,
        tuple((tier.facts.number, quantity) for tier, quantity in tiers),
        sum(quantity for _, quantity in tiers),
        promo.facts.number if promo else None,
        quote,
    )
    inventory.priced[(lines, code)] = basket
    return basket


def over_buyer_limit(
    inventory: Inventory, owners: tuple[int, ...], places: int, given_back: int = 0
) -> Outcome | None:
    """LIMIT_REACHED when any of these buyers would hold or own more than the event allows."""
    limit = inventory.facts.max_per_buyer
    if limit is None:
        return None
    if places > limit or any(
        inventory.buyers.get(owner, 0) - given_back + places > limit for owner in owners
    ):
        return Outcome(Code.LIMIT_REACHED, detail={"max_per_buyer": limit})
    return None


def _refuse_minimum(inventory: Inventory, basket: Basket) -> Outcome | None:
    minimum = below_minimum(basket.quote.total, inventory.facts.currency)
    if minimum is None:
        return None
    return Outcome(
        Code.BELOW_MINIMUM, detail={"minimum": {"amount": minimum, "currency": inventory.facts.currency}}
    )


def _refuse_places(inventory: Inventory, basket: Basket, old: Basket | None = None) -> Outcome | None:
    """SOLD_OUT with what is left of each tier, when any pool cannot give what is asked (`old` goes back first)."""
    if old is None:
        if basket.places <= inventory.venue.available and all(
            quantity <= inventory.tiers[number].pool.available for number, quantity in basket.lines
        ):
            return None
    else:
        back = dict(old.lines)
        if basket.places <= inventory.venue.available + old.places and all(
            quantity <= inventory.tiers[number].pool.available + back.get(number, 0)
            for number, quantity in basket.lines
        ):
            return None
    left = {
        inventory.tiers[number].facts.id: inventory.sellable(inventory.tiers[number])
        for number, _ in basket.lines
    }
    return Outcome(Code.SOLD_OUT, detail={"available": left})


def amend(inventory: Inventory, command: Amend, now: int) -> Decision:
    """Other lines under the same expiry; the promo code stays. Places given back count as free for the new lines."""
    hold = inventory.holds.get(command.hold)
    refusal = refuse_hold(hold, now)
    if refusal is not None:
        return refusal, ()
    assert hold is not None
    if hold.state in IN_CHECKOUT:
        return Outcome(Code.IN_CHECKOUT, hold), ()
    old = hold.basket
    promo = inventory.promos[old.promo] if old.promo is not None else None
    code = promo.facts.code if promo else None
    refusal = refuse_shape(inventory, command.lines, code, now)
    if refusal is not None:
        return refusal, ()
    basket = _basket(inventory, command.lines, code, now, mine=True)
    if isinstance(basket, Outcome):
        return basket, ()
    refusal = (
        over_buyer_limit(inventory, hold.owners or (), basket.places, old.places)
        or _refuse_minimum(inventory, basket)
        or _refuse_places(inventory, basket, old)
    )
    if refusal is not None:
        return refusal, ()
    return Outcome(Code.OK, hold), (HoldAmended(hold, basket),)


def refuse_hold(hold: Hold | None, now: int) -> Outcome | None:
    """Why a hold can no longer be used, or None while it is live."""
    if hold is None:
        return Outcome(Code.UNKNOWN_HOLD)
    if hold.state is HoldState.SOLD:
        return Outcome(Code.ALREADY_PAID, hold)
    if hold.state in (HoldState.RELEASED, HoldState.CANCELLED):
        return Outcome(Code.RELEASED, hold)
    if hold.state in (HoldState.EXPIRED, HoldState.OVERDUE) or now >= hold.expires:
        return Outcome(Code.HOLD_EXPIRED, hold)
    return None


def release(inventory: Inventory, command: Release, now: int) -> Decision:
    """Places back at once; a hold in checkout is the payment's to end first (IN_CHECKOUT)."""
    hold = inventory.holds.get(command.hold)
    if hold is None:
        return Outcome(Code.UNKNOWN_HOLD), ()
    if hold.state is HoldState.SOLD:
        return Outcome(Code.ALREADY_PAID, hold), ()
    if hold.state in IN_CHECKOUT:
        return Outcome(Code.IN_CHECKOUT, hold), ()
    if hold.state is HoldState.HELD:
        after = HoldState.EXPIRED if now >= hold.expires else HoldState.RELEASED
        return Outcome(Code.OK, hold), (HoldMoved(hold, after),)
    return Outcome(Code.OK, hold), ()


def expire(inventory: Inventory, now: int) -> list[Change]:
    """What time has done: held places go back; checkouts become overdue and wait for Stripe's word."""
    return [
        HoldMoved(hold, HoldState.EXPIRED if hold.state is HoldState.HELD else HoldState.OVERDUE)
        for hold in inventory.take_due(now)
    ]
