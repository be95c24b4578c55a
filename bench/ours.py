"""Twofold's sides of the comparisons of the library, by its public API and with its defaults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from itertools import pairwise
from typing import ClassVar, assert_never

import msgspec
import sqlalchemy as sa
from uuid_utils.compat import uuid7

from bench.comparing import Place
from bench.library import ADDRESS, CURRENCY, CUSTOMER, DATA, ITEMS, STATUSES
from orders.domain import (
    CreateOrder,
    Item,
    OrderCancelled,
    OrderCreated,
    OrderEvent,
    OrderStatusUpdated,
    Status,
    UpdateOrderStatus,
    codec,
)
from orders.domain import orders as _orders
from twofold import Column, Metadata, NewEvent, Projection, Recorded, Source, Store
from twofold.connect import connect
from twofold.running import running
from twofold.views import TableView, Views

AT_ONCE = 64  # appends that wait together while a log is filled

_ITEMS = tuple(Item(product, quantity, price, name) for product, name, quantity, price in ITEMS)
_STATUSES = tuple(map(Status, STATUSES))
_LIFE: tuple[OrderEvent, ...] = (
    OrderCreated(CUSTOMER, _ITEMS, ADDRESS, CURRENCY),
    *(OrderStatusUpdated(old, new) for old, new in pairwise(_STATUSES)),
)


def _connect(place: Place) -> AbstractAsyncContextManager[Store]:
    return connect(place.postgres or f"sqlite:///{place.folder / 'log.db'}")


async def _at_once(count: int, times: int, work: Callable[[str], Awaitable[object]]) -> float:
    """Do the work so many times, with an id of its own each, so many at once; how often that was in a second."""

    async def one(share: int) -> None:
        for _ in range(share):
            await work(str(uuid7()))

    await asyncio.gather(*(one(times // count // 10) for _ in range(count)))  # warms up
    began = time.perf_counter()
    await asyncio.gather(*(one(times // count) for _ in range(count)))
    return times // count * count / (time.perf_counter() - began)


async def append(place: Place, *, writers: int, events: int) -> float:
    """Events a second, each an append of its own to a new stream, encoded before."""
    async with _connect(place) as store:

        async def one(id: str) -> None:
            event = NewEvent(id=uuid7(), type="OrderCreated", schema=1, data=DATA, metadata=Metadata.new())
            await store.append(f"order-{id}", [event], expected=0)

        return await _at_once(writers, events, one)


async def change(place: Place, *, at_once: int, orders: int) -> float:
    """Orders a second that are created and then changed three times, each change a command that is decided on."""
    async with _connect(place) as store:

        async def one(id: str) -> None:
            create = CreateOrder(id, CUSTOMER, _ITEMS, ADDRESS, CURRENCY)
            await _orders.transact(store, create, Metadata.new(), new=True)
            for status in _STATUSES[1:]:
                await _orders.transact(store, UpdateOrderStatus(id, status), Metadata.new())

        return await _at_once(at_once, orders, one)


async def rehydrate(place: Place, *, length: int, loads: int) -> float:
    """Events a second that are read, decoded and folded to the state of one order, which has so many of them."""
    async with _connect(place) as store:
        created, *updates = _LIFE
        life = [created, *(updates[n % len(updates)] for n in range(length - 1))]
        metadata = Metadata.new()
        await store.append("order-1", [codec.encode(event, metadata) for event in life], expected=0)
        await _orders.load(store, "1")
        began = time.perf_counter()
        for _ in range(loads):
            await _orders.load(store, "1")
        return length * loads / (time.perf_counter() - began)


async def _fill(store: Store, count: int) -> int:
    """So many orders, each with its four events; how many events that are."""

    async def one(share: int) -> None:
        for _ in range(share):
            metadata = Metadata.new()
            events = [codec.encode(event, metadata) for event in _LIFE]
            await store.append(f"order-{uuid7()}", events, expected=0)

    await asyncio.gather(*(one(count // AT_ONCE) for _ in range(AT_ONCE)))
    return count // AT_ONCE * AT_ONCE * len(_LIFE)


async def read_log(place: Place, *, orders: int, times: int) -> float:
    """Events a second that are read from the first to the last and decoded."""
    async with _connect(place) as store:
        count = await _fill(store, orders)
        began = time.perf_counter()
        for _ in range(times):
            read = 0
            async for page in store.read_all_pages():
                for recorded in page:
                    codec.decode(recorded)
                read += len(page)
            assert read == count
        return count * times / (time.perf_counter() - began)


class Row(msgspec.Struct, frozen=True):
    """What the view keeps of an order."""

    customer: str
    status: str
    total: Decimal
    version: int


class Overview(Projection[OrderEvent, Row]):
    """An order as a list of them shows it, found by its customer."""

    name = "overview"
    view = Row
    columns = (
        Column[Row]("customer", str, lambda row: row.customer),
        Column[Row]("status", str, lambda row: row.status),
        Column[Row]("total", int, lambda row: int(row.total * 100)),
        Column[Row]("version", int, lambda row: row.version),
    )
    indexes: ClassVar = (("customer",),)

    def key(self, recorded: Recorded[OrderEvent], /) -> str:
        """The order's id."""
        return _orders.id_in(recorded.stream)

    def evolve(self, view: Row | None, recorded: Recorded[OrderEvent], /) -> Row | None:
        """The row after the event."""
        match recorded.data:
            case OrderCreated(customer_id=customer, items=items):
                total = sum((item.subtotal for item in items), start=Decimal(0))
                return Row(customer, Status.PENDING, total, recorded.version)
            case OrderStatusUpdated(new_status=status):
                return view and msgspec.structs.replace(view, status=status.value, version=recorded.version)
            case OrderCancelled():
                return view and msgspec.structs.replace(view, status=Status.CANCELLED.value, version=recorded.version)
            case _:
                assert_never(recorded.data)


async def catch_up(place: Place, *, orders: int) -> float:
    """Events a second by which an empty view comes to the head of the log.

    In the lifecycle that the order service gives its views: inline on SQLite, subscribed on PostgreSQL.
    """
    async with _connect(place) as store:
        count = await _fill(store, orders)
        view = TableView(Overview(), Source(frozenset({_orders.name}), codec))
        views = Views(store, subscribed=[view]) if place.postgres else Views(store, [view])
        began = time.perf_counter()
        await views.start()
        async with running(views):
            seconds = time.perf_counter() - began
        [(rows,)] = await views.scan(sa.select(sa.func.count()).select_from(view.table))
        assert rows * len(_LIFE) == count
        return count / seconds
