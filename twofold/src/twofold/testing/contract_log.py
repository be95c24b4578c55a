"""The contract of the log: append, read, head and wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from twofold.errors import Conflict, EventIdTaken
from twofold.events import NewEvent, Receipt, Recorded
from twofold.messages import Idempotency, Metadata
from twofold.store import Store
from twofold.testing.contract_base import ContractBase, events_of, happened, said, several, whole

HALF = "a\ud800"
"""A text that is not UTF-8: it holds half a surrogate pair."""

HOSTILE = (
    "",
    " ",
    "'; drop table event; --",
    '"quoted" \\ `back` $1 :name ? %s {}',
    "e\N{COMBINING ACUTE ACCENT}",
    "\N{LATIN SMALL LETTER E WITH ACUTE}",
    "E",
    "e",
    "e ",
    "\N{HEBREW LETTER SHIN}\N{RIGHT-TO-LEFT OVERRIDE}abc",
    "\N{FAMILY}\N{ZERO WIDTH JOINER}\N{GRINNING FACE}",
    "\N{REPLACEMENT CHARACTER}\uffff\U0010ffff",
    "line\r\nline\ttab\x1b[31m",
    "long" * 20_000,
)
"""Strings that a store might change, cut, or take for one another."""

NULS = ("\0", "a\0", "\0a", "a\0b")
"""Texts that no name or key may be, for not every SQL can keep them."""


class LogContract(ContractBase):
    """One opening of the store, one thing at a time."""

    # --- append -----------------------------------------------------------------------------------------------------

    async def test_an_append_answers_the_version_and_position_of_its_last_event(self, store: Store) -> None:
        first = await store.append("order-1", several(2), expected=0)
        second = await store.append("order-2", several(1), expected=0)
        third = await store.append("order-1", several(3), expected=2)
        assert [(r.stream, r.version, r.repeated) for r in (first, second, third)] == [
            ("order-1", 2, False),
            ("order-2", 1, False),
            ("order-1", 5, False),
        ]
        log = {(recorded.stream, recorded.version): recorded.position for recorded in await whole(store)}
        assert [log[r.stream, r.version] for r in (first, second, third)] == [
            first.position,
            second.position,
            third.position,
        ]

    async def test_versions_have_no_hole_and_positions_rise(self, store: Store) -> None:
        for size in (1, 3, 2):
            for stream in ("a", "b"):
                await store.append(stream, several(size), expected=None)
        log = await whole(store)
        positions = [recorded.position for recorded in log]
        assert positions == sorted(set(positions))
        assert positions[0] > 0
        for stream in ("a", "b"):
            assert [recorded.version for recorded in log if recorded.stream == stream] == [1, 2, 3, 4, 5, 6]

    @pytest.mark.parametrize("expected", [0, 1, 3, 1000])
    async def test_a_conflict_says_what_is_there_and_stores_nothing(self, store: Store, expected: int) -> None:
        await store.append("order-1", several(2), expected=0)
        before = await whole(store)
        with pytest.raises(Conflict) as caught:
            await store.append("order-1", several(2), expected=expected)
        assert (caught.value.stream, caught.value.expected, caught.value.actual) == ("order-1", expected, 2)
        assert await whole(store) == before

    async def test_a_new_stream_is_at_version_0(self, store: Store) -> None:
        with pytest.raises(Conflict) as caught:
            await store.append("order-1", several(1), expected=1)
        assert caught.value.actual == 0
        assert await whole(store) == []
        assert (await store.append("order-1", several(1), expected=0)).version == 1

    async def test_an_append_that_expects_nothing_adds_to_the_end(self, store: Store) -> None:
        assert (await store.append("order-1", several(2), expected=None)).version == 2
        assert (await store.append("order-1", several(2), expected=None)).version == 4

    async def test_an_append_of_nothing_is_refused(self, store: Store) -> None:
        with pytest.raises(ValueError, match="without events"):
            await store.append("order-1", [], expected=None)

    async def test_a_text_that_is_not_utf_8_is_refused(self, store: Store) -> None:
        """By name and before anything is stored: it could not be given back."""
        refused: Sequence[Callable[[], Awaitable[object]]] = (
            lambda: store.append(HALF, several(1), expected=0),
            lambda: store.append("order-1", [happened(), happened(type=HALF)], expected=0),
            lambda: store.append("order-1", several(1), expected=0, idempotency=Idempotency(HALF, "request")),
            lambda: store.append("order-1", several(1), expected=0, idempotency=Idempotency("key", HALF)),
            lambda: store.append("order-1", [happened(metadata=replace(said(), actor=HALF))], expected=0),
            lambda: store.append("order-1", [happened(metadata=replace(said(), extra={"name": HALF}))], expected=0),
            lambda: store.append("order-1", [happened(metadata=replace(said(), extra={HALF: "value"}))], expected=0),
            lambda: events_of(store, HALF),
        )
        for call in refused:
            with pytest.raises(ValueError, match="UTF-8"):
                await call()
        assert await whole(store) == []
        assert await store.recall("key") is None
        await store.append("order-1", several(1), expected=0)

    @pytest.mark.parametrize("nul", NULS)
    async def test_a_name_with_a_nul_is_refused(self, store: Store, nul: str) -> None:
        refused: Sequence[Callable[[], Awaitable[object]]] = (
            lambda: store.append(nul, several(1), expected=0),
            lambda: store.append("order-1", [happened(), happened(type=nul)], expected=0),
            lambda: store.append("order-1", several(1), expected=0, idempotency=Idempotency(nul, "request")),
            lambda: store.append("order-1", several(1), expected=0, idempotency=Idempotency("key", nul)),
            lambda: events_of(store, nul),
        )
        for call in refused:
            with pytest.raises(ValueError, match="NUL"):
                await call()
        assert await whole(store) == []
        assert await store.recall("key") is None

    @pytest.mark.parametrize("nul", NULS)
    async def test_nuls_in_metadata_come_back(self, store: Store, nul: str) -> None:
        """It is kept as JSON, in bytes."""
        metadata = replace(said(), actor=nul, extra={nul: nul}, idempotency=Idempotency(nul, nul))
        await store.append("order-1", [happened(metadata=metadata)], expected=0)
        assert [recorded.metadata for recorded in await whole(store)] == [metadata]

    @pytest.mark.parametrize("schema", [-1, 2**63])
    async def test_a_schema_that_is_no_number_of_one_is_refused(self, store: Store, schema: int) -> None:
        event = replace(happened(), schema=schema)
        with pytest.raises(ValueError, match="schema"):
            await store.append("order-1", [event], expected=0)
        largest = replace(event, schema=2**63 - 1)
        await store.append("order-1", [largest], expected=0)
        assert [recorded.schema for recorded in await whole(store)] == [2**63 - 1]

    @pytest.mark.parametrize("expected", [-1, 2**63])
    async def test_a_version_that_cannot_be_is_a_conflict(self, store: Store, expected: int) -> None:
        await store.append("order-1", several(1), expected=0)
        with pytest.raises(Conflict) as caught:
            await store.append("order-1", several(1), expected=expected)
        assert (caught.value.expected, caught.value.actual) == (expected, 1)

    @pytest.mark.parametrize("expected", [1, None])
    async def test_a_repeated_append_answers_the_first_receipt(self, store: Store, expected: int | None) -> None:
        await store.append("order-1", several(1), expected=0)
        events = several(3)
        first = await store.append("order-1", events, expected=expected)
        again = Receipt("order-1", first.version, first.position, repeated=True)
        assert await store.append("order-1", events, expected=expected) == again
        await store.append("order-1", several(2), expected=None)
        await store.append("order-2", several(2), expected=None)
        before = await whole(store)
        assert await store.append("order-1", events, expected=expected) == again
        assert await whole(store) == before

    async def test_it_is_the_ids_that_say_that_an_append_is_repeated(self, store: Store) -> None:
        events = several(2)
        first = await store.append("order-1", events, expected=0)
        for expected in (0, 1, 2, 3, None):
            assert await store.append("order-1", events, expected=expected) == Receipt(
                "order-1", 2, first.position, repeated=True
            )

    @pytest.mark.parametrize(
        "case", ["another stream", "a new one too", "a new one first", "another order", "not neighbours", "one twice"]
    )
    @pytest.mark.parametrize("expected", [3, None])
    async def test_ids_of_another_append_are_refused(self, store: Store, case: str, expected: int | None) -> None:
        a, b, c, new = (happened() for _ in range(4))
        for event in (a, b, c):
            await store.append("order-1", [event], expected=None)
        await store.append("order-2", several(3), expected=0)
        before = await whole(store)
        stream = "order-2" if case == "another stream" else "order-1"
        events: Sequence[NewEvent] = {
            "another stream": [a, b, c],
            "a new one too": [a, b, c, new],
            "a new one first": [new, a, b, c],
            "another order": [b, a],
            "not neighbours": [a, c],
            "one twice": [new, new],
        }[case]
        with pytest.raises(EventIdTaken) as caught:
            await store.append(stream, events, expected=expected)
        assert caught.value.stream == stream
        assert await whole(store) == before

    # --- what is written is what is read --------------------------------------------------------------------------

    async def test_hostile_strings_come_back_exactly(self, store: Store) -> None:
        events: list[NewEvent] = []
        for text in HOSTILE:
            metadata = Metadata(
                message_id=uuid7(),
                correlation_id=uuid7(),
                actor=text,
                at=datetime.now(UTC),
                extra={text: text},
                idempotency=Idempotency(text, text),
            )
            event = happened(text.encode(), type=text, metadata=metadata)
            events.append(event)
            await store.append(text, [event], expected=0, idempotency=Idempotency(text, text))
        for text, event in zip(HOSTILE, events, strict=True):
            (stored,) = await events_of(store, text)
            assert (stored.stream, stored.type, stored.data) == (text, text, text.encode())
            assert stored.metadata == event.metadata
            remembered = await store.recall(text)
            assert remembered is not None
            assert remembered.idempotency == Idempotency(text, text)
            assert remembered.receipt == Receipt(text, 1, stored.position)

    async def test_data_comes_back_byte_for_byte(self, store: Store) -> None:
        contents = [b"", bytes(range(256)), b"\0", b"\xff\xfe", bytes(1_000_000)]
        await store.append("order-1", [happened(content) for content in contents], expected=0)
        assert [recorded.data for recorded in await events_of(store, "order-1")] == contents

    async def test_events_come_back_as_they_were_given(self, store: Store) -> None:
        full = Metadata(
            message_id=uuid7(),
            correlation_id=uuid7(),
            causation_id=uuid7(),
            actor="Ada",
            at=datetime(2026, 2, 3, 4, 5, 6, 789_012, tzinfo=timezone(timedelta(hours=5, minutes=45))),
            extra={"tenant": "one", "": ""},
            idempotency=Idempotency("key", "fingerprint"),
        )
        bare = Metadata(message_id=uuid7(), correlation_id=uuid7(), at=datetime(1970, 1, 1, tzinfo=UTC))
        events = [happened(type="Placed", metadata=full), happened(type="Placed", metadata=bare)]
        events.append(NewEvent(id=uuid7(), type="Moved", schema=7, data=b"7", metadata=full))
        await store.append("order-1", events, expected=0)
        read, read_all = await events_of(store, "order-1"), await whole(store)
        assert read == read_all
        assert [(e.id, e.type, e.schema, e.data, e.metadata) for e in read] == [
            (e.id, e.type, e.schema, e.data, e.metadata) for e in events
        ]
        assert [e.metadata.at.utcoffset() for e in read] == [e.metadata.at.utcoffset() for e in events]
        assert all(e.recorded_at.tzinfo is not None for e in read)

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
