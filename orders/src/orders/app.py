"""The order service, put together in one place: store, views, buses, handlers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import get_args

from orders.answers import Answers
from orders.details import details
from orders.domain import CancelOrder, CreateOrder, OrderCommand, UpdateOrderStatus, orders
from orders.sales import sales
from twofold import CommandBus, Metadata, QueryBus, Receipt, Store
from twofold.connect import connect
from twofold.middleware import correlation, logging, timeout, validation
from twofold.store import Progress
from twofold.views import View, Views

OnProgress = Callable[[View, Progress], None]

VIEWS: Sequence[View] = (details, sales)


@dataclass(frozen=True)
class OrderService:
    """The running service: what its ways in (HTTP, the command line) stand on."""

    store: Store
    views: Views
    commands: CommandBus
    queries: QueryBus


@asynccontextmanager
async def open_service(
    url: str, *, command_seconds: float = 30.0, on_progress: OnProgress = lambda _view, _progress: None
) -> AsyncGenerator[OrderService]:
    """The service over the store that the URL names; views that have missed events are caught up first.

    Raises StoreRefused.
    """
    async with connect(url) as store:
        views = Views(store, VIEWS)
        await views.start(on_progress)
        yield OrderService(store, views, _commands(store, command_seconds), _queries(store, views))


def _commands(store: Store, seconds: float) -> CommandBus:
    bus = CommandBus([correlation, logging, timeout(seconds), validation])

    @bus.handles(CreateOrder)
    async def create_order(command: CreateOrder, metadata: Metadata) -> Receipt:
        return await orders.transact(store, command, metadata, new=True)

    @bus.handles(UpdateOrderStatus)
    async def update_order_status(command: UpdateOrderStatus, metadata: Metadata) -> Receipt:
        return await orders.transact(store, command, metadata, expected=command.if_version)

    @bus.handles(CancelOrder)
    async def cancel_order(command: CancelOrder, metadata: Metadata) -> Receipt:
        return await orders.transact(store, command, metadata, expected=command.if_version)

    bus.build(get_args(OrderCommand))
    return bus


def _queries(store: Store, views: Views) -> QueryBus:
    bus = QueryBus([correlation, logging])
    Answers(store, views).register(bus)
    return bus
