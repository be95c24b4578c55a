"""The contract of adoption: events of another log, kept as they are there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from twofold.errors import AdoptionRefused, Conflict, EventIdTaken, IdempotencyKeyReused
from twofold.events import NewEvent, Receipt, Recorded
from twofold.messages import Idempotency, Metadata
from twofold.store import Progress, Remembered, Store
from twofold.testing.contract_base import (
    HALF,
    HOSTILE,
    NULS,
    ContractBase,
    Seen,
    events_of,
    happened,
    said,
    seen_by,
    several,
    whole,
)
from twofold.testing.contract_history import check_log

ASKED = Idempotency("key", "request")
LONG_AGO = datetime(2019, 3, 4, 5, 6, 7, 890_123, tzinfo=UTC)


def adoptable(stream: str, version: int, position: int, *, metadata: Metadata | None = None) -> Recorded[bytes]:
    """An event as another log holds it."""
    return Recorded.of(
        id=uuid7(),
        stream=stream,
        version=version,
        position=position,
        type="Happened",
        schema=1,
        data=str(version).encode(),
        metadata=metadata or said(),
        recorded_at=LONG_AGO + timedelta(microseconds=position % 1_000_000),
    )


def another_log() -> list[Recorded[bytes]]:
    """A log with holes between its positions, as roll-backs leave them in some stores."""
    places = [("a", 1, 3), ("a", 2, 4), ("b", 1, 5), ("a", 3, 9), ("c", 1, 1000), ("b", 2, 1001), ("a", 4, 2**40)]
    return [adoptable(stream, version, position) for stream, version, position in places]


def asked_by(key: Idempotency) -> Metadata:
    """The metadata of a message that carried an idempotency key."""
    return replace(said(), idempotency=key)


class AdoptionContract(ContractBase):
    """Events come over from another log."""

    async def test_adopted_events_are_there_as_they_were(self, store: Store) -> None:
        log = another_log()
        await store.adopt(log)
        assert await whole(store) == log
        assert await store.head() == log[-1].position
        for stream in ("a", "b", "c"):
            assert await events_of(store, stream) == [event for event in log if event.stream == stream]
        assert [await store.find(event.id) for event in log] == log

    async def test_hostile_events_are_adopted_exactly(self, store: Store) -> None:
        log = [
            replace(
                adoptable(
                    text,
                    1,
                    number,
                    metadata=replace(asked_by(Idempotency(text, text)), actor=f"{text}\0", extra={text: "\0"}),
                ),
                type=text,
                schema=2**63 - number,
                data=text.encode(),
            )
            for number, text in enumerate(HOSTILE, start=1)
        ]
        await store.adopt(log)
        assert await whole(store) == log
        for text, event in zip(HOSTILE, log, strict=True):
            assert await store.recall(text) == Remembered(
                Idempotency(text, text), Receipt(text, 1, event.position), None
            )

    @pytest.mark.parametrize("size", [1, 2, 3])
    async def test_a_log_is_adopted_page_by_page(self, store: Store, size: int) -> None:
        log = another_log()
        for first in range(0, len(log), size):
            await store.adopt(log[first : first + size])
            assert await whole(store) == log[: first + size]
        await store.adopt([])
        assert await whole(store) == log

    async def test_bounds_count_events_and_not_positions(self, store: Store) -> None:
        log = another_log()
        await store.adopt(log)
        for after in (0, 2, 3, 4, 8, 9, 10, 999, 1001, 2**40 - 1, 2**40):
            left = [event for event in log if event.position > after]
            for limit in (None, 1, 2, 100):
                read = [event async for event in store.read_all(after=after, limit=limit)]
                assert read == left[:limit]

    async def test_appends_go_on_behind_what_was_adopted(self, store: Store) -> None:
        log = another_log()
        await store.adopt(log)
        with pytest.raises(Conflict) as caught:
            await store.append("a", several(1), expected=0)
        assert caught.value.actual == 4
        receipt = await store.append("a", several(2), expected=4)
        assert (receipt.version, receipt.position > log[-1].position) == (6, True)
        other = await store.append("d", several(1), expected=0)
        assert other.position > receipt.position
        after = await whole(store)
        assert after[: len(log)] == log
        check_log(after)
        assert await store.head() == other.position

    async def test_an_append_that_was_adopted_is_repeated(self, store: Store) -> None:
        log = another_log()
        await store.adopt(log)
        new = [
            NewEvent(id=event.id, type=event.type, schema=event.schema, data=event.data, metadata=event.metadata)
            for event in log[:2]
        ]
        assert await store.append("a", new, expected=0) == Receipt("a", 2, 4, repeated=True)
        with pytest.raises(EventIdTaken):
            await store.append("z", new, expected=0)

    async def test_who_waits_for_an_append_is_woken_by_an_adoption(self, store: Store) -> None:
        waiting = asyncio.create_task(store.wait_appended(after=2))
        await asyncio.sleep(0.01)
        await store.adopt([adoptable("a", 1, 3)])
        await self.soon(waiting)

    # --- all or none ------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("stream", "version", "position"),
        [
            ("z", 1, 2),  # below the head
            ("z", 1, 3),
            ("z", 1, 6),  # at the place of another one of these
            ("z", 1, 5),
            ("z", 1, 2**63),
            ("z", 2, 100),  # a stream without its first
            ("z", 0, 100),
            ("kept", 2, 100),  # a version that is there
            ("kept", 4, 100),  # a hole behind what is there
            ("new", 1, 100),  # a version that is among these
            ("new", 3, 100),  # a hole behind these
        ],
    )
    async def test_what_does_not_fit_is_refused_with_all_that_came_along(
        self, store: Store, stream: str, version: int, position: int
    ) -> None:
        await store.adopt([adoptable("kept", 1, 2), adoptable("kept", 2, 3)])
        before = await whole(store)
        good = adoptable("new", 1, 6, metadata=asked_by(ASKED))
        bad = adoptable(stream, version, position)
        with pytest.raises(AdoptionRefused):
            await store.adopt([good, bad])
        assert await whole(store) == before
        assert await store.head() == 3
        assert await store.find(good.id) is None
        assert await events_of(store, "new") == []
        assert await store.recall("key") is None
        await store.adopt([good])
        assert await whole(store) == [*before, good]

    @pytest.mark.parametrize("taken", ["in the log", "among these"])
    async def test_an_id_that_is_taken_is_refused_with_all_that_came_along(self, store: Store, taken: str) -> None:
        first, good = adoptable("kept", 1, 2), adoptable("new", 1, 6)
        await store.adopt([first])
        again = replace(adoptable("other", 1, 7), id_bytes=(first if taken == "in the log" else good).id.bytes)
        with pytest.raises(EventIdTaken) as caught:
            await store.adopt([good, again])
        assert caught.value.stream == "other"
        assert await whole(store) == [first]
        await store.append("order-1", several(1), expected=0)

    async def test_what_was_appended_here_is_not_overtaken(self, store: Store) -> None:
        receipt = await store.append("order-1", several(2), expected=0)
        for event in (adoptable("order-2", 1, receipt.position), adoptable("order-1", 1, receipt.position + 1)):
            with pytest.raises(AdoptionRefused):
                await store.adopt([event])
        await store.adopt([adoptable("order-1", 3, receipt.position + 1)])
        assert [event.version for event in await events_of(store, "order-1")] == [1, 2, 3]

    async def test_an_adoption_among_appends_is_whole_or_refused(self, store: Store) -> None:
        for number in range(10):
            head = await store.head()
            page = [adoptable(f"adopted-{number}", version, head + version) for version in range(1, 5)]
            appends = [store.append(f"order-{turn}", several(2), expected=None) for turn in range(4)]
            calls = [*appends[:2], store.adopt(page), *appends[2:]]
            outcomes = await self.soon(asyncio.gather(*calls, return_exceptions=True))
            assert all(isinstance(outcome, Receipt | AdoptionRefused | None) for outcome in outcomes)
            there = await events_of(store, f"adopted-{number}")
            assert there == ([] if isinstance(outcomes[2], AdoptionRefused) else page)
        check_log(await whole(store))

    async def test_names_that_no_store_could_keep_are_refused(self, store: Store) -> None:
        good = adoptable("a", 1, 3)
        for text in (HALF, *NULS):
            for wrong in (adoptable(text, 1, 4), replace(adoptable("b", 1, 4), type=text)):
                with pytest.raises(ValueError, match=r"NUL|UTF-8"):
                    await store.adopt([good, wrong])
        with pytest.raises(ValueError, match="schema"):
            await store.adopt([good, replace(adoptable("b", 1, 4), schema=2**63)])
        assert await whole(store) == []

    # --- what was answered ------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [1, 2, 3, 7])
    async def test_the_same_request_is_answered_as_it_was_there(self, store: Store, size: int) -> None:
        """Wherever the pages part the events of its append."""
        asked = asked_by(ASKED)
        log: Sequence[Recorded[bytes]] = [
            adoptable("a", 1, 3),
            *(adoptable("a", version, position, metadata=asked) for version, position in ((2, 5), (3, 6), (4, 8))),
            adoptable("a", 5, 9),
            adoptable("b", 1, 10),
        ]
        for first in range(0, len(log), size):
            await store.adopt(log[first : first + size])
        assert await store.recall("key") == Remembered(ASKED, Receipt("a", 4, 8), None)
        again = await store.append("a", several(1), expected=5, idempotency=ASKED)
        assert again == Receipt("a", 4, 8, repeated=True)
        with pytest.raises(IdempotencyKeyReused):
            await store.append("a", several(1), expected=5, idempotency=Idempotency("key", "other"))
        assert await whole(store) == log

    @pytest.mark.parametrize("size", [1, 2])
    async def test_the_first_answer_to_a_key_stands(self, store: Store, size: int) -> None:
        """Where another message has the same key, or the same message is met elsewhere, that is another append."""
        one, other = asked_by(ASKED), asked_by(ASKED)
        log = [
            adoptable("a", 1, 1, metadata=one),
            adoptable("a", 2, 2, metadata=other),
            adoptable("b", 1, 3, metadata=one),
            adoptable("a", 3, 4, metadata=one),
        ]
        for first in range(0, len(log), size):
            await store.adopt(log[first : first + size])
        assert await store.recall("key") == Remembered(ASKED, Receipt("a", 1, 1), None)

    async def test_an_answer_that_was_given_here_stands(self, store: Store) -> None:
        await store.refuse(ASKED, b"no")
        await store.adopt([adoptable("a", 1, 3, metadata=asked_by(ASKED))])
        assert await store.recall("key") == Remembered(ASKED, None, b"no")

    async def test_a_key_that_nobody_could_ask_with_keeps_no_answer(self, store: Store) -> None:
        log = [adoptable("a", 1, 3, metadata=asked_by(Idempotency("a\0b", "request")))]
        log += [adoptable("a", 2, 4, metadata=asked_by(Idempotency("key", "a\0b")))]
        await store.adopt(log)
        assert await whole(store) == log
        assert await store.recall("key") is None

    # --- views ------------------------------------------------------------------------------------------------------

    async def test_views_catch_up_with_what_was_adopted(self, store: Store) -> None:
        log = another_log()
        positions = [event.position for event in log]
        await store.adopt(log)
        view, promoted = Seen(store), Seen(store, "promoted")
        await store.reset("seen", view.create)
        assert await store.advance("seen", view.fold, limit=3) == Progress(5, 2**40)
        assert await store.advance("seen", view.fold, limit=2) == Progress(1000, 2**40)
        assert await store.advance("seen", view.fold, limit=100) == Progress(2**40, 2**40)
        assert await view.positions(store) == positions
        await store.reset("promoted", promoted.create)
        progress = await store.promote("promoted", promoted.fold, to="seen", swap=view.drop, limit=6)
        assert progress == Progress(1001, 2**40)
        progress = await store.promote("promoted", promoted.fold, to="seen", swap=view.drop, limit=6)
        assert progress == Progress(2**40, 2**40)
        assert await promoted.positions(store) == positions
        assert await store.checkpoint("seen") == 2**40

    async def test_an_inline_view_is_given_what_was_adopted_with_the_next_append(self, store: Store) -> None:
        view = await seen_by(store)
        log = another_log()
        await store.adopt(log)
        assert await view.positions(store) == []
        assert await store.checkpoint("seen") == 0
        receipt = await store.append("a", [happened(), happened()], expected=4)
        stored = await whole(store)
        assert await view.positions(store) == [event.position for event in stored]
        assert await store.checkpoint("seen") == receipt.position
        await store.append("a", several(1), expected=6)
        assert await view.positions(store) == [event.position for event in await whole(store)]

    async def test_an_inline_view_misses_nothing_of_an_adoption_among_appends(self, store: Store) -> None:
        view = await seen_by(store)
        adopted = 0
        for number in range(10):
            head = await store.head()
            page = [adoptable(f"adopted-{number}", version, head + 1 + version) for version in range(1, 4)]
            calls = [
                store.append("order-1", several(1), expected=None),
                store.adopt(page),
                store.append("order-2", several(2), expected=None),
            ]
            _, outcome, _ = await self.soon(asyncio.gather(*calls, return_exceptions=True))
            adopted += outcome is None
        log = await whole(store)
        assert len(log) == 3 * (10 + adopted)
        await store.append("order-1", several(1), expected=None)  # a fold is given the adopted with the next append
        assert await view.positions(store) == [recorded.position for recorded in await whole(store)]
