"""The first fold: a command is decided on the stream as it is, whoever else writes, and takes effect once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from small_orders import (
    AddItem,
    CalledOff,
    CallOff,
    ItemAdded,
    NotOpen,
    Open,
    Opened,
    Order,
    OrderCommand,
    OrderEvent,
    category,
    codec,
    commands,
    decide,
    evolve,
    id_of,
    order,
    order_histories,
)
from twofold import (
    Category,
    Codec,
    Conflict,
    Decider,
    Idempotency,
    Metadata,
    NewEvent,
    Receipt,
    Recorded,
    Snapshots,
    Store,
)
from twofold.errors import EventTypeMissing, EventUnreadable, IdempotencyKeyReused, RequestRefused, StoreBusy
from twofold.store import Snapshot
from twofold.stores.memory import MemoryStore


class WatchedStore(MemoryStore):
    """Counts what is read and appended, and lets others run before an append looks at the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[int, int]] = []  # from after which version on, and how many events
        self.appends = 0

    async def read_pages(
        self, stream: str, *, after: int = 0, until: int | None = None
    ) -> AsyncIterator[Sequence[Recorded[bytes]]]:
        number = 0
        async for page in super().read_pages(stream, after=after, until=until):
            number += len(page)
            yield page
        self.reads.append((after, number))

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: int | None,
        idempotency: Idempotency | None = None,
    ) -> Receipt:
        await asyncio.sleep(0)
        receipt = await super().append(stream, events, expected=expected, idempotency=idempotency)
        self.appends += 1
        return receipt


def keyed(key: str, fingerprint: str = "f") -> Metadata:
    return Metadata.new(idempotency=Idempotency(key, fingerprint))


async def stored(store: Store, id: str = "1") -> list[OrderEvent]:
    return [codec.decode(recorded).data async for recorded in store.read(f"order-{id}")]


async def say(store: Store, *said: OrderCommand) -> Receipt:
    """What another process does: each command through a category with an empty cache."""
    receipts = [await category().transact(store, command, Metadata.new()) for command in said]
    return receipts[-1]


def filled(items: int) -> Sequence[OrderCommand]:
    return [Open("1"), *(AddItem("1") for _ in range(items))]


# --- deciding -------------------------------------------------------------------------------------------------------


async def test_what_is_decided_is_appended(store: Store) -> None:
    orders = category()
    receipt = await orders.transact(store, Open("1"), Metadata.new())
    assert receipt == Receipt("order-1", 1, 1)
    assert await orders.transact(store, AddItem("1"), Metadata.new()) == Receipt("order-1", 2, 2)
    assert await stored(store) == [Opened("ALFKI"), ItemAdded("Chai", Decimal("18.10"))]


async def test_events_carry_the_metadata_of_their_command(store: Store) -> None:
    metadata = Metadata.new(actor="ada")
    await category().transact(store, Open("1"), metadata)
    assert [recorded.metadata async for recorded in store.read("order-1")] == [metadata]


async def test_a_refusal_stores_nothing_and_is_the_domains_own_error(store: Store) -> None:
    with pytest.raises(NotOpen) as error:
        await category().transact(store, AddItem("1"), Metadata.new())
    assert not error.value.called_off
    assert await store.head() == 0


async def test_a_command_that_has_taken_effect_answers_where_the_stream_is(store: Store) -> None:
    orders = category()
    await say(store, Open("1"), Open("2"), CallOff("1"))
    for _ in range(2):  # fresh, then from the cache
        assert await orders.transact(store, CallOff("1"), Metadata.new()) == Receipt("order-1", 2, 3)
    assert await store.head() == 3


async def test_a_new_event_that_cannot_be_folded_is_never_stored(store: Store) -> None:
    def forgetful(state: Order, event: OrderEvent) -> Order:
        if isinstance(event, CalledOff):
            raise TypeError("what is this?")
        return evolve(state, event)

    orders = Category("order", Decider(decide, forgetful, Order()), codec, id_of)
    await orders.transact(store, Open("1"), Metadata.new())
    with pytest.raises(TypeError, match="what is this"):
        await orders.transact(store, CallOff("1"), Metadata.new())
    assert await stored(store) == [Opened("ALFKI")]


