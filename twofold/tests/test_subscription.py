"""A subscription in one process: it catches up and follows, gives way, gives up, and goes on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

import pytest

import naive_ledgers
from ledgers import (
    LEASE,
    ORDERS,
    Ledgers,
    Paid,
    Trouble,
    claim_all,
    led_by_hand,
    ledgers,
    owners,
    pay,
    payment,
    raw,
    reached,
    subscribed,
    until,
)
from troubled import TroubledMemory
from twofold import Codec, Recorded, Source, Store, follower, letters
from twofold.claims import Claims
from twofold.codec import Schema
from twofold.connect import connect
from twofold.errors import EventCorrupt, LifecycleRefused
from twofold.follower import IDLE_SECONDS
from twofold.running import running
from twofold.stores.memory import MemoryStore
from twofold.subscription import Subscription
from twofold.table_view import TableView
from twofold.views import Views, identity

VIEW = ledgers()
NAME = identity(VIEW)


async def paid(store: Store, customers: str) -> None:
    for customer in customers:
        await pay(store, f"order-{customer}", customer)


async def check(store: Store) -> None:
    assert naive_ledgers.faults(await naive_ledgers.image_in(store)) == []


async def check_whole(store: Store) -> None:
    assert naive_ledgers.whole(await naive_ledgers.image_in(store)) == []


async def at_the_head(store: Store) -> None:
    await until(partial(reached, store, VIEW))


async def begun(store: Store, partitions: int = 1) -> Views:
    """The views, the one subscribed."""
    views = Views(store, subscribed=[VIEW], partitions=partitions)
    await views.start()
    return views


async def has_row(views: Views, key: str, events: int) -> bool:
    """Whether a row has so many events."""
    rows = await views.rows(VIEW.by_key, b_key=key)
    return bool(rows) and len(VIEW.decode(rows[0][0]).positions) == events


async def shares(store: Store, *expected: int) -> None:
    """Wait until the parts that are held are held so many by each."""

    async def are_so() -> bool:
        found = Counter(owner for owner in await owners(store, VIEW) if owner is not None)
        return sorted(found.values()) == sorted(expected)

    await until(are_so)


# --- following --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partitions", [1, 3])
async def test_it_catches_up_and_then_follows(store: Store, partitions: int) -> None:
    await store.append("order-1", [payment("a", str(n % 7)) for n in range(1200)], expected=None)
    views = await begun(store, partitions)
    advances: list[None] = []
    async with running(views, lease_seconds=LEASE, on_advance=lambda: advances.append(None)):
        await at_the_head(store)
        assert len(advances) >= 3 * partitions  # pages of 500
        for number in range(5):
            await pay(store, "order-2", f"{number}")
            await at_the_head(store)
    await check_whole(store)
    assert await owners(store, VIEW) == [None] * partitions  # given up at its end


async def test_the_lag_of_others_stays_low_while_one_customer_fails(store: Store) -> None:
    """The worst of it, with automatic retries going on and hundreds of letters: well below a follower's idle time."""
    trouble = Trouble({"b"})
    views = Views(store, subscribed=[ledgers(trouble)])
    await views.start()
    await store.append("order-b", [payment("b") for _ in range(300)], expected=None)
    waits: list[float] = []
    async with running(views, lease_seconds=LEASE):
        for number in range(20):
            await paid(store, "b")
            began = time.monotonic()
            await paid(store, "a")
            await until(partial(has_row, views, "a", number + 1))
            waits.append(time.monotonic() - began)
    waits.sort()
    print(f"lag of the others: median {waits[10] * 1000:.0f} ms, worst {waits[-1] * 1000:.0f} ms")  # noqa: T201 - pytest shows it
    assert waits[-1] < IDLE_SECONDS
    await check(store)


async def test_the_fix_is_noticed_by_the_automatic_retry(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "RETRY_SECONDS", (0.05,) * 1000)
    trouble = Trouble({"b"})
    views = Views(store, subscribed=[ledgers(trouble)])
    await views.start()
    await paid(store, "abab")
    async with running(views, lease_seconds=LEASE):

        async def is_tried_again() -> bool:
            seen = await naive_ledgers.image_in(store)
            rows = await store.scan(Claims(store.dialect).query(letters.LETTERS, b_name=NAME))
            return bool(seen.letters) and rows[0][4] > 2

        await until(is_tried_again)
        trouble.customers.clear()

        async def is_drained() -> bool:
            return not (await naive_ledgers.image_in(store)).letters

        await until(is_drained)
    await check_whole(store)


