"""The class style of the first fold: on the same log it comes to the same as a decider with the same rules."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import assert_never

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
    OrderObject,
    category,
    codec,
    commands,
    order,
    order_histories,
)
from twofold import Conflict, Idempotency, Metadata, Receipt, Repository, Store
from twofold.stores.memory import MemoryStore

orders: Repository[OrderObject, OrderEvent] = Repository("order", OrderObject, codec)


def tell(held: OrderObject, command: OrderCommand) -> None:
    """The command as a call of the method of its name."""
    match command:
        case Open():
            held.open(command.customer)
        case AddItem():
            held.add_item(command.product, command.price, command.quantity)
        case CallOff():
            held.call_off(command.reason)
        case _:
            assert_never(command)


def opened(id: str = "1") -> OrderObject:
    created = OrderObject(id)
    created.open("ALFKI")
    return created


# --- by itself ------------------------------------------------------------------------------------------------------


def test_an_applied_event_takes_effect_and_is_uncommitted() -> None:
    created = opened()
    assert created.state == Order(is_open=True)
    assert created.uncommitted == (Opened("ALFKI"),)
    assert created.version == 0


def test_an_object_made_from_its_events_has_nothing_to_save() -> None:
    loaded = OrderObject.from_events("1", [Opened("ALFKI"), CalledOff("late")])
    assert loaded.state == Order(called_off=True)
    assert (loaded.version, loaded.uncommitted) == (2, ())


def test_a_refused_method_applies_nothing() -> None:
    created = OrderObject("1")
    with pytest.raises(NotOpen):
        created.add_item("Chai", Decimal(1), 1)
    assert created.uncommitted == ()


# --- on a store -----------------------------------------------------------------------------------------------------


async def test_what_was_saved_can_be_loaded(store: Store) -> None:
    created = opened()
    assert await orders.save(store, created, Metadata.new()) == Receipt("order-1", 1, 1)
    assert (created.version, created.uncommitted) == (1, ())
    created.add_item("Chai", Decimal("18.10"), 2)
    created.call_off("late")
    assert await orders.save(store, created, Metadata.new()) == Receipt("order-1", 3, 3)
    loaded = await orders.load(store, "1")
    assert loaded is not None
    assert (loaded.id, loaded.version, loaded.state) == ("1", 3, created.state)


async def test_what_never_was_is_none(store: Store) -> None:
    assert await orders.load(store, "1") is None


async def test_an_object_without_new_events_is_not_saved(store: Store) -> None:
    assert await orders.save(store, OrderObject("1"), Metadata.new()) is None
    assert await store.head() == 0


async def test_who_saves_second_is_told_so_and_keeps_the_events(store: Store) -> None:
    await orders.save(store, opened(), Metadata.new())
    one, other = await orders.load(store, "1"), await orders.load(store, "1")
    assert one is not None
    assert other is not None
    one.call_off("late")
    other.call_off("early")
    await orders.save(store, one, Metadata.new())
    with pytest.raises(Conflict) as error:
        await orders.save(store, other, Metadata.new())
    assert error.value.actual == 2
    assert other.uncommitted == (CalledOff("early"),)


async def test_two_new_objects_of_one_id_are_one_too_many(store: Store) -> None:
    await orders.save(store, opened(), Metadata.new())
    with pytest.raises(Conflict):
        await orders.save(store, opened(), Metadata.new())


async def test_a_repeated_request_answers_the_first_receipt_and_stores_nothing(store: Store) -> None:
    metadata = Metadata.new(idempotency=Idempotency("k", "f"))
    first = await orders.save(store, opened(), metadata)
    again = opened()
    repeated = await orders.save(store, again, metadata)
    assert first is not None
    assert repeated == Receipt(first.stream, first.version, first.position, repeated=True)
    assert again.uncommitted == (Opened("ALFKI"),)  # they were not stored: the object is to be loaded again
    assert await store.head() == 1


@pytest.mark.parametrize("name", ["", "customer-order"])
def test_a_repositorys_name_is_what_stands_before_the_first_dash(name: str) -> None:
    with pytest.raises(ValueError, match="has no '-'"):
        Repository(name, OrderObject, codec)


# --- beside a decider -----------------------------------------------------------------------------------------------


@given(order_histories)
def test_object_and_decider_fold_alike(events: Sequence[OrderEvent]) -> None:
    assert OrderObject.from_events("1", events).state == order.fold(events)


@given(order_histories, st.lists(commands, max_size=8))
async def test_object_and_decider_decide_alike(events: Sequence[OrderEvent], said: Sequence[OrderCommand]) -> None:
    async with MemoryStore() as objects, MemoryStore() as decided:
        for store in (objects, decided):
            if events:
                await store.append("order-1", [codec.encode(event, Metadata.new()) for event in events], expected=0)
        for command in said:
            outcomes: list[str | None] = [None, None]
            held = await orders.load(objects, "1") or OrderObject("1")
            try:
                tell(held, command)
                await orders.save(objects, held, Metadata.new())
            except NotOpen as refusal:
                outcomes[0] = str(refusal)
            try:
                await category().transact(decided, command, Metadata.new())
            except NotOpen as refusal:
                outcomes[1] = str(refusal)
            assert outcomes[0] == outcomes[1]
            kept = [[codec.decode(e).data async for e in store.read("order-1")] for store in (objects, decided)]
            assert kept[0] == kept[1]


async def test_both_styles_may_share_a_stream(store: Store) -> None:
    await orders.save(store, opened(), Metadata.new())
    await category().transact(store, AddItem("1"), Metadata.new())
    held = await orders.load(store, "1")
    assert held is not None
    held.call_off("late")
    await orders.save(store, held, Metadata.new())
    assert (await category().load(store, "1")).state == Order(called_off=True)
    assert [codec.decode(recorded).data async for recorded in store.read("order-1")][1] == ItemAdded(
        "Chai", Decimal("18.10")
    )


async def test_what_is_applied_while_others_are_stored_is_stored_next(store: Store) -> None:
    held = OrderObject("1")
    tell(held, Open("1", "me"))
    saving = asyncio.create_task(orders.save(store, held, Metadata.new()))
    await asyncio.sleep(0)
    tell(held, AddItem("1", "tea", Decimal(1)))
    await saving
    assert len(held.uncommitted) == 1
    receipt = await orders.save(store, held, Metadata.new())
    assert receipt is not None
    assert receipt.version == 2