async def test_an_event_that_is_not_in_the_codecs_table_is_never_stored(store: Store) -> None:
    class Strange(Opened):
        pass

    def strange(command: OrderCommand, state: Order) -> Sequence[OrderEvent]:
        return [Strange("x")]

    orders = Category("order", Decider(strange, evolve, Order()), codec, id_of)
    with pytest.raises(EventTypeMissing):
        await orders.transact(store, Open("1"), Metadata.new())
    assert await store.head() == 0


def test_none_may_be_a_state() -> None:
    def toggle(state: bool | None, event: str) -> bool | None:
        return None if event == "forget" else event == "on"

    switch: Decider[str, bool | None, str] = Decider(lambda command, _state: [command], toggle, initial=True)
    assert switch.fold([]) is True
    assert switch.fold(["forget"]) is None
    assert switch.fold([], None) is None


@pytest.mark.parametrize("name", ["", "customer-order", "-"])
def test_a_category_is_what_stands_before_the_first_dash(name: str) -> None:
    with pytest.raises(ValueError, match="has no '-'"):
        Category(name, order, codec, id_of)


async def test_an_id_may_have_dashes(store: Store) -> None:
    await say(store, Open("a-b"), Open("a"))
    assert (await category().load(store, "a-b")).version == 1


# --- conflicts ------------------------------------------------------------------------------------------------------


async def test_after_a_conflict_only_the_missed_events_are_folded() -> None:
    async with WatchedStore() as store:
        orders = category()
        await orders.transact(store, Open("1"), Metadata.new())
        for _ in range(20):
            await orders.transact(store, AddItem("1"), Metadata.new())
        await say(store, AddItem("1"), AddItem("1"), AddItem("1"))
        store.reads.clear()
        receipt = await orders.transact(store, CallOff("1"), Metadata.new())
        assert receipt.version == 25
        assert store.reads == [(21, 3)]


async def test_what_the_others_did_may_lead_to_another_decision() -> None:
    async with WatchedStore() as store:
        orders = category()
        await orders.transact(store, Open("1"), Metadata.new())
        await say(store, CallOff("1"))
        with pytest.raises(NotOpen) as error:
            await orders.transact(store, AddItem("1"), Metadata.new())
        assert error.value.called_off


async def test_one_who_is_always_too_late_gives_up_after_so_many_attempts() -> None:
    class Overtaken(WatchedStore):
        """Before each append of the order, somebody else is faster."""

        async def append(
            self,
            stream: str,
            events: Sequence[NewEvent],
            *,
            expected: int | None,
            idempotency: Idempotency | None = None,
        ) -> Receipt:
            await super().append(stream, [codec.encode(ItemAdded("Tofu", Decimal(1)), Metadata.new())], expected=None)
            return await super().append(stream, events, expected=expected, idempotency=idempotency)

    seen: list[int] = []

    def noting(command: OrderCommand, state: Order) -> Sequence[OrderEvent]:
        seen.append(state.items)
        return decide(command, state)

    async with Overtaken() as store:
        await MemoryStore.append(store, "order-1", [codec.encode(Opened("ALFKI"), Metadata.new())], expected=0)
        orders = Category("order", Decider(noting, evolve, Order()), codec, id_of)
        with pytest.raises(Conflict) as error:
            await orders.transact(store, AddItem("1"), Metadata.new(), attempts=4)
        assert (error.value.expected, error.value.actual) == (4, 5)
        assert seen == [0, 1, 2, 3]
        assert ItemAdded("Chai", Decimal("18.10")) not in await stored(store)


async def test_fifty_concurrent_commands_on_one_stream_are_each_decided_once(store: Store) -> None:
    orders = category()
    await orders.transact(store, Open("1"), Metadata.new())
    adding = [orders.transact(store, AddItem("1", quantity=n), Metadata.new(), attempts=51) for n in range(1, 51)]
    receipts = await asyncio.gather(*adding)
    assert sorted(receipt.version for receipt in receipts) == list(range(2, 52))
    for n, receipt in enumerate(receipts, start=1):
        assert (await stored(store))[receipt.version - 1] == ItemAdded("Chai", Decimal("18.10"), n)
    assert (await category().load(store, "1")).state.items == sum(range(1, 51))
    assert await orders.transact(store, CallOff("1"), Metadata.new()) == Receipt("order-1", 52, 52)


