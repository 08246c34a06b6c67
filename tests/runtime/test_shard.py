"""A shard on virtual time: never oversold, answers only what is durable, rebuilds itself, parks the culprit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from engine.core import limits
from engine.core.model import (
    Amend,
    Checkout,
    Confirm,
    EventFacts,
    Look,
    PromoFacts,
    Release,
    Reserve,
    Settle,
    TicketDraft,
    TierFacts,
)
from engine.core.outcomes import Code, Outcome
from engine.runtime.memory import MemoryShardStore
from engine.runtime.shard import Shard

EVENT = 7


@pytest.fixture
def autojump_clock() -> MockClock:
    return MockClock(autojump_threshold=0)


def make_store(venue: int = 100, tiers: tuple[int, ...] = (100,), **facts: Any) -> MemoryShardStore:
    store = MemoryShardStore(write_seconds=0.001)
    far = 10**9 * limits.SECOND
    store.add_event(
        0, EventFacts(EVENT, "evt_x", "org_x", "eur", "published", far, hold_seconds=600, **facts), venue
    )
    for number, capacity in enumerate(tiers, 1):
        store.add_tier(EVENT, TierFacts(number, f"tier_{number}", f"T{number}", 2500), capacity)
    return store


@asynccontextmanager
async def open_shard(store: MemoryShardStore) -> AsyncIterator[Shard]:
    shard = Shard(0, "test", store, None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shard.run)
        await shard.ready.wait()
        yield shard
        nursery.cancel_scope.cancel()


def reserve(hold: int, quantity: int = 1, tier: str = "tier_1", **more: Any) -> Reserve:
    return Reserve(event=EVENT, hold=hold, lines=((tier, quantity),), **more)


async def ask_all(shard: Shard, commands: list[Any]) -> list[Outcome]:
    outcomes: list[Outcome | None] = [None] * len(commands)

    async def ask(at: int) -> None:
        outcomes[at] = await shard.ask(commands[at])

    async with trio.open_nursery() as nursery:
        for at in range(len(commands)):
            nursery.start_soon(ask, at)
    return [outcome for outcome in outcomes if outcome is not None]


def codes(outcomes: list[Outcome]) -> dict[Code, int]:
    return {code: sum(o.code is code for o in outcomes) for code in {o.code for o in outcomes}}


async def test_two_thousand_buyers_for_a_hundred_places(autojump_clock: MockClock) -> None:
    store = make_store()
    async with open_shard(store) as shard:
        outcomes = await ask_all(shard, [reserve(n) for n in range(1, 2001)])
        assert codes(outcomes) == {Code.OK: 100, Code.SOLD_OUT: 1900}
        shard.inventories[EVENT].check()
    assert len(store.holds) == 100
    assert store.batches < 20


async def test_one_shared_venue_place_wanted_by_two_tiers(autojump_clock: MockClock) -> None:
    async with open_shard(make_store(venue=1, tiers=(1, 1))) as shard:
        outcomes = await ask_all(shard, [reserve(1, tier="tier_1"), reserve(2, tier="tier_2")])
        assert codes(outcomes) == {Code.OK: 1, Code.SOLD_OUT: 1}


async def test_a_basket_is_all_or_nothing(autojump_clock: MockClock) -> None:
    async with open_shard(make_store(tiers=(5, 1))) as shard:
        command = Reserve(event=EVENT, hold=1, lines=(("tier_1", 2), ("tier_2", 2)))
        outcome = await shard.ask(command)
        assert outcome.code is Code.SOLD_OUT
        assert outcome.detail == {"available": {"tier_1": 5, "tier_2": 1}}
        assert shard.inventories[EVENT].venue.available == 100


async def test_a_limited_promo_code_under_a_crowd(autojump_clock: MockClock) -> None:
    store = make_store()
    store.add_promo(EVENT, PromoFacts(1, "promo_x", "TEN", percent_bps=1000, max_uses=10))
    async with open_shard(store) as shard:
        outcomes = await ask_all(shard, [reserve(n, promo="TEN") for n in range(1, 51)])
        assert codes(outcomes) == {Code.OK: 10, Code.PROMO_EXHAUSTED: 40}
        served = next(outcome for outcome in outcomes if outcome.ok)
        await shard.ask(Release(event=EVENT, hold=served.value.id))
        assert (await shard.ask(reserve(99, promo="TEN"))).ok


async def test_the_same_key_is_one_hold(autojump_clock: MockClock) -> None:
    async with open_shard(make_store()) as shard:
        outcomes = await ask_all(shard, [reserve(n, key=5, body=1) for n in range(1, 101)])
        assert {o.value.id for o in outcomes} == {outcomes[0].value.id}
        assert sum(not o.replayed for o in outcomes) == 1
        assert (await shard.ask(reserve(999, key=5, body=2))).code is Code.IDEMPOTENCY_MISMATCH
        assert shard.inventories[EVENT].venue.held == 1


async def test_a_key_is_remembered_over_a_restart(autojump_clock: MockClock) -> None:
    store = make_store()
    async with open_shard(store) as shard:
        first = (await shard.ask(reserve(1, key=5, body=1))).value
        await shard.ask(Release(event=EVENT, hold=1))
    async with open_shard(store) as shard:
        again = await shard.ask(reserve(2, key=5, body=1))
        assert again.replayed and again.value.id == first.id and again.value.expires == first.expires


async def test_holds_expire_by_the_clock_and_places_come_back(autojump_clock: MockClock) -> None:
    store = make_store(venue=1)
    async with open_shard(store) as shard:
        await shard.ask(reserve(1))
        assert (await shard.ask(reserve(2))).code is Code.SOLD_OUT
        await trio.sleep(600.2)
        assert (await shard.ask(reserve(3))).ok
        assert store.holds[1].state == 5


async def test_expiry_survives_a_restart_to_the_digit(autojump_clock: MockClock) -> None:
    store = make_store()
    async with open_shard(store) as shard:
        expires = (await shard.ask(reserve(1))).value.expires
    await trio.sleep(17)
    async with open_shard(store) as shard:
        assert (await shard.ask(Look(event=EVENT, hold=1))).value.expires == expires


def checkout(hold: int, order: str = "ord_1") -> Checkout:
    return Checkout(event=EVENT, hold=hold, order=order, email=1, records=(), paid_records=(), tickets=())


def confirm(hold: int, order: str = "ord_1") -> Confirm:
    ticket = TicketDraft(f"tkt_{hold}", 1, None, {})
    return Confirm(
        event=EVENT, hold=hold, order=order, tickets=(ticket,), records=(), late_records=(), seen_records=()
    )


async def test_pay_in_time_then_again(autojump_clock: MockClock) -> None:
    store = make_store()
    async with open_shard(store) as shard:
        await shard.ask(reserve(1))
        assert (await shard.ask(checkout(1))).value == "ord_1"
        assert (await shard.ask(checkout(1, "ord_2"))).value == "ord_1"
        outcomes = await ask_all(shard, [confirm(1)] * 20)
        assert sum(o.ok and not o.replayed for o in outcomes) == 1
        assert store.tickets == [(EVENT, 1, "tkt_1")]
        assert shard.inventories[EVENT].venue.sold == 1
        assert (await shard.ask(Release(event=EVENT, hold=1))).code is Code.ALREADY_PAID


async def test_an_overdue_checkout_keeps_its_place_until_stripe_answers(autojump_clock: MockClock) -> None:
    store = make_store(venue=1)
    async with open_shard(store) as shard:
        await shard.ask(reserve(1))
        await shard.ask(checkout(1))
        await trio.sleep(601)
        assert (await shard.ask(reserve(2))).code is Code.SOLD_OUT
        assert store.overdue == [(EVENT, "ord_1")]
        await shard.ask(Settle(event=EVENT, hold=1, order="ord_1", cancelled=False, records=()))
        assert (await shard.ask(reserve(3))).ok
        assert (await shard.ask(confirm(1))).code is Code.LATE


async def test_a_late_payment_takes_free_places_again(autojump_clock: MockClock) -> None:
    async with open_shard(make_store(venue=1)) as shard:
        await shard.ask(reserve(1))
        await shard.ask(checkout(1))
        await trio.sleep(601)
        await shard.ask(Settle(event=EVENT, hold=1, order="ord_1", cancelled=False, records=()))
        assert (await shard.ask(confirm(1))).ok
        assert (await shard.ask(reserve(2))).code is Code.SOLD_OUT


async def test_amend_counts_its_own_places_as_free(autojump_clock: MockClock) -> None:
    async with open_shard(make_store(venue=4)) as shard:
        await shard.ask(reserve(1, 3))
        expires = (await shard.ask(Look(event=EVENT, hold=1))).value.expires
        outcome = await shard.ask(Amend(event=EVENT, hold=1, lines=(("tier_1", 4),)))
        assert outcome.ok and outcome.value.basket.places == 4 and outcome.value.expires == expires
        assert (await shard.ask(Amend(event=EVENT, hold=1, lines=(("tier_1", 5),)))).code is Code.SOLD_OUT
        shard.inventories[EVENT].check()


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_a_failed_write_is_answered_unavailable_and_memory_is_rebuilt(
    autojump_clock: MockClock, fault: str
) -> None:
    store = make_store()
    async with open_shard(store) as shard:
        store.fail_writes.append(fault)
        assert (await shard.ask(reserve(1, key=1))).code is Code.UNAVAILABLE
        await shard.ready.wait()
        again = await shard.ask(reserve(2, key=1))
        assert again.ok and again.replayed == (fault == "after")
        assert shard.inventories[EVENT].venue.held == 1
        shard.inventories[EVENT].check()


async def test_the_culprit_of_a_poisoned_batch_is_parked_and_its_neighbours_succeed(
    autojump_clock: MockClock,
) -> None:
    store = make_store()
    store.poison = lambda rows: any(row.id == 13 for row in rows.made)
    async with open_shard(store) as shard:
        outcomes = await ask_all(shard, [reserve(n) for n in range(1, 31)])
        assert codes(outcomes) == {Code.OK: 29, Code.UNAVAILABLE: 1}
        assert [command.hold for command, _ in store.parked] == [13]
        await shard.ready.wait()
        assert shard.inventories[EVENT].venue.held == 29
        assert (await shard.ask(reserve(100))).ok


async def test_a_second_owner_deposes_the_first(autojump_clock: MockClock) -> None:
    store = make_store(venue=1)
    async with open_shard(store) as first, open_shard(store) as second:
        outcomes = [await first.ask(reserve(1)), await second.ask(reserve(2))]
        assert [o.code for o in outcomes] == [Code.UNAVAILABLE, Code.OK]
        assert first.deposed
        assert len(store.holds) == 1


async def test_the_guard_off_is_stopped_by_storage(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: an engine that does not look is noticed, and still cannot oversell."""
    monkeypatch.setattr("engine.core.reserving._refuse_places", lambda *_: None)
    store = make_store(venue=10, tiers=(10,))
    async with open_shard(store) as shard:
        outcomes = await ask_all(shard, [reserve(n) for n in range(1, 12)])
        assert codes(outcomes) == {Code.OK: 10, Code.UNAVAILABLE: 1}
        assert "out of bounds" in store.parked[0][1]


