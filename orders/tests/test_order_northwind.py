"""The 830 orders of the Northwind file: none is refused, every cent is counted, a restart shows the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from commands import command, objects
from northwind import FILE, lines_of
from order_samples import bring
from orders import requests
from orders.app import OrderService, open_service
from orders.domain import Status
from orders.queries import Dashboard, GetDashboard, GetOrdersByCustomer
from servers import start
from talking import exactly
from twofold.connect import connect
from twofold.verify import verify

needs_the_file = pytest.mark.skipif(
    not FILE.is_file(), reason=f"the Northwind orders are not at {FILE}; TWOFOLD_NORTHWIND can name another place"
)


def revenue(lines: Sequence[dict[str, Any]]) -> Decimal:
    """The sum of all prices times their quantities."""
    items = [item for line in lines for item in line["order"]["items"]]
    return sum((Decimal(item["price"]) * item["quantity"] for item in items), start=Decimal(0))


async def put_in(service: OrderService, number: int, line: dict[str, Any], gate: asyncio.Semaphore) -> None:
    """One line: the order, and its way to delivery if it was shipped."""
    async with gate:
        order_id = f"{number:04}"
        await service.commands.execute(requests.create_order(order_id, line["order"], "USD"))
        if line["ships"]:
            await bring(service, order_id, Status.DELIVERED)


# --- below HTTP -----------------------------------------------------------------------------------------------------


@needs_the_file
async def test_all_of_northwind_goes_in_and_comes_out_exactly(url: str) -> None:
    lines = lines_of(FILE)
    assert len(lines) == 830
    total = revenue(lines)
    shipped = sum(line["ships"] for line in lines)

    async with open_service(url) as service:
        gate = asyncio.Semaphore(64)
        await asyncio.gather(*(put_in(service, number, line, gate) for number, line in enumerate(lines)))
        assert await service.watermarks.wait(service.views.all, await service.store.head(), 30) == 0
        dashboard = await service.queries.ask(GetDashboard())
        assert_shows(dashboard, total, shipped)
        for customer, count in Counter(line["order"]["customerId"] for line in lines).items():
            assert (await service.queries.ask(GetOrdersByCustomer(customer))).total == count
        assert await service.store.head() == 830 + 3 * shipped
        async with connect("memory:") as scratch:
            assert await verify(service.views, service.store, scratch, lambda _progress: None) == []

    if not url.startswith("memory:"):
        async with open_service(url) as service:
            assert await service.queries.ask(GetDashboard()) == dashboard


def assert_shows(dashboard: Dashboard, total: Decimal, shipped: int) -> None:
    """The dashboard counts every order and every cent."""
    assert (dashboard.total_orders, dashboard.total_revenue) == (830, total)
    orders = {each.status: each.orders for each in dashboard.by_status}
    assert orders == {**dict.fromkeys(Status, 0), Status.DELIVERED: shipped, Status.PENDING: 830 - shipped}
    assert sum(each.revenue for each in dashboard.by_status) == total


# --- through HTTP ---------------------------------------------------------------------------------------------------


@needs_the_file
def test_all_of_northwind_is_imported_through_http(tmp_path: Path) -> None:
    assert_goes_in_through_http(tmp_path, FILE)


def test_orders_of_the_same_shape_are_imported_through_http(tmp_path: Path) -> None:
    names = ("Queso Cabrales", "Rössle Sauerkraut", "Gnocchi di nonna Alice", "Chartreuse verte 🍵", "いくら")
    cities = ("Reims", "Köln", "Århus", "São Paulo")

    def item(number: int) -> str:
        price = f"{number * 7 % 90 + 1}.{number % 10}" + "5" * (number % 2)
        name = names[number % len(names)]
        product = f'"productId": "p-{number % 7}", "productName": "{name}"'
        return f'{{{product}, "quantity": {number % 9 + 1}, "price": {price}}}'

    def line(number: int) -> str:
        items = ", ".join(item(number * 3 + each) for each in range(number % 4 + 1))
        order = (
            f'{{"customerId": "CUST{number % 6}", "items": [{items}], "shippingAddress":'
            f' {{"name": "Größe {number}", "city": "{cities[number % len(cities)]}"}}}}'
        )
        return f'{{"placed": "1996-07-04", "ships": {str(number % 3 > 0).lower()}, "order": {order}}}\n'

    file = tmp_path / "orders.jsonl"
    file.write_text("".join(line(number) for number in range(40)), "utf-8")
    assert_goes_in_through_http(tmp_path, file)


def assert_goes_in_through_http(folder: Path, file: Path) -> None:
    """A running service takes in the whole file and counts every cent; a restart shows the same, byte for byte."""
    store, lines = f"sqlite:///{folder / 'store.db'}", lines_of(file)
    shipped = sum(line["ships"] for line in lines)
    with start(store, folder / "service.log") as server:
        code, printed, complained = command("import", str(file), "--to", server.url, "--json")
        assert (code, complained) == (0, "")
        counts = {"created": len(lines), "alreadyThere": 0, "delivered": shipped, "alreadyDelivered": 0}
        assert objects(printed) == [{"lines": len(lines), **counts, "refused": []}]
        before = httpx.get(f"{server.url}/dashboard")
        dashboard = exactly(before)
        assert (dashboard["totalOrders"], dashboard["totalRevenue"]) == (len(lines), revenue(lines))
        assert {each["status"]: each["orders"] for each in dashboard["byStatus"]} == {
            **dict.fromkeys(Status, 0),
            Status.DELIVERED: shipped,
            Status.PENDING: len(lines) - shipped,
        }
        assert_orders_are_shown(server.url, lines)
        assert command("verify", "--store", store)[0] == 0  # beside the running service
        assert server.stop() == 0
    assert command("verify", "--store", store)[0] == 0
    with start(store, folder / "again.log") as server:
        assert httpx.get(f"{server.url}/dashboard").content == before.content


def assert_orders_are_shown(url: str, lines: Sequence[dict[str, Any]]) -> None:
    """Each customer has the orders of the file, each with its items and its sum, delivered if it was shipped."""

    def items_of(order: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(
            (each["productId"], each["productName"], each["quantity"], Decimal(each["price"]))
            for each in order["items"]
        )

    with httpx.Client(base_url=url) as http:
        for customer in {line["order"]["customerId"] for line in lines}:
            theirs = [line for line in lines if line["order"]["customerId"] == customer]
            shown = exactly(http.get(f"/customers/{customer}/orders?limit=100"))
            assert shown["total"] == len(theirs)
            seen = Counter((items_of(order), order["status"], order["totalAmount"]) for order in shown["orders"])
            assert seen == Counter(
                (items_of(line["order"]), "delivered" if line["ships"] else "pending", revenue([line]))
                for line in theirs
            )