async def test_of_fifty_that_are_not_decided_again_one_wins_and_none_is_lost_in_silence() -> None:
    async with WatchedStore() as store:
        orders = category()
        await orders.transact(store, Open("1"), Metadata.new())
        adding = [orders.transact(store, AddItem("1"), Metadata.new(), attempts=1) for _ in range(50)]
        outcomes = await asyncio.gather(*adding, return_exceptions=True)
        assert sum(isinstance(outcome, Receipt) for outcome in outcomes) == 1
        assert [outcome.actual for outcome in outcomes if isinstance(outcome, Conflict)] == [2] * 49
        assert await store.head() == 2


async def test_fifty_who_want_the_same_do_it_once(store: Store) -> None:
    await say(store, Open("1"))
    calling = [category().transact(store, CallOff("1", f"{n}"), Metadata.new(), attempts=51) for n in range(50)]
    receipts = await asyncio.gather(*calling)
    assert {receipt.version for receipt in receipts} == {2}
    assert await store.head() == 2


@pytest.mark.parametrize("cached", [True, False])
async def test_a_command_with_an_expected_version_is_decided_on_that_one_only(store: Store, cached: bool) -> None:
    orders = category()
    await (orders if cached else category()).transact(store, Open("1"), Metadata.new())
    assert (await orders.transact(store, AddItem("1"), Metadata.new(), expected=1)).version == 2
    for expected in (0, 1, 3):
        for command in (AddItem("1"), Open("1"), CallOff("1")):
            with pytest.raises(Conflict) as error:
                await orders.transact(store, command, Metadata.new(), expected=expected)
            assert (error.value.expected, error.value.actual) == (expected, 2)
    assert await store.head() == 2


async def test_an_expected_version_is_held_against_the_stream_and_not_against_the_cache(store: Store) -> None:
    orders = category()
    await orders.transact(store, Open("1"), Metadata.new())
    await say(store, AddItem("1"))
    with pytest.raises(Conflict) as error:
        await orders.transact(store, CallOff("1"), Metadata.new(), expected=1)
    assert error.value.actual == 2
    await say(store, AddItem("1"))
    assert (await orders.transact(store, CallOff("1"), Metadata.new(), expected=3)).version == 4


