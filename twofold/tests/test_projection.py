"""A projection is a pure fold: all that is kept of it later must come to what is folded here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from small_orders import (
    EVERYTHING,
    Bought,
    BoughtProducts,
    CalledOff,
    ItemAdded,
    Opened,
    OpenOrder,
    OpenOrders,
    OrderEvent,
    codec,
    order_histories,
    source,
)
from twofold import Metadata, NewEvent, Projection, Recorded, Store
from twofold.errors import EventUnknown
from twofold.projection import fold, live
from twofold.stores.memory import MemoryStore
from twofold.testing.history import History
from twofold.testing.strategies import logs

OPENED = Opened("ALFKI")
CHAI = ItemAdded("Chai", Decimal("18.10"))
LATE = CalledOff("late")
two_orders = logs({"order-1": order_histories, "order-2": order_histories})


def history(*events: OrderEvent, stream: str = "order-1") -> Sequence[Recorded[OrderEvent]]:
    return History[OrderEvent]().then(*events, stream=stream).events


def test_events_make_change_and_delete_a_row() -> None:
    assert fold(OpenOrders(), history(OPENED)) == {"1": OpenOrder("ALFKI")}
    assert fold(OpenOrders(), history(OPENED, CHAI)) == {"1": OpenOrder("ALFKI", ("Chai",), Decimal("18.10"))}
    assert fold(OpenOrders(), history(OPENED, CHAI, LATE)) == {}
    assert fold(OpenOrders(), history(OPENED, CHAI, LATE, Opened("BERGS"))) == {"1": OpenOrder("BERGS")}


def test_an_event_may_concern_several_rows_or_none() -> None:
    rows = fold(BoughtProducts(), history(OPENED, CHAI, ItemAdded("Tofu", Decimal(1), 4), LATE))
    assert rows == {"Chai": Bought(1, "order-1"), "Tofu": Bought(4, "order-1"), EVERYTHING: Bought(5, "order-1")}


def test_a_key_that_is_named_twice_is_one_row_and_one_change() -> None:
    class Twice(BoughtProducts):
        def key(self, recorded: Recorded[OrderEvent], /) -> Sequence[str] | None:
            return [EVERYTHING, EVERYTHING] if isinstance(recorded.data, ItemAdded) else None

    assert fold(Twice(), history(OPENED, CHAI)) == {EVERYTHING: Bought(1, "order-1")}


def test_the_empty_key_is_a_key() -> None:
    class Single(OpenOrders):
        def key(self, recorded: Recorded[OrderEvent], /) -> str:
            return ""

    assert fold(Single(), history(OPENED)) == {"": OpenOrder("ALFKI")}


def test_what_a_projection_does_not_say_is_asked_of_it() -> None:
    with pytest.raises(NotImplementedError):
        fold(Projection[OrderEvent, OpenOrder](), history(OPENED))


@given(two_orders, st.data())
def test_folding_goes_on_where_it_stopped_and_leaves_what_it_was_given(
    log: History[OrderEvent], data: st.DataObject
) -> None:
    half = data.draw(st.integers(0, len(log.events)))
    first = fold(OpenOrders(), log.events[:half])
    kept = dict(first)
    assert fold(OpenOrders(), log.events[half:], first) == fold(OpenOrders(), log.events)
    assert first == kept


# --- live -----------------------------------------------------------------------------------------------------------


async def stored(events: Sequence[Recorded[OrderEvent]]) -> AsyncIterator[Recorded[bytes]]:
    for position, recorded in enumerate(events, start=1):
        new = codec.encode(recorded.data, Metadata.new())
        yield Recorded.of(
            id=new.id,
            stream=recorded.stream,
            version=recorded.version,
            position=position,
            type=new.type,
            schema=new.schema,
            data=new.data,
            metadata=new.metadata,
            recorded_at=recorded.recorded_at,
        )


@given(two_orders)
async def test_a_row_folded_when_asked_is_the_row_of_the_whole_fold(log: History[OrderEvent]) -> None:
    rows = fold(OpenOrders(), log.events)
    for key in ("1", "2", "3"):
        assert await live(OpenOrders(), source, stored(log.events), key) == rows.get(key)
    totals = fold(BoughtProducts(), log.events)
    assert await live(BoughtProducts(), source, stored(log.events), EVERYTHING) == totals.get(EVERYTHING)


async def test_a_row_can_be_folded_as_it_was_at_a_version(store: Store) -> None:
    new = [codec.encode(event, Metadata.new()) for event in (OPENED, CHAI, LATE)]
    await store.append("order-1", new, expected=0)
    views: list[OpenOrder | None] = [None, OpenOrder("ALFKI"), OpenOrder("ALFKI", ("Chai",), Decimal("18.10")), None]
    for version, expected in enumerate(views):
        view = await live(OpenOrders(), source, store.read("order-1", until=version), "1")
        assert view == expected


# --- the source -----------------------------------------------------------------------------------------------------


def mystery() -> NewEvent:
    metadata = Metadata.new()
    return NewEvent(id=metadata.message_id, type="Mystery", schema=1, data=b"{}", metadata=metadata)


async def test_what_belongs_to_other_categories_is_not_even_read() -> None:
    async with MemoryStore() as store:
        await store.append("customer-1", [mystery()], expected=0)
        await store.append("orders-1", [mystery()], expected=0)
        await store.append("order-1", [codec.encode(OPENED, Metadata.new())], expected=0)
        assert await live(OpenOrders(), source, store.read_all(), "1") == OpenOrder("ALFKI")


async def test_an_unknown_event_of_its_own_category_stops_the_fold() -> None:
    async with MemoryStore() as store:
        await store.append("order-1", [mystery()], expected=0)
        with pytest.raises(EventUnknown, match="Mystery"):
            await live(OpenOrders(), source, store.read_all(), "1")