async def test_a_full_mailbox_is_busy_and_a_hot_tier_does_not_starve_the_desk(
    autojump_clock: MockClock,
) -> None:
    store = make_store(venue=20_000, tiers=(20_000,))
    async with open_shard(store) as shard:
        await shard.ask(reserve(1_000_000))
        crowd = [reserve(n) for n in range(1, limits.MAILBOX_COMMANDS + 101)]
        outcomes = await ask_all(shard, [*crowd, Release(event=EVENT, hold=1_000_000)])
        assert codes(outcomes)[Code.BUSY] == 100
        assert outcomes[-1].ok


async def test_a_buyers_limit_counts_over_holds_and_restarts(autojump_clock: MockClock) -> None:
    store = make_store(max_per_buyer=4)
    async with open_shard(store) as shard:
        assert (await shard.ask(reserve(1, 3, owners=(11,)))).ok
        assert (await shard.ask(reserve(2, 2, owners=(11,)))).code is Code.LIMIT_REACHED
        assert (await shard.ask(reserve(3, 2, owners=(12,)))).ok
    async with open_shard(store) as shard:
        assert (await shard.ask(reserve(4, 2, owners=(11,)))).code is Code.LIMIT_REACHED
        assert (await shard.ask(reserve(5, 1, owners=(11,)))).ok


async def test_a_late_payment_does_not_take_a_promo_use_that_is_gone(autojump_clock: MockClock) -> None:
    store = make_store()
    store.add_promo(EVENT, PromoFacts(1, "promo_x", "ONE", percent_bps=1000, max_uses=1))
    async with open_shard(store) as shard:
        await shard.ask(reserve(1, promo="ONE"))
        await shard.ask(checkout(1))
        await trio.sleep(601)
        await shard.ask(Settle(event=EVENT, hold=1, order="ord_1", cancelled=False, records=()))
        assert (await shard.ask(reserve(2, promo="ONE"))).ok
        assert (await shard.ask(confirm(1))).code is Code.LATE
