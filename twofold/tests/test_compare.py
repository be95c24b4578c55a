"""Views held against the log, and builds against what is in use, while parts differ, events are parked, rows go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import pytest

from kept_views import append, silent
from payments import (
    INLINE,
    LEASE,
    SUBSCRIBED,
    Balances,
    Paid,
    Trouble,
    balances,
    codec,
    differences,
    fill,
    kept,
    pay,
    settled,
    views_of,
)
from small_orders import CalledOff, Opened, event_counts, open_orders
from twofold import Recorded, Source, Store
from twofold.claims import Claims
from twofold.errors import EventUnreadable
from twofold.parked import Parked
from twofold.rebuild import build
from twofold.running import running
from twofold.table_view import TableView
from twofold.verify import ViewMissing, compare
from twofold.views import View, Views

LIFECYCLES = pytest.mark.parametrize("lifecycle", [INLINE, SUBSCRIBED])


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twofold.building.PAGE", 20)
    monkeypatch.setattr("twofold.verify.PAGE", 20)


@LIFECYCLES
async def test_rows_that_come_and_go_make_no_difference(store: Store, lifecycle: str) -> None:
    kinds: list[View] = [open_orders(), event_counts()]
    views = Views(store, kinds) if lifecycle == INLINE else Views(store, subscribed=kinds)
    await views.start()
    enough = asyncio.Event()

    async def go_on() -> None:
        for number in count():
            if enough.is_set():
                return
            await append(store, f"order-{number % 7}", CalledOff("late") if number % 2 else Opened("ALFKI"))
            await asyncio.sleep(0.003)

    async with running(views, lease_seconds=LEASE):
        going = asyncio.create_task(go_on())
        await build(views, "open_orders", silent)
        await build(views, "counts", silent)
        for _ in range(5):
            assert await compare(views, "open_orders", silent) == []
        enough.set()
        await going
        await settled(views)
        assert await compare(views, "counts", silent) == []


async def test_a_view_that_stands_still_differs_in_nothing_that_it_has_reached(store: Store) -> None:
    async with kept(store, SUBSCRIBED, partitions=4) as views:
        await fill(store, 200)
        await settled(views)
        await store.work(partial(Claims(store.dialect).pause, "balances_v1", "by hand"))
        await pay(store, 3, 5)
        await build(views, "balances", silent)
        assert await compare(views, "balances", silent) == []


async def test_exactly_the_rows_that_differ_are_told(store: Store) -> None:
    trouble = Trouble(wrong={"a3", "a7"})
    async with kept(store, SUBSCRIBED, balances(trouble), partitions=4) as views:
        await fill(store, 400)
        await settled(views)
        trouble.wrong = {"a7", "a9"}
        await build(views, "balances", silent)
        found = await compare(views, "balances", silent)
        assert [difference.key for difference in found] == [("a3",), ("a9",)]
        assert all(difference.stored and difference.folded for difference in found)


async def test_the_parts_of_a_view_may_have_come_differently_far(store: Store) -> None:
    async with kept(store, SUBSCRIBED, partitions=4) as views:
        await fill(store, 200)
        await settled(views)
    claims = Claims(store.dialect)
    held = (await store.work(partial(claims.parts, "balances_v1")))[2]
    assert await store.work(partial(claims.take, held, "a process that stands still")) is not None
    async with _others_go_on(store):
        await fill(store, 200)
        async with asyncio.timeout(20):
            while True:
                parts = await store.work(partial(claims.parts, "balances_v1"))
                if sorted({held.position for held in parts}) == [200, 400]:
                    break
                await asyncio.sleep(0.01)
    assert await differences(views_of(store, SUBSCRIBED, balances(), 4)) == []


def _others_go_on(store: Store) -> AbstractAsyncContextManager[None]:
    views = views_of(store, SUBSCRIBED, balances(), 4)
    return running(views, lease_seconds=60)


async def test_letters_that_wait_or_are_skipped_are_left_out(store: Store) -> None:
    trouble = Trouble(failing={"a3", "a5"})
    async with kept(store, SUBSCRIBED, balances(trouble), partitions=2) as views:
        await fill(store, 400)
        await settled(views)
        parked = Parked(store)
        (letter,) = [letter for letter in await parked.letters("balances_v1") if letter.sequence == "a5"][:1]
        await parked.skip(letter, "it is not wanted")
        trouble.failing.clear()
        assert await differences(views) == []
        await parked.retry(views.subscriber(views.view("balances")), letter.partition, "a5")
        assert await differences(views) == []


# --- what cannot be read ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unreadable(Source[Paid]):
    """A source some events of which cannot be read."""

    positions: set[int] = field(default_factory=set[int])

    def decode(self, events: Iterable[Recorded[bytes]]) -> Iterator[Recorded[Paid]]:
        for recorded in events:
            if recorded.position in self.positions:
                raise EventUnreadable(recorded.stream, recorded.version, recorded.type, "it is garbled")
            yield from super().decode((recorded,))


async def test_events_that_cannot_be_read_are_left_out_where_they_are_parked(store: Store) -> None:
    source = Unreadable(frozenset({"account"}), codec, {33, 34, 235})
    async with kept(store, SUBSCRIBED, TableView(Balances(), source), partitions=4) as views:
        await fill(store, 400)
        await settled(views)
        assert await differences(views) == []
        source.positions.clear()  # the code is mended, and some parts have been drained
        parked = Parked(store)
        letters = await parked.letters("balances_v1")
        number = letters[0].partition
        for sequence in {letter.sequence for letter in letters}:
            await parked.retry(views.subscriber(views.view("balances")), number, sequence)
        assert await differences(views) == []


async def test_events_that_cannot_be_read_and_are_in_a_view_are_told(store: Store) -> None:
    source = Unreadable(frozenset({"account"}), codec)
    async with kept(store, INLINE, TableView(Balances(), source)) as views:
        await fill(store, 100)
        source.positions.add(7)
        with pytest.raises(EventUnreadable, match="garbled"):
            await differences(views)


async def test_a_key_that_cannot_be_told_is_parked_and_left_out(store: Store) -> None:
    class Odd(Balances):
        def key(self, recorded: Recorded[Paid], /) -> str:
            if recorded.position == 15:
                raise ZeroDivisionError
            return super().key(recorded)

    async with kept(store, SUBSCRIBED, TableView(Odd(), Source(frozenset({"account"}), codec)), partitions=2) as views:
        await fill(store, 100)
        await settled(views)
        assert await differences(views) == []


async def test_a_view_that_was_never_built_cannot_be_verified(store: Store) -> None:
    with pytest.raises(ViewMissing, match="balances_v1 was never built"):
        await differences(views_of(store, INLINE, balances()))
