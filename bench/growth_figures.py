"""What is measured of the order service over a log that was filled before: in this process, and of a server's process.

What is asked for is picked at random from the whole log, so that the larger one shows what does not fit into memory.
"""

from __future__ import annotations

import gc
import http.client
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from uuid_utils.compat import uuid7

from bench.comparing import Place
from bench.growth_orders import CUSTOMERS, LARGEST_CUSTOMER, LARGEST_HAS, Orders, customer_id
from bench.starting import start, start_and_stop, stop
from orders.app import OrderService, open_service
from orders.domain import OrderEvent, OrderStatusUpdated, Status, codec, orders
from orders.queries import GetDashboard, GetOrder, GetOrdersByCustomer, SearchOrders
from twofold import Metadata

T = TypeVar("T")

APPEND_NEW, APPEND_OLD, POINT_READ = "append: a new order", "append: an old order", "point read of an order"
START, MEMORY, DISK = "start to the first answer", "resident memory", "disk per event"
SECONDS = 2.0  # for each kind of work at most: a search over a large log takes long
STARTS = 3
PAGE = 20


class Figure(NamedTuple):
    """A figure of one size; of what was done many times, the median and the 99th percentile."""

    name: str
    unit: str
    median: float
    late: float | None = None


async def latencies(_place: Place, *, url: str, size: int) -> list[Figure]:
    """How long commands and queries take, one at a time, in milliseconds."""
    generated = Orders(size)
    chance = random.Random(size)

    def some_id() -> str:
        return generated.id(chance.randrange(generated.count))

    async with open_service(url) as service:
        gc.collect()
        gc.freeze()  # as `orders serve` does
        ask, store = service.queries.ask, service.store

        async def append(id: str, event: OrderEvent, expected: int) -> None:
            await store.append(orders.stream(id), [codec.encode(event, Metadata.new())], expected=expected)

        async def append_old(id: str, version: int) -> None:
            await append(id, OrderStatusUpdated(Status.DELIVERED, Status.DELIVERED, "Seen"), version)

        async def old() -> tuple[str, int]:
            id = some_id()
            return id, (await orders.load(store, id)).version

        new = generated.created(0)
        return [
            await _timed(APPEND_NEW, 300, lambda: append(str(uuid7()), new, 0)),
            await _timed_of(APPEND_OLD, 300, old, lambda given: append_old(*given)),
            await _timed("rehydrate an order", 3_000, lambda: orders.load(store, some_id())),
            await _timed(POINT_READ, 5_000, lambda: ask(GetOrder(some_id()))),
            *await _pages(service, chance),
        ]


async def _pages(service: OrderService, chance: random.Random) -> list[Figure]:
    ask = service.queries.ask

    def customer() -> Awaitable[object]:
        page = chance.randrange(LARGEST_HAS // PAGE) + 1
        return ask(GetOrdersByCustomer(LARGEST_CUSTOMER, page=page, limit=PAGE))

    def rare() -> Awaitable[object]:
        return ask(SearchOrders(text=customer_id(chance.randrange(CUSTOMERS))))

    def common() -> Awaitable[object]:
        return ask(SearchOrders(text=chance.choice(("berlin", "leipzig", "aachen"))))

    def filtered() -> Awaitable[object]:
        return ask(SearchOrders(status=Status.CANCELLED, least=Decimal(100 + chance.randrange(1000))))

    return [
        await _timed("a customer's page, of 2,000 orders", 1_000, customer),
        await _timed("dashboard", 500, lambda: ask(GetDashboard())),
        await _timed("search: a rare word", 500, rare),
        await _timed("search: a word of every ninth order", 300, common),
        await _timed("search: status and amount", 500, filtered),
    ]


async def _timed(name: str, times: int, work: Callable[[], Awaitable[object]]) -> Figure:
    async def nothing() -> None:
        """There is nothing to be done before."""

    return await _timed_of(name, times, nothing, lambda _: work())


async def _timed_of(
    name: str, times: int, before: Callable[[], Awaitable[T]], work: Callable[[T], Awaitable[object]]
) -> Figure:
    """As `_timed`, on something that is got ready `before` and does not count."""
    took: list[float] = []
    end = time.perf_counter() + SECONDS
    for number in range(times + times // 10):
        given = await before()
        began = time.perf_counter()
        await work(given)
        now = time.perf_counter()
        if number >= times // 10 or now > end:  # the first tenth warms up
            took.append((now - began) * 1000)
        if now > end and len(took) > 10:
            break
    return Figure(name, "ms", statistics.median(took), sorted(took)[int(len(took) * 0.99)])


def server(place: Place, *, url: str, size: int) -> list[Figure]:
    """How long `orders serve` takes to start on that log, and its memory after having worked for a while."""
    command = [sys.executable, "-m", "orders", "serve", "--store", url]
    started = statistics.median(start_and_stop(command, place.folder) for _ in range(STARTS)) * 1000
    process, port = start(command, place.folder)
    try:
        _work(port, Orders(size))
        memory = _resident(process.pid) / 2**20
    finally:
        stop(process)
    return [Figure(START, "ms", started), Figure(MEMORY, "MiB", memory)]


def _work(port: int, generated: Orders) -> None:
    """Some of everything, by HTTP, until caches are full; few appends, since a log is to stay as large as it is."""
    chance = random.Random(1)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    body = msgspec.json.encode(
        {
            "customerId": "ALFKI",
            "shippingAddress": "Obere Str. 57, Berlin",
            "items": [{"productId": "chai", "productName": "Chai", "quantity": 2, "price": 18.5}],
        }
    )

    def send(times: int, path: Callable[[], str], method: str = "GET", body: bytes | None = None) -> None:
        for _ in range(times):
            connection.request(method, path(), body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            if response.status >= 400:
                raise RuntimeError(f"{method} {path()} was answered {response.status}")

    send(5_000, lambda: f"/orders/{generated.id(chance.randrange(generated.count))}")
    send(500, lambda: f"/customers/{LARGEST_CUSTOMER}/orders?page={chance.randrange(LARGEST_HAS // PAGE) + 1}")
    send(200, lambda: "/orders", "POST", body)
    send(50, lambda: "/dashboard")
    send(50, lambda: f"/orders?q={customer_id(chance.randrange(CUSTOMERS))}")
    send(10, lambda: "/orders?q=berlin")
    send(50, lambda: "/orders?status=cancelled&min=500")
    connection.close()


def _resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024
    told = subprocess.run(["/bin/ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True, text=True)
    return int(told.stdout) * 1024