# --- claims -----------------------------------------------------------------------------------------------------------


async def test_who_lost_its_claim_stores_nothing(store: Store) -> None:
    trouble = Trouble()
    hands = await led_by_hand(store, ledgers(trouble))
    await paid(store, "ab")
    sleeper = hands.followers[0]
    await sleeper.settle()
    await paid(store, "ab")
    await claim_all(hands)  # another has taken over
    trouble.customers |= {"b"}
    assert await sleeper.follow_until_idle() is None
    assert await hands.position() == 2
    assert await hands.letters() == []
    trouble.customers.clear()
    await hands.settle()
    await hands.check()


async def test_who_is_wrong_about_its_position_folds_nothing_twice(store: Store) -> None:
    hands = await led_by_hand(store, VIEW)
    await paid(store, "aba")
    await hands.settle()
    await paid(store, "b")
    for position in (1, 2):
        hands.followers[0].believe(position)
        assert await hands.followers[0].follow_until_idle() == "idle"
        assert await hands.position() == 4
        await hands.check()


async def test_a_part_whose_owner_is_silent_is_taken_over_after_a_lease(store: Store) -> None:
    hands = await led_by_hand(store, VIEW)
    await paid(store, "ab")
    await hands.settle()
    await paid(store, "ab")
    (silent,) = await owners(store, VIEW)
    began = time.monotonic()
    async with subscribed(store, hands.subscriber, lease=0.4) as subscription:
        await at_the_head(store)
        assert time.monotonic() - began >= 0.4
        assert await owners(store, VIEW) == [subscription.owner] != [silent]
        assert await hands.followers[0].follow_until_idle() in (None, "idle")  # it has nothing left to fold
    await check_whole(store)


async def test_parts_are_shared_evenly(store: Store) -> None:
    views = await begun(store, 4)
    run = partial(subscribed, store, views.subscriber(VIEW), lease=1.0)
    async with run():
        await shares(store, 4)
        async with run():
            await shares(store, 2, 2)
            async with run():
                await shares(store, 2, 1, 1)
                await paid(store, "abcdefgh")
                await at_the_head(store)
            await shares(store, 2, 2)
        await shares(store, 4)
    await check_whole(store)


async def test_who_has_less_than_its_share_takes_what_is_given_up_at_once(store: Store) -> None:
    views = await begun(store, 4)
    first = Subscription(store, views.subscriber(VIEW), lease_seconds=300)
    second = Subscription(store, views.subscriber(VIEW), lease_seconds=300)  # a beat is a minute
    running_first = asyncio.create_task(first.run())
    await until(lambda: shared(store, {first.owner}))
    running_second = asyncio.create_task(second.run())
    await until(lambda: is_member(store, second.owner))
    running_first.cancel()
    async with asyncio.timeout(20):
        await until(lambda: shared(store, {second.owner}))
    running_second.cancel()
    await asyncio.gather(running_first, running_second, return_exceptions=True)


async def shared(store: Store, expected: set[str]) -> bool:
    """Whether all parts are owned, by exactly these."""
    return set(await owners(store, VIEW)) == expected


async def is_member(store: Store, owner: str) -> bool:
    """Whether it has shown itself as one that could run the subscription."""
    members = await store.work(lambda: Claims(store.dialect).members(identity(VIEW)))
    return owner in dict(members)


async def test_a_member_that_comes_back_is_a_member_again(store: Store) -> None:
    views = await begun(store, 4)
    claims = Claims(store.dialect)

    async def members() -> int:
        return len(await store.work(lambda: claims.members(NAME)))

    async def alone() -> bool:
        return await members() == 1

    async with subscribed(store, views.subscriber(VIEW), lease=0.3):
        await shares(store, 4)
        for _ in range(2):  # each time as new as the first time: its beat begins at 1
            await store.work(lambda: claims.beat(NAME, "a ghost"))
            await shares(store, 2)
            await until(alone)
            await shares(store, 4)


