"""The 830 orders of the Northwind file, below HTTP: none is refused, every cent is counted, a restart shows the same.

The file is not part of the repository: TWOFOLD_NORTHWIND names it, or it lies in ../shared/data beside the repository.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from order_samples import bring, read_json
from orders import requests
from orders.app import OrderService, open_service
from orders.domain import Status
from orders.queries import Dashboard, GetDashboard, GetOrdersByCustomer
from twofold.connect import connect
from twofold.rebuild import verify

BESIDE = Path(__file__).parents[3] / "shared" / "data" / "northwind-orders.jsonl"
FILE = Path(os.environ.get("TWOFOLD_NORTHWIND") or BESIDE)

pytestmark = pytest.mark.skipif(
    not FILE.is_file(), reason=f"the Northwind orders are not at {FILE}; TWOFOLD_NORTHWIND can name another place"
)


def northwind() -> list[dict[str, Any]]:
    """The lines of the file."""
    return [read_json(line) for line in FILE.read_bytes().splitlines()]


async def put_in(service: OrderService, number: int, line: dict[str, Any], gate: asyncio.Semaphore) -> None:
    """One line: the order, and its way to delivery if it was shipped."""
    async with gate:
        order_id = f"{number:04}"
        await service.commands.execute(requests.create_order(order_id, line["order"], "USD"))
        if line["ships"]:
            await bring(service, order_id, Status.DELIVERED)


async def test_all_of_northwind_goes_in_and_comes_out_exactly(url: str) -> None:
    lines = northwind()
    assert len(lines) == 830
    items = [item for line in lines for item in line["order"]["items"]]
    total = sum((Decimal(item["price"]) * item["quantity"] for item in items), start=Decimal(0))
    shipped = sum(line["ships"] for line in lines)

    async with open_service(url) as service:
        gate = asyncio.Semaphore(64)
        await asyncio.gather(*(put_in(service, number, line, gate) for number, line in enumerate(lines)))
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