async def test_of_two_with_the_same_expected_version_one_wins() -> None:
    async with WatchedStore() as store:
        orders = category()
        await orders.transact(store, Open("1"), Metadata.new())
        both = [orders.transact(store, AddItem("1"), Metadata.new(), expected=1) for _ in range(2)]
        outcomes = await asyncio.gather(*both, return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Receipt"]


# --- the cache ------------------------------------------------------------------------------------------------------


async def test_a_stream_that_is_in_the_cache_is_not_read() -> None:
    async with WatchedStore() as store:
        orders = category()
        await orders.transact(store, Open("1"), Metadata.new())
        store.reads.clear()
        await orders.transact(store, AddItem("1"), Metadata.new())
        await orders.transact(store, AddItem("1"), Metadata.new())
        assert store.reads == []


async def test_a_stale_state_never_leads_to_a_wrong_refusal(store: Store) -> None:
    orders = category()
    await orders.transact(store, Open("1"), Metadata.new())
    await orders.transact(store, CallOff("1"), Metadata.new())
    await say(store, Open("1"))
    assert (await orders.transact(store, AddItem("1"), Metadata.new())).version == 4


async def test_a_stale_state_never_leads_to_a_wrong_nothing_to_do(store: Store) -> None:
    orders = category()
    await orders.transact(store, Open("1"), Metadata.new())
    await orders.transact(store, CallOff("1"), Metadata.new())
    await say(store, Open("1"))
    assert (await orders.transact(store, CallOff("1"), Metadata.new())).version == 4
    await say(store, Open("1"))
    assert (await orders.transact(store, CallOff("1"), keyed("again"))).version == 6


async def test_a_right_refusal_tells_of_the_state_as_it_is(store: Store) -> None:
    orders = category()
    with pytest.raises(NotOpen):
        await orders.transact(store, AddItem("1"), Metadata.new())
    await orders.transact(store, Open("1"), Metadata.new())
    await say(store, CallOff("1"))
    with pytest.raises(NotOpen) as error:
        await orders.transact(store, AddItem("1"), Metadata.new())
    assert error.value.called_off


async def test_the_cache_is_bounded_and_keeps_what_was_used_last() -> None:
    async with WatchedStore() as store:
        orders = replace(category(), cached=2)
        for command in (Open("1"), Open("2"), AddItem("1"), Open("3")):
            await orders.transact(store, command, Metadata.new())
        store.reads.clear()
        await orders.transact(store, AddItem("1"), Metadata.new())
        await orders.transact(store, AddItem("3"), Metadata.new())
        assert store.reads == []
        await orders.transact(store, AddItem("2"), Metadata.new())
        assert store.reads == [(0, 1)]


async def test_without_a_cache_all_is_the_same_and_read_each_time() -> None:
    async with WatchedStore() as store:
        orders = replace(category(), cached=0)
        await orders.transact(store, Open("1"), Metadata.new())
        await orders.transact(store, AddItem("1"), Metadata.new())
        assert store.reads == [(0, 0), (0, 1)]


async def test_two_stores_have_nothing_to_do_with_each_other(store: Store) -> None:
    orders = category()
    async with MemoryStore() as other:
        await orders.transact(store, Open("1"), Metadata.new())
        with pytest.raises(NotOpen):
            await orders.transact(other, AddItem("1"), Metadata.new())


@given(st.lists(st.tuples(st.booleans(), commands), max_size=20))
async def test_two_processes_that_take_turns_do_what_one_would(said: Sequence[tuple[bool, OrderCommand]]) -> None:
    async with MemoryStore() as store, MemoryStore() as alone:
        one, other, only = category(), category(), replace(category(), cached=0)
        for by_one, command in said:
            outcomes: list[Receipt | str] = []
            for orders, into in ((one if by_one else other, store), (only, alone)):
                try:
                    outcomes.append(await orders.transact(into, command, Metadata.new()))
                except NotOpen as refusal:
                    outcomes.append(str(refusal))
            assert outcomes[0] == outcomes[1]
        assert await stored(store) == await stored(alone)


# --- idempotency ----------------------------------------------------------------------------------------------------


async def test_a_repeated_request_answers_the_first_receipt(store: Store) -> None:
    orders = category()
    await orders.transact(store, Open("1"), Metadata.new())
    first = await orders.transact(store, AddItem("1"), keyed("k"))
    assert not first.repeated
    await orders.transact(store, AddItem("1"), Metadata.new())
    for again in (orders, category()):
        repeated = await again.transact(store, AddItem("1"), keyed("k"))
        assert repeated == msgspec.structs.replace(first, repeated=True)
    assert await store.head() == 3


async def test_a_repeated_request_answers_the_first_receipt_though_it_would_be_refused_now(store: Store) -> None:
    orders = category()
    await orders.transact(store, Open("1"), Metadata.new())
    first = await orders.transact(store, AddItem("1"), keyed("k"))
    await orders.transact(store, CallOff("1"), Metadata.new())
    for again in (orders, category()):
        assert await again.transact(store, AddItem("1"), keyed("k")) == Receipt(*_told(first), repeated=True)
    with pytest.raises(NotOpen):
        await orders.transact(store, AddItem("1"), keyed("other"))


async def test_a_repeated_request_answers_the_first_receipt_though_its_expected_version_is_past(store: Store) -> None:
    orders = category()
    await orders.transact(store, Open("1"), Metadata.new())
    first = await orders.transact(store, AddItem("1"), keyed("k"), expected=1)
    for again in (orders, category()):
        repeated = await again.transact(store, AddItem("1"), keyed("k"), expected=1)
        assert repeated == Receipt(*_told(first), repeated=True)
    with pytest.raises(Conflict):
        await orders.transact(store, AddItem("1"), keyed("other"), expected=1)


async def test_a_request_that_changed_nothing_is_remembered_too(store: Store) -> None:
    orders = category()
    await orders.transact(store, Open("1"), Metadata.new())
    first = await orders.transact(store, Open("1"), keyed("k"))
    assert first == Receipt("order-1", 1, 1)
    await orders.transact(store, CallOff("1"), Metadata.new())
    # Decided anew it would open the order again.
    assert await orders.transact(store, Open("1"), keyed("k")) == Receipt("order-1", 1, 1, repeated=True)
    assert await store.head() == 2


async def test_the_state_after_a_repeated_request_is_not_made_up(store: Store) -> None:
    orders = snapshotting(every=1)  # a wrong state would be seen in the snapshot
    await orders.transact(store, Open("1"), Metadata.new())
    await orders.transact(store, AddItem("1"), keyed("k"))
    repeated = await orders.transact(store, AddItem("1"), keyed("k"))
    assert repeated.repeated
    assert await orders.load(store, "1") == await category().load(store, "1")
    assert (await orders.transact(store, AddItem("1"), Metadata.new())).version == 3


async def test_a_key_with_another_request_is_refused(store: Store) -> None:
    orders = category()
    await orders.transact(store, Open("1"), keyed("k"))
    for command in (AddItem("1"), Open("1"), AddItem("2")):  # would append, would do nothing, would be refused
        with pytest.raises(IdempotencyKeyReused):
            await orders.transact(store, command, keyed("k", "other"))
    assert await store.head() == 1


async def test_a_request_that_was_refused_stays_refused_with_its_first_answer(store: Store) -> None:
    await store.refuse(Idempotency("k", "f"), b"no")
    orders = category()
    await orders.transact(store, Open("1"), Metadata.new())
    for command in (AddItem("1"), Open("1"), AddItem("2")):
        with pytest.raises(RequestRefused) as error:
            await orders.transact(store, command, keyed("k"))
        assert error.value.refusal == b"no"
    assert await store.head() == 1


async def test_a_hundred_concurrent_repeats_do_it_once_and_answer_the_same(store: Store) -> None:
    orders = category()
    asked = [orders.transact(store, Open("1"), keyed("k")) for _ in range(50)]
    asked += [category().transact(store, Open("1"), keyed("k")) for _ in range(50)]
    receipts = await asyncio.gather(*asked)
    assert {(receipt.stream, receipt.version, receipt.position) for receipt in receipts} == {("order-1", 1, 1)}
    assert sum(not receipt.repeated for receipt in receipts) == 1
    assert await store.head() == 1


def _told(receipt: Receipt) -> tuple[str, int, int]:
    return receipt.stream, receipt.version, receipt.position


# --- states of old, and snapshots -----------------------------------------------------------------------------------


@given(order_histories)
async def test_a_thing_can_be_loaded_as_it_was_at_each_version(events: Sequence[OrderEvent]) -> None:
    async with MemoryStore() as store:
        if events:
            new = [codec.encode(event, Metadata.new()) for event in events]
            await store.append("order-1", new, expected=0)
        for at in range(len(events) + 1):
            folded = await category().load(store, "1", at=at)
            assert (folded.state, folded.version, folded.position) == (order.fold(events[:at]), at, at)
        assert await category().load(store, "1") == await category().load(store, "1", at=len(events) + 5)


async def test_what_never_was_has_version_0(store: Store) -> None:
    assert await category().load(store, "1") == (Order(), 0, 0)


def snapshotting(every: int = 3, schema: int = 1) -> Category[OrderCommand, Order, OrderEvent]:
    return replace(category(), snapshots=Snapshots(Order, every=every, schema=schema))


async def test_a_snapshot_is_kept_every_so_many_events(store: Store) -> None:
    orders = snapshotting(every=3)
    versions: list[int | None] = []
    for command in filled(6):
        await orders.transact(store, command, Metadata.new())
        snapshot = await store.load_snapshot("order-1")
        versions.append(snapshot and snapshot.version)
    assert versions == [None, None, 3, 3, 3, 6, 6]


async def test_a_snapshot_and_what_came_after_it_are_the_full_fold() -> None:
    async with WatchedStore() as store:
        orders = snapshotting(every=3)
        for command in filled(6):
            await orders.transact(store, command, Metadata.new())
        store.reads.clear()
        assert await snapshotting().load(store, "1") == await category().load(store, "1")
        assert store.reads == [(6, 1), (0, 7)]
        store.reads.clear()
        assert (await snapshotting().transact(store, CallOff("1"), Metadata.new())).version == 8
        assert store.reads == [(6, 1)]


async def test_a_snapshot_of_another_schema_is_passed_over() -> None:
    async with WatchedStore() as store:
        for command in filled(3):
            await snapshotting().transact(store, command, Metadata.new())
        store.reads.clear()
        assert (await snapshotting(schema=2).load(store, "1")).version == 4
        assert store.reads == [(0, 4)]
        await snapshotting(every=5, schema=2).transact(store, AddItem("1"), Metadata.new())
        snapshot = await store.load_snapshot("order-1")
        assert snapshot is not None
        assert (snapshot.version, snapshot.schema) == (5, 2)


async def test_a_snapshot_of_another_shape_costs_time_and_never_truth(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await say(store, Open("1"), AddItem("1"))
    await store.save_snapshot("order-1", Snapshot(2, 2, 1, b'{"is_open": "yes"}'))
    assert await snapshotting().load(store, "1") == await category().load(store, "1")
    assert "is of another shape" in caplog.text


async def test_an_old_version_is_never_taken_from_a_snapshot(store: Store) -> None:
    for command in filled(3):
        await snapshotting().transact(store, command, Metadata.new())
    assert (await snapshotting().load(store, "1", at=2)).state == Order(True, False, 1, Decimal("18.10"))


async def test_a_snapshot_that_cannot_be_saved_takes_nothing_back(caplog: pytest.LogCaptureFixture) -> None:
    class NoRoom(MemoryStore):
        async def save_snapshot(self, stream: str, snapshot: Snapshot) -> None:
            raise StoreBusy("not now")

    async with NoRoom() as store:
        with caplog.at_level(logging.ERROR):
            receipt = await snapshotting(every=1).transact(store, Open("1"), Metadata.new())
        assert receipt.version == 1
        assert "no snapshot of order-1 could be saved" in caplog.text


@given(order_histories)
async def test_with_snapshots_and_without_the_same_is_decided(events: Sequence[OrderEvent]) -> None:
    async with MemoryStore() as store:
        for version, event in enumerate(events):
            await store.append("order-1", [codec.encode(event, Metadata.new())], expected=version)
            folded = await category().load(store, "1")
            if version % 3 == 2:
                state = msgspec.json.encode(folded.state)
                await store.save_snapshot("order-1", Snapshot(folded.version, folded.position, 1, state))
            assert await snapshotting().load(store, "1") == folded


# --- what can never be read again is never stored ------------------------------------------------------------------


class Weighed(msgspec.Struct, frozen=True):
    weight: float


class Weigh(msgspec.Struct, frozen=True):
    weight: float


def weigh(command: Weigh, total: float) -> Sequence[Weighed]:
    return (Weighed(weight) for weight in (command.weight,))  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  # what people do


weights: Category[Weigh, float, Weighed] = Category(
    "weight",
    Decider(weigh, lambda total, event: total + event.weight, 0.0),
    codec=Codec({"Weighed": Weighed}),
    id_of=lambda _command: "1",
)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), "3"])
async def test_an_event_that_could_not_be_read_again_is_not_stored(store: Store, weight: float) -> None:
    with pytest.raises(EventUnreadable):
        await weights.transact(store, Weigh(weight), Metadata.new())
    assert await store.head() == 0
    assert (await weights.transact(store, Weigh(2.5), Metadata.new())).version == 1


async def test_a_decision_may_be_any_iterable_and_is_gone_through_once(store: Store) -> None:
    receipt = await weights.transact(store, Weigh(1.5), keyed("k"))
    assert receipt.version == await store.head() == 1
    assert (await weights.load(store, "1")).state == 1.5


def test_a_snapshot_every_zero_events_is_refused() -> None:
    with pytest.raises(ValueError, match="every 0 events"):
        Snapshots(Order, every=0)


async def test_a_store_that_was_emptied_is_not_taken_for_the_one_that_was_read() -> None:
    store = MemoryStore()
    async with store:
        for _ in range(3):
            await weights.transact(store, Weigh(1.0), Metadata.new())
    async with store:
        assert (await weights.transact(store, Weigh(1.0), Metadata.new())).version == 1
