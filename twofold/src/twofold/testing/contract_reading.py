"""The contract of the log: read, find, head and wait."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from twofold.errors import Conflict
from twofold.events import Recorded
from twofold.store import Store
from twofold.testing.contract_base import ContractBase, events_of, happened, several, whole


class ReadingContract(ContractBase):
    """One opening of the store, one thing at a time."""

    # --- read -------------------------------------------------------------------------------------------------------

    async def test_a_stream_is_read_from_after_until(self, store: Store) -> None:
        await store.append("order-1", several(5), expected=0)
        await store.append("order-2", several(5), expected=0)

        async def versions(after: int = 0, until: int | None = None) -> list[int]:
            return [recorded.version async for recorded in store.read("order-1", after=after, until=until)]

        assert await versions() == [1, 2, 3, 4, 5]
        assert await versions(after=2) == [3, 4, 5]
        assert await versions(until=2) == [1, 2]
        assert await versions(after=1, until=3) == [2, 3]
        assert await versions(until=9) == [1, 2, 3, 4, 5]
        assert await versions(after=5) == await versions(after=9) == await versions(until=0) == []
        assert await versions(after=3, until=2) == []
        assert await events_of(store, "order-3") == []

    async def test_the_log_is_read_from_after_up_to_a_limit(self, store: Store) -> None:
        for number in range(6):
            await store.append(f"order-{number % 2}", several(1), expected=None)
        all_of_it = [recorded.position for recorded in await whole(store)]

        async def positions(after: int = 0, limit: int | None = None) -> list[int]:
            return [recorded.position async for recorded in store.read_all(after=after, limit=limit)]

        assert await positions(after=all_of_it[2]) == all_of_it[3:]
        assert await positions(limit=2) == all_of_it[:2]
        assert await positions(after=all_of_it[1], limit=3) == all_of_it[2:5]
        assert await positions(limit=100) == all_of_it
        assert await positions(limit=0) == await positions(after=all_of_it[-1]) == []
        assert await positions(after=all_of_it[-1] + 1000, limit=5) == []

    @pytest.mark.parametrize("far", [1, 2**63 - 1, 2**63, 2**70])
    async def test_no_bound_is_too_low_or_too_high(self, store: Store, far: int) -> None:
        await store.append("order-1", several(3), expected=0)
        log = await whole(store)

        async def read(after: int = 0, until: int | None = None) -> list[Recorded[bytes]]:
            return [recorded async for recorded in store.read("order-1", after=after, until=until)]

        async def read_all(after: int = 0, limit: int | None = None) -> list[Recorded[bytes]]:
            return [recorded async for recorded in store.read_all(after=after, limit=limit)]

        beyond = far + 100
        assert await read(after=-far) == await read(until=beyond) == log
        assert await read(after=-far, until=2) == log[:2]
        assert await read(until=-far) == await read(after=beyond) == []
        assert await read_all(after=-far) == await read_all(limit=beyond) == await read_all(-far, beyond) == log
        assert await read_all(after=-far, limit=2) == log[:2]
        assert await read_all(after=log[0].position, limit=beyond) == log[1:]
        assert await read_all(limit=-far) == await read_all(after=beyond) == await read_all(beyond, beyond) == []

    async def test_a_long_log_is_read_whole(self, store: Store) -> None:
        """Longer than a page of any store."""
        size = 300
        for number in range(10):
            await store.append(f"order-{number % 2}", several(size), expected=None)
        log = await whole(store)
        positions = [recorded.position for recorded in log]
        assert len(log) == 10 * size
        assert positions == sorted(set(positions))
        for stream in ("order-0", "order-1"):
            assert [recorded.version for recorded in await events_of(store, stream)] == list(range(1, 5 * size + 1))
        for limit in (255, 256, 257, 999, 1000, 1001, 2048):
            read = [recorded.position async for recorded in store.read_all(after=positions[499], limit=limit)]
            assert read == positions[500 : 500 + limit]

    async def test_pages_hold_what_is_read_event_by_event(self, store: Store) -> None:
        for number in range(4):
            await store.append(f"order-{number % 2}", several(700), expected=None)
        for after, until, limit in ((0, None, None), (0, 300, 300), (256, 1300, 1000), (700, 701, 1), (5000, None, 1)):
            pages = [page async for page in store.read_pages("order-1", after=after, until=until)]
            events = [event async for event in store.read("order-1", after=after, until=until)]
            assert [event for page in pages for event in page] == events
            assert all(pages)
            pages = [page async for page in store.read_all_pages(after=after, limit=limit)]
            events = [event async for event in store.read_all(after=after, limit=limit)]
            assert [event for page in pages for event in page] == events
            assert all(pages)

    async def test_a_reader_that_stops_halfway_holds_nothing(self, store: Store) -> None:
        await store.append("order-1", several(500), expected=0)
        for reading in (store.read("order-1"), store.read_all()):
            assert (await anext(reading)).version == 1
            await self.soon(store.append("order-1", several(1), expected=None))
        assert (await events_of(store, "order-1"))[-1].version == 502

    async def test_an_event_is_found_by_its_id(self, store: Store) -> None:
        events, refused = several(3), happened()
        assert await store.find(events[0].id) is None
        await store.append("order-1", events[:2], expected=0)
        await store.append("order-2", events[2:], expected=0)
        log = await whole(store)
        assert [await store.find(event.id) for event in events] == log
        with pytest.raises(Conflict):
            await store.append("order-1", [refused], expected=0)
        assert await store.find(refused.id) is None

    # --- the log itself ---------------------------------------------------------------------------------------------

    async def test_a_log_has_an_id_that_stays(self, store: Store) -> None:
        id = store.id
        assert isinstance(id, UUID)
        await store.append("order-1", several(1), expected=0)
        assert store.id == id

    async def test_two_logs_have_two_ids(self, tmp_path: Path) -> None:
        one, other = tmp_path / "one", tmp_path / "other"
        one.mkdir()
        other.mkdir()
        async with self.open(one) as store, self.open(other) as another:
            assert store.id != another.id

    # --- head and wait ----------------------------------------------------------------------------------------------

    async def test_the_head_is_the_last_position(self, store: Store) -> None:
        assert await store.head() == 0
        for _ in range(3):
            receipt = await store.append("order-1", several(2), expected=None)
            assert await store.head() == receipt.position

    async def test_who_waits_for_what_is_there_goes_on_at_once(self, store: Store) -> None:
        receipt = await store.append("order-1", several(2), expected=0)
        await self.soon(store.wait_appended(after=0))
        await self.soon(store.wait_appended(after=receipt.position - 1))

    async def test_an_append_at_any_moment_wakes_all_who_wait(self, store: Store) -> None:
        """One that falls between looking and falling asleep, too: at each turn of the event loop there is."""
        for turns in range(10):
            head = await store.head()
            waiting = [asyncio.create_task(store.wait_appended(after=head)) for _ in range(3)]
            for _ in range(turns):
                await asyncio.sleep(0)
            await store.append("order-1", several(1), expected=None)
            await self.soon(asyncio.gather(*waiting))

    async def test_who_waits_goes_on_waiting_until_the_position_is_there(self, store: Store) -> None:
        first = await store.append("order-1", several(1), expected=0)
        waiting = asyncio.create_task(store.wait_appended(after=first.position))
        await asyncio.sleep(0.1)
        assert not waiting.done(), "it went on although nothing was appended"
        with pytest.raises(Conflict):
            await store.append("order-1", several(1), expected=0)
        await asyncio.sleep(0.1)
        assert not waiting.done(), "it went on although nothing was stored"
        await store.append("order-1", several(1), expected=1)
        await self.soon(waiting)

    async def test_who_waits_for_a_position_that_cannot_be_waits(self, store: Store) -> None:
        waiting = [asyncio.create_task(store.wait_appended(after=after)) for after in (-1, -(2**70), 2**63, 2**70)]
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in waiting), "it went on although the log is empty"
        await store.append("order-1", several(1), expected=0)
        await self.soon(asyncio.gather(*waiting[:2]))
        for task in waiting[2:]:
            assert not task.done()
            task.cancel()

    async def test_waiting_can_be_cancelled(self, store: Store) -> None:
        cancelled, waiting = (asyncio.create_task(store.wait_appended(after=0)) for _ in range(2))
        await asyncio.sleep(0.01)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.soon(cancelled)
        await store.append("order-1", several(1), expected=0)
        done, _ = await asyncio.wait([waiting], timeout=self.patience)
        assert waiting in done
        assert not waiting.cancelled(), "it was cancelled along with another"
        await waiting
