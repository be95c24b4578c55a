"""The order service, put together in one place: store, views, buses, handlers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import get_args

from orders.answers import Answers
from orders.details import details
from orders.domain import CancelOrder, CreateOrder, OrderCommand, UpdateOrderStatus, orders
from orders.queries import GetDashboard, GetOrder, GetOrdersByCustomer, SearchOrders
from orders.sales import sales
from orders.settings import Lifecycle
from twofold import CommandBus, Metadata, QueryBus, Receipt, Store
from twofold.board import Board
from twofold.connect import connect
from twofold.metrics import Metrics, counting
from twofold.middleware import correlation, logging, timeout, validation
from twofold.model import Deciding, Model
from twofold.running import running
from twofold.store import Progress
from twofold.subscription import LEASE_SECONDS
from twofold.tracing import middleware as tracing
from twofold.tracing import trace_if_asked
from twofold.views import View, Views
from twofold.watermarks import Watermarks

OnProgress = Callable[[View, Progress], None]

VIEWS: Sequence[View] = (details, sales)
MODEL = Model(
    "Orders",
    deciding=[Deciding(orders, get_args(OrderCommand))],
    views=VIEWS,
    queries={GetOrder: [details], GetOrdersByCustomer: [details], SearchOrders: [details], GetDashboard: [sales]},
)
PARTITIONS = 4  # in which a subscribed view runs: as many processes can share it


@dataclass(frozen=True)
class OrderService:
    """The running service: what its ways in (HTTP, the command line) stand on."""

    store: Store
    views: Views
    watermarks: Watermarks
    commands: CommandBus
    queries: QueryBus
    metrics: Metrics


@asynccontextmanager
async def open_service(
    url: str,
    *,
    lifecycle: Lifecycle | None = None,
    command_seconds: float = 30.0,
    lease_seconds: float = LEASE_SECONDS,
    process: str = "1",
    board: Board | None = None,
    on_progress: OnProgress = lambda _view, _progress: None,
) -> AsyncGenerator[OrderService]:
    """The service over the store that the URL names; inline views that have missed events are caught up first.

    Where several processes write at once (PostgreSQL) views are subscribed unless `lifecycle` says otherwise: inline
    they would be folded under the lock that all appends share. `process` names this one in its metrics,
    which it shares with others over the `board`.

    Raises StoreRefused, LifecycleRefused.
    """
    async with connect(url) as store:
        if lifecycle is None:
            lifecycle = Lifecycle.SUBSCRIBED if store.dialect == "postgresql" else Lifecycle.INLINE
        if lifecycle is Lifecycle.INLINE:
            views = Views(store, VIEWS)
        else:
            views = Views(store, subscribed=VIEWS, partitions=PARTITIONS)
        await views.start(on_progress)
        trace_if_asked()
        watermarks = Watermarks(views)
        metrics = Metrics(store.statistics, process=process, board=board)
        commands, queries = _commands(store, metrics, command_seconds), _queries(store, views, metrics)
        keeping = running(views, lease_seconds=lease_seconds, on_advance=watermarks.advanced, on_progress=on_progress)
        async with keeping, metrics.sampling():
            yield OrderService(store, views, watermarks, commands, queries, metrics)


@asynccontextmanager
async def open_views(url: str) -> AsyncGenerator[Views]:
    """A store that is there, and its views as they are kept in it, without running any: for who looks after them.

    Raises StoreRefused.
    """
    async with connect(url, create=False) as store:
        yield await Views.found(store, VIEWS, partitions=PARTITIONS)


def _commands(store: Store, metrics: Metrics, seconds: float) -> CommandBus:
    bus = CommandBus([correlation, *tracing(), logging, counting(metrics.commands), timeout(seconds), validation])

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


def _queries(store: Store, views: Views, metrics: Metrics) -> QueryBus:
    bus = QueryBus([correlation, *tracing(), logging, counting(metrics.queries)])
    Answers(store, views).register(bus)
    return bus
