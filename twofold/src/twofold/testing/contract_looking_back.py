"""The contract of looking back: streams by their newest event, the log from its end, and what a message led to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import islice
from uuid import UUID

import pytest
from msgspec.structs import replace

from twofold.events import NewEvent, Recorded, encode_metadata
from twofold.looking_back import LOOKED_AT, StreamHead
from twofold.messages import Metadata, ids_of
from twofold.store import Store
from twofold.testing.contract_adoption import another_log
from twofold.testing.contract_base import HOSTILE, ContractBase, happened, said, several, whole


def decided(metadata: Metadata, count: int = 1, subject: str = "order-1") -> list[NewEvent]:
    """Events as a decider makes them: their ids are made of the message."""
    ids = islice(ids_of(metadata.message_id, subject), count)
    return [replace(happened(metadata=metadata), id=id) for id in ids]


def neighbour(metadata: Metadata) -> Metadata:
    """A message said in the same instant: its id begins in the same way."""
    id = UUID(int=metadata.message_id.int ^ 1)
    return replace(metadata, message_id=id, correlation_id=id)


class LookingBackContract(ContractBase):
    """Nothing here changes anything."""

    # --- streams ----------------------------------------------------------------------------------------------------

    async def test_streams_come_with_the_newest_activity_first(self, store: Store) -> None:
        for stream in ("order-1", "order-2", "order-3", "order-1"):
            await store.append(stream, several(2), expected=None)
        log = {recorded.position: recorded for recorded in await whole(store)}
        page = await store.streams()
        assert [(head.stream, head.version) for head in page.heads] == [("order-1", 4), ("order-3", 2), ("order-2", 2)]
        for head in page.heads:
            last = log[head.position]
            assert head == StreamHead(last.stream, last.version, last.position, last.type, last.recorded_at)
        assert page.before is None
        assert await store.streams(limit=0) == await store.streams(before=0, limit=0) == ([], None)

    async def test_streams_come_page_by_page(self, store: Store) -> None:
        for number in (1, 2, 3, 2, 4, 5, 1):
            await store.append(f"order-{number}", several(1), expected=None)
        for limit in (1, 2, 3, 5, 9):
            assert await self._streams(store, limit=limit) == [f"order-{number}" for number in (1, 5, 4, 2, 3)]

    async def test_streams_of_one_category_are_told_from_others(self, store: Store) -> None:
        names = ("order-1", "orders-1", "order", "ord-1", "ORDER-1", "order-1-2", "-order-1", "", "%-1", "order_-1")
        for name in names:
            await store.append(name, several(1), expected=0)
        assert await self._streams(store, category="order") == ["order-1-2", "order", "order-1"]
        assert await self._streams(store, category="orders") == ["orders-1"]
        assert await self._streams(store, category="") == ["", "-order-1"]
        assert await self._streams(store, category="%") == ["%-1"]
        for category in ("order-1", "orde", "o%", "nothing"):
            assert await self._streams(store, category=category) == []

    async def test_streams_are_found_behind_many_events_of_others(self, store: Store) -> None:
        """More than one call looks at; it says where to go on, though it may have found nothing."""
        await store.append("customer-1", several(1), expected=0)
        for _ in range(3):
            await store.append("order-1", several(LOOKED_AT // 2 + 1), expected=None)
        assert await self._streams(store) == ["order-1", "customer-1"]
        assert await self._streams(store, category="customer") == ["customer-1"]
        looked = await store.streams(category="customer")
        assert looked.heads == []
        assert looked.before is not None

    async def test_streams_with_holes_between_their_positions_are_all_found(self, store: Store) -> None:
        await store.adopt(another_log())
        for limit in (1, 2, 10):
            assert await self._streams(store, limit=limit) == ["a", "b", "c"]

    async def test_streams_of_hostile_names_are_found(self, store: Store) -> None:
        for name in HOSTILE:
            await store.append(name, several(1), expected=0)
        assert await self._streams(store) == list(reversed(HOSTILE))

    async def _streams(self, store: Store, *, category: str | None = None, limit: int = 100) -> list[str]:
        found: list[str] = []
        before: int | None = None
        while True:
            page = await store.streams(category=category, before=before, limit=limit)
            assert len(page.heads) <= limit
            found += [head.stream for head in page.heads]
            if page.before is None:
                return found
            assert before is None or page.before < before
            before = page.before

    # --- the log from its end ---------------------------------------------------------------------------------------

    async def test_the_log_is_read_from_its_end(self, store: Store) -> None:
        for number in range(5):
            await store.append(f"order-{number % 2}", several(2), expected=None)
        log = list(reversed(await whole(store)))

        async def back(before: int | None = None, limit: int | None = None) -> list[Recorded[bytes]]:
            return [recorded async for recorded in store.read_back(before=before, limit=limit)]

        assert await back() == await back(2**63 - 1) == await back(2**70, 2**70) == log
        assert await back(limit=3) == log[:3]
        assert await back(log[2].position) == log[3:]
        assert await back(log[2].position, 2) == log[3:5]
        assert await back(0) == await back(-1) == await back(limit=0) == await back(limit=-1) == []

    async def test_a_long_log_is_read_whole_from_its_end(self, store: Store) -> None:
        for _ in range(5):
            await store.append("order-1", several(300), expected=None)
        versions = [recorded.version async for recorded in store.read_back()]
        assert versions == list(range(1500, 0, -1))

    # --- what a message led to --------------------------------------------------------------------------------------

    async def test_all_events_of_a_correlation_are_found_in_order(self, store: Store) -> None:
        """Whatever their ids are made of, whichever stream they are in, and no others."""
        outer, other = said(), said()
        caused = outer.caused()
        await store.append("order-1", decided(outer, 2), expected=0)
        await store.append("order-2", decided(neighbour(outer)), expected=0)
        await store.append("order-3", decided(other), expected=0)
        await store.append("stock-1", decided(caused, 2, "stock-1"), expected=0)
        await store.append("order-1", [happened(metadata=caused.caused()), happened(metadata=outer)], expected=2)
        await store.append("order-3", decided(replace(other.caused(), causation_id=outer.message_id)), expected=1)
        log = await whole(store)
        for metadata in (outer, other, neighbour(outer)):
            id = metadata.correlation_id
            expected = [recorded for recorded in log if recorded.metadata.correlation_id == id]
            assert await found(store.correlated(id)) == expected
            assert await found(store.correlated(id, limit=1)) == expected[:1]
            assert await found(store.correlated(id, after=expected[0].position)) == expected[1:]
        assert len(await found(store.correlated(outer.correlation_id))) == 6
        assert (
            await found(store.correlated(caused.message_id)) == await found(store.correlated(said().message_id)) == []
        )

    async def test_what_a_message_led_to_is_found_and_nothing_else_of_its_correlation(self, store: Store) -> None:
        outer = said()
        caused = outer.caused()
        await store.append("order-1", decided(outer, 3), expected=0)
        await store.append("order-2", decided(neighbour(outer)), expected=0)
        await store.append("stock-1", decided(caused, 2, "stock-1"), expected=0)
        await store.append("stock-2", decided(outer, 1, "stock-2"), expected=0)
        log = await whole(store)
        for metadata in (outer, caused, neighbour(outer)):
            expected = [recorded for recorded in log if recorded.metadata.message_id == metadata.message_id]
            assert await found(store.of_message(metadata.message_id)) == expected
            assert await found(store.of_message(metadata.message_id, limit=2)) == expected[:2]
            assert await found(store.of_message(metadata.message_id, after=expected[0].position)) == expected[1:]
        assert await found(store.of_message(said().message_id)) == []

    @pytest.mark.parametrize("far", [1, 2**63 - 1, 2**63, 2**70])
    async def test_no_bound_of_looking_back_is_too_low_or_too_high(self, store: Store, far: int) -> None:
        metadata = said()
        await store.append("order-1", decided(metadata, 3), expected=0)
        log, id = await whole(store), metadata.message_id
        for find in (store.correlated, store.of_message):
            assert await found(find(id, after=-far)) == await found(find(id, limit=far + 100)) == log
            assert await found(find(id, after=far + 100)) == await found(find(id, limit=-far)) == []
        assert len((await store.streams(before=far + 100, limit=far)).heads) == 1
        assert await store.streams(before=-far) == await store.streams(before=-far, limit=-far) == ([], None)

    async def test_a_correlation_of_many_events_is_found_whole(self, store: Store) -> None:
        outer = said()
        caused = outer.caused()
        for number in range(4):
            await store.append("order-1", decided(outer, 200, f"part {number}"), expected=None)
            await store.append("order-2", decided(caused, 200, f"part {number}"), expected=None)
        positions = [recorded.position for recorded in await whole(store)]
        assert [event.position for event in await found(store.correlated(outer.correlation_id))] == positions
        assert [event.stream for event in await found(store.of_message(outer.message_id))] == ["order-1"] * 800

    async def test_adopted_events_are_found_by_their_correlation(self, store: Store) -> None:
        outer = said()
        metadata = (outer, outer.caused(), said(), said(), said(), outer.caused().caused(), said())
        log = [
            replace(event, metadata_json=encode_metadata(said))
            for event, said in zip(another_log(), metadata, strict=True)
        ]
        await store.adopt(log)
        assert await found(store.correlated(outer.correlation_id)) == [log[0], log[1], log[5]]


async def found(events: AsyncIterator[Recorded[bytes]]) -> list[Recorded[bytes]]:
    """All of them."""
    return [recorded async for recorded in events]