async def test_what_is_no_subscription_any_more_is_left_alone(store: Store) -> None:
    """Another process keeps the view inline now: to begin anew with its rows would fold everything twice."""
    views = await begun(store)
    await paid(store, "abc")
    async with running(views, lease_seconds=0.2):
        await at_the_head(store)
        inline = Views(store, [VIEW])
        await inline.start()
        await paid(store, "abc")
        await asyncio.sleep(0.3)  # some beats: there is nothing to wait for where nothing must happen
        assert await store.rows(Claims(store.dialect).names()) == []
    ((body,),) = [row[:1] for row in await inline.rows(VIEW.by_key, b_key="a")]
    assert VIEW.decode(body).positions == (1, 4)


# --- what cannot be gone on with --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("type", "schema"), [("Unheard", 1), ("Paid", 2)])
async def test_what_the_code_does_not_know_stops_the_part_until_newer_code_comes(
    store: Store, type: str, schema: int
) -> None:
    views = await begun(store, 2)
    await paid(store, "ab")
    await store.append("order-x", [raw(b'{"customers":["x"],"amount":1}', type=type, schema=schema)], expected=None)
    await paid(store, "ab")

    class Other(Paid):
        pass

    newer = TableView(
        Ledgers(Trouble()),
        Source(ORDERS, Codec[Paid]({"Paid": Schema(Paid, {1: lambda data: data}), "Unheard": Other})),
    )
    claims = Claims(store.dialect)

    async def has_failed() -> bool:
        return all(held.failure is not None for held in await store.work(lambda: claims.parts(NAME)))

    async with subscribed(store, views.subscriber(VIEW), lease=0.4):
        await until(has_failed)
        for held in await store.work(lambda: claims.parts(NAME)):
            assert (held.position, held.owner) == (2, None)
            assert held.failure is not None
            assert held.failure.startswith(f"position 3: the stored event {type} (schema {schema}) cannot be read")
        await check(store)
        async with subscribed(store, Views(store, subscribed=[newer]).subscriber(newer), lease=0.4) as able:
            await at_the_head(store)
            assert await owners(store, VIEW) == [able.owner] * 2  # the other leaves it its share
    await check_whole(store)


