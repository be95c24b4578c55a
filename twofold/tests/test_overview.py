"""What a person is told of subscriptions: states, reasons, lag."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from functools import partial

import pytest

from ledgers import Hands, Trouble, led_by_hand, ledgers, pay, payment
from twofold import Recorded, Store, letters
from twofold.auditing import STREAM
from twofold.claims import Claims, partition
from twofold.errors import EventCorrupt
from twofold.follower import PAGE
from twofold.overview import State, Status, overview
from twofold.stores.memory import MemoryStore
from twofold.subscription import LEASE_SECONDS
from twofold.testing.contract_base import happened
from twofold.views import BUILD, Views, identity, remade

VIEW = ledgers()


async def one(store: Store, views: Views | None = None) -> Status:
    (status,) = await overview(store, views)
    return status


async def stated(store: Store) -> tuple[State, str | None]:
    status = await one(store)
    return status.state, status.reason


async def released(hands: Hands, failure: str | None = None) -> None:
    """Its process gives it up."""
    claims, store = Claims(hands.store.dialect), hands.store
    for held in await store.work(lambda: claims.parts(hands.name)):
        claim = await store.work(partial(claims.take, held, "last"))
        assert claim is not None
        await store.work(partial(claims.release, claim, failure))


async def test_new(store: Store) -> None:
    await Views(store, subscribed=[VIEW]).start()
    assert await stated(store) == (State.NEW, "no process has begun with it")
    assert await one(store) == Status("ledgers_v1", State.NEW, False, 0, 0, 0, 0.0, 0, 0, (), (await one(store)).reason)


async def test_catching_up_and_following_with_the_lag(store: Store) -> None:
    hands = await led_by_hand(store, VIEW)
    began = time.time()
    await store.append("order-1", [payment("a") for _ in range(PAGE + 1)], expected=None)
    status = await one(store)
    assert (status.state, status.position, status.head, status.behind) == (State.CATCHING_UP, 0, PAGE + 1, PAGE + 1)
    assert 0 <= status.seconds <= time.time() - began
    assert status.owners == ("a hand",)
    await hands.followers[0].step()
    assert (await one(store)).behind == 1
    assert await stated(store) == (State.FOLLOWING, None)
    await hands.settle()
    status = await one(store)
    assert (status.state, status.behind, status.seconds) == (State.FOLLOWING, 0, 0.0)


async def test_the_slowest_part_counts_and_letters_are_counted(store: Store) -> None:
    hands = await led_by_hand(store, ledgers(Trouble(set("bc"))), partitions=2)
    for customer in "abcbc":
        await pay(store, f"order-{customer}", customer)
    await hands.followers[0].settle()
    assert (await one(store)).behind == 5
    await hands.followers[1].settle()
    status = await one(store)
    assert (status.behind, status.letters, status.sequences) == (0, 4, 2)


async def test_paused_says_why_before_all_else(store: Store) -> None:
    hands = await led_by_hand(store, VIEW)
    await released(hands, "it failed")
    assert await stated(store) == (State.FAILED, "it failed")
    claims = Claims(store.dialect)
    await store.work(lambda: claims.pause(hands.name, "we look at it"))
    assert await stated(store) == (State.PAUSED, "we look at it")
    await store.work(lambda: claims.resume(hands.name))
    assert await stated(store) == (State.FAILED, "it failed")


async def test_of_an_error_only_its_kind_is_told_to_who_may_not_see_events(store: Store) -> None:
    await released(await led_by_hand(store, VIEW), "KeyError: 'Ann Secret'")
    (status,) = await overview(store, personal=False)
    assert (status.state, status.reason) == (State.FAILED, "KeyError")


async def test_failed_says_why_the_code_cannot_go_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "SEQUENCES_LIMIT", 0)
    hands = await led_by_hand(store, ledgers(Trouble({"b"})))
    await pay(store, "order-b", "b")
    reason = await hands.followers[0].follow_until_idle()
    await released(hands, reason)
    state, told = await stated(store)
    assert state is State.FAILED
    assert told == reason != "idle"


async def test_detached_where_nobody_runs_it_or_its_owner_is_silent(store: Store) -> None:
    hands = await led_by_hand(store, VIEW)
    assert await stated(store) == (State.FOLLOWING, None)
    claims = Claims(store.dialect)
    silence = 2 * LEASE_SECONDS + 1
    await store.work(lambda: claims.run(partition.update().values(seen_at=round((time.time() - silence) * 1e6)), {}))
    state, reason = await stated(store)
    assert state is State.DETACHED
    assert reason is not None
    assert reason.startswith("a hand was last seen 21 s ago")
    await released(hands)
    assert await stated(store) == (State.DETACHED, "no process runs it")


async def test_rebuilding(store: Store) -> None:
    await led_by_hand(store, VIEW)
    claims = Claims(store.dialect)
    name = "ledgers_v1" + BUILD
    await store.work(lambda: claims.register(name, 1))
    (held,) = await store.work(lambda: claims.parts(name))
    await store.work(lambda: claims.take(held, "a builder"))
    assert [(each.name, each.state) for each in await overview(store)] == [
        ("ledgers_v1", State.FOLLOWING),
        (name, State.REBUILDING),
    ]


async def test_inline_views_are_told_too(store: Store) -> None:
    views = Views(store, [VIEW])
    await views.start()
    await pay(store, "order-1", "a")
    status = await one(store, views)
    assert (status.name, status.inline, status.position, status.behind) == ("ledgers_v1", True, 1, 0)
    assert await overview(store) == []


async def test_the_lag_is_told_where_the_next_event_is_damaged() -> None:
    class Damaged(MemoryStore):
        async def read_all(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
            async for recorded in super().read_all(after=after, limit=limit):
                if recorded.position in (1, 2):
                    raise EventCorrupt(recorded.stream, recorded.version, recorded.type, recorded.position)
                yield recorded

    async with Damaged() as store:
        await Views(store, subscribed=[VIEW]).start()
        for number in range(3):
            assert (await one(store)).seconds == 0.0
            await pay(store, "order-1", f"{number}")
        assert (await one(store)).seconds > 0


async def test_the_records_of_operators_do_not_make_a_view_lag(store: Store) -> None:
    """Who records an action may have no code of the views, so an inline one passes it only with the next event."""
    views = Views(store, [VIEW])
    await store.reset(identity(VIEW), lambda: remade(views.current, VIEW))
    for _ in range(3):
        await store.append(STREAM, [happened()], expected=None)
    status = await one(store, views)
    assert (status.position, status.behind, status.seconds) == (0, 0, 0.0)
    await store.append("ledger-1", [happened()], expected=None)
    status = await one(store, views)
    assert (status.position, status.behind) == (0, 1)
    assert status.seconds >= 0
