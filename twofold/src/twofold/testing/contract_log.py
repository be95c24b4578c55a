"""The contract of the log: what an append promises, and that what is written is what is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone

import pytest
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from twofold.errors import Conflict, EventIdTaken
from twofold.events import NewEvent, Receipt
from twofold.messages import Idempotency, Metadata
from twofold.store import Store
from twofold.testing.contract_base import HALF, HOSTILE, NULS, ContractBase, events_of, happened, said, several, whole


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

    async def test_a_time_without_a_zone_is_refused(self, store: Store) -> None:
        """It could not be compared with others, and nobody could tell when it was."""
        timeless = replace(said(), at=datetime(2026, 5, 4, 12))  # noqa: DTZ001 - that is what is refused
        with pytest.raises(ValueError, match="no zone"):
            await store.append("order-1", [happened(), happened(metadata=timeless)], expected=0)
        assert await whole(store) == []

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