async def test_a_damaged_event_stops_the_part_and_what_stands_before_it_is_folded() -> None:
    class Damaged(MemoryStore):
        async def read_all(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
            async for recorded in super().read_all(after=after, limit=limit):
                if recorded.position == 3:
                    raise EventCorrupt(recorded.stream, recorded.version, recorded.type, recorded.position)
                yield recorded

    async with Damaged() as store:
        hands = await led_by_hand(store, VIEW)
        await paid(store, "abab")
        reason = await hands.followers[0].follow_until_idle()
        assert reason == "event 2 of order-a (Paid) cannot be read: its checksum differs from its content"
        assert await hands.position() == 2


async def test_large_events_make_small_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a few hundred of them could need more memory than the process may have, each time that it starts."""
    hands = await led_by_hand(store, VIEW)
    await paid(store, "abcdefgh")
    sizes = [len(recorded.data) async for recorded in store.read_all()]
    monkeypatch.setattr(follower, "PAGE_BYTES", sum(sizes[:3]))
    for position in (3, 6, 8):
        await hands.followers[0].step()
        assert await hands.position() == position
    await check_whole(store)


async def test_resume_tries_again_what_was_given_up(store: Store) -> None:
    trouble = Trouble({"a", "b"})
    views = Views(store, subscribed=[ledgers(trouble)])
    await views.start()
    claims = Claims(store.dialect)

    async def has_failed() -> bool:
        return (await store.work(lambda: claims.parts(NAME)))[0].failure is not None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(letters, "SEQUENCES_LIMIT", 1)
        await paid(store, "ab")
        async with subscribed(store, views.subscriber(views.view("ledgers"))):
            await until(has_failed)
            trouble.customers.clear()
            assert await store.work(lambda: claims.resume(NAME))
            await at_the_head(store)
    await check_whole(store)
    assert not await store.work(lambda: claims.resume("no such"))


async def test_pause_stops_it_and_resume_lets_it_go_on(store: Store) -> None:
    views = await begun(store, 2)
    claims = Claims(store.dialect)
    async with running(views, lease_seconds=0.3):
        await paid(store, "ab")
        await at_the_head(store)
        assert await store.work(lambda: claims.pause(NAME, "we look at it"))
        before = await owners(store, VIEW)
        await paid(store, "abab")
        await asyncio.sleep(0.3)  # there is nothing to wait for where nothing must happen
        parts = await store.work(lambda: claims.parts(NAME))
        assert [held.position for held in parts] == [2, 2]
        assert await owners(store, VIEW) == before
        assert await store.work(lambda: claims.resume(NAME))
        await at_the_head(store)
        await check_whole(store)
    assert not await store.work(lambda: claims.pause("no such", "why"))


async def test_to_set_it_back_takes_the_claim(store: Store) -> None:
    hands = await led_by_hand(store, VIEW)
    await paid(store, "ab")
    await hands.settle()
    claims = Claims(store.dialect)
    await store.work(lambda: claims.set_to(NAME, 1))
    await paid(store, "ab")
    assert await hands.followers[0].follow_until_idle() is None
    assert await owners(store, VIEW) == [None]
    assert await hands.position() == 1


async def test_what_goes_wrong_in_looking_after_it_is_told_and_does_not_end_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with TroubledMemory() as store:
        views = await begun(store)
        store.faults.plan("wrong", "wrong", "wrong")
        with caplog.at_level(logging.ERROR, "twofold.subscription"):
            async with subscribed(store, views.subscriber(VIEW), lease=0.1):
                await paid(store, "ab")
                await until(store.faults.are_over)
                await at_the_head(store)
        assert [record.levelname for record in caplog.records] == ["ERROR"]  # once
        await check_whole(store)


# --- lifecycles -------------------------------------------------------------------------------------------------------


async def test_a_view_goes_from_inline_to_subscribed_and_back(store_url: str) -> None:
    if store_url == "memory:":
        pytest.skip("memory keeps nothing from one opening to the next")
    async with connect(store_url) as store:
        await Views(store, [VIEW]).start()
        await paid(store, "abab")
    async with connect(store_url) as store:
        views = await begun(store, 3)
        assert {held.position for held in await store.work(lambda: Claims(store.dialect).parts(NAME))} == {4}
        async with running(views, lease_seconds=LEASE):
            await paid(store, "abc")
            await at_the_head(store)
        await check_whole(store)
    async with connect(store_url) as store:
        assert [view.name for view in (await Views.found(store, [VIEW])).subscribed] == ["ledgers"]
        inline = Views(store, [VIEW])
        await inline.start()
        await paid(store, "abc")
        assert [view.name for view in (await Views.found(store, [VIEW])).inline] == ["ledgers"]
        bodies = [(await inline.rows(VIEW.by_key, b_key=key))[0][0] for key in "abc"]
        assert [VIEW.decode(body).positions for body in bodies] == [(1, 3, 5, 8), (2, 4, 6, 9), (7, 10)]
    async with connect(store_url) as store:
        await begun(store, 2)
        await check_whole(store)


async def test_a_view_cannot_be_kept_inline_while_events_are_parked_or_its_parts_differ(store: Store) -> None:
    trouble = Trouble({"b"})
    hands = await led_by_hand(store, ledgers(trouble), partitions=2)
    await paid(store, "ab")
    await hands.followers[0].settle()
    with pytest.raises(LifecycleRefused):
        await Views(store, [VIEW]).start()
    await hands.followers[1].settle()
    with pytest.raises(LifecycleRefused):
        await Views(store, [VIEW]).start()
    (letter,) = await hands.letters()
    trouble.customers.clear()
    await hands.retry("b", letter.partition)
    await hands.check()
    inline = Views(store, [VIEW])
    await inline.start()
    await paid(store, "ab")
    bodies = [(await inline.rows(VIEW.by_key, b_key=key))[0][0] for key in "ab"]
    assert [VIEW.decode(body).positions for body in bodies] == [(1, 3), (2, 4)]
