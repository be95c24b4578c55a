"""The end of the log followed: each change once and in order, by whoever asks, and an end rather than a gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import pytest

from twofold import tail as tail_module
from twofold.errors import StoreBusy, StoreUnavailable
from twofold.events import NewEvent, Recorded
from twofold.messages import Metadata
from twofold.stores.memory import MemoryStore
from twofold.tail import Change, Tail

PATIENCE = 30.0


async def keys_of(recorded: Recorded[bytes]) -> Sequence[str]:
    """An event changes its stream, and all."""
    return recorded.stream, "all"


def event() -> NewEvent:
    """Something that happened."""
    return NewEvent(id=uuid4(), type="Happened", schema=1, data=b"{}", metadata=Metadata.new())


async def append(store: MemoryStore, stream: str, count: int = 1) -> None:
    """Append so many events."""
    await store.append(stream, [event() for _ in range(count)], expected=None)


async def test_a_feed_tells_each_change_behind_where_it_begins() -> None:
    async with MemoryStore() as store:
        tail = Tail(store, keys_of)
        await append(store, "a-1", 3)
        async with tail.feed("a-1") as one, tail.feed("all") as both:
            assert one.since == both.since == 3
            await append(store, "a-2")
            await append(store, "a-1")
            assert await one.next(PATIENCE) == Change(5, "a-1", 4)
            assert [await both.next(PATIENCE) for _ in range(2)] == [Change(4, "a-2", 1), Change(5, "a-1", 4)]
            assert await one.next(0.01) is None
            assert not one.ended
            async with tail.feed("a-1") as late:  # it begins behind what was there when it was asked for
                assert late.since == 5


async def test_what_was_there_when_a_feed_was_asked_for_is_not_told_by_it() -> None:
    async with MemoryStore() as store:
        tail = Tail(store, keys_of)
        async with tail.feed("all"):
            for number in range(1, 51):
                await append(store, "a-1", 20)
                async with tail.feed("a-1") as feed:
                    assert feed.since >= number * 20


async def test_writers_and_feeds_that_come_and_go_miss_nothing() -> None:
    async with MemoryStore() as store:
        tail = Tail(store, keys_of)
        done = asyncio.Event()

        async def write(number: int) -> None:
            for _ in range(100):
                await append(store, f"a-{number}")
                await asyncio.sleep(0)

        async def listen() -> int:
            feeds = 0
            while not done.is_set():
                feeds += 1
                async with tail.feed("all") as feed:
                    expected = feed.since
                    for _ in range(7):
                        change = await feed.next(0.05)
                        if change is not None:
                            expected += 1
                            assert change.position == expected
            return feeds

        listeners = asyncio.gather(*(listen() for _ in range(5)))
        await asyncio.gather(*(write(number) for number in range(4)))
        done.set()
        assert min(await listeners) > 1


async def test_a_reader_that_is_too_slow_is_ended_behind_what_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "PENDING", 10)
    async with MemoryStore() as store:
        tail = Tail(store, keys_of)
        async with tail.feed("all") as slow, tail.feed("a-2") as other:
            await append(store, "a-1", 30)
            await append(store, "a-2")
            assert await other.next(PATIENCE) == Change(31, "a-2", 1)
            told: list[int] = []
            while not slow.ended:
                change = await slow.next(PATIENCE)
                assert change is not None
                told.append(change.position)
            assert told == list(range(1, 11))  # a break, and no gap
            assert await slow.next(PATIENCE) is None


async def test_trouble_of_the_store_ends_feeds_and_the_next_begins_anew() -> None:
    class Troubled(MemoryStore):
        troubled = False

        async def read_all(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
            if self.troubled:
                raise StoreBusy("try again")
            async for recorded in super().read_all(after=after, limit=limit):
                yield recorded

    async with Troubled() as store:
        tail = Tail(store, keys_of)
        async with tail.feed("all") as feed:
            store.troubled = True
            await append(store, "a-1")
            assert await feed.next(PATIENCE) is None
            assert feed.ended
            store.troubled = False
            async with tail.feed("all") as again:
                assert again.since == 1
                await append(store, "a-1")
                assert await again.next(PATIENCE) == Change(2, "a-1", 2)


async def test_once_closed_it_opens_no_feed() -> None:
    async with MemoryStore() as store:
        tail = Tail(store, keys_of)
        async with tail.feed("all") as feed:
            tail.close()
            assert await feed.next(PATIENCE) is None
            assert feed.ended
        with pytest.raises(StoreUnavailable):
            async with tail.feed("all"):
                pass
