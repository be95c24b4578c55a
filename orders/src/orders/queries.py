"""What can be asked of the orders, and the answers.

Stored bodies travel undecoded from the table into the answer (`msgspec.Raw`): what GET sends is what the fold wrote.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from orders.cursors import Sort
from orders.details import OrderView, details
from orders.domain import Status
from twofold import Query


class OrderDocument(msgspec.Struct, frozen=True):
    """An order as it is stored and sent, and the version of its stream that is in it."""

    body: msgspec.Raw
    version: int

    def view(self) -> OrderView:
        """The order, decoded."""
        return details.decode(bytes(self.body))


class GetOrder(msgspec.Struct, Query[OrderDocument | None], frozen=True):
    """One order, as it is or as it was at a version; None if there is none."""

    order_id: str
    version: int | None = None


class OrdersPage(msgspec.Struct, frozen=True):
    """A customer's orders, newest first. `cursor` leads to the page after this one; None on the last."""

    orders: list[msgspec.Raw]
    page: int
    limit: int
    total: int
    cursor: str | None


class GetOrdersByCustomer(msgspec.Struct, Query[OrdersPage], frozen=True):
    """A customer's orders by page number, or from a cursor on."""

    customer_id: str
    status: Status | None = None
    page: int = 1
    limit: int = 20
    cursor: str | None = None


class FoundOrders(msgspec.Struct, frozen=True):
    """Orders that were searched for. `cursor` leads to the next ones; None when these are the last."""

    orders: list[msgspec.Raw]
    limit: int
    cursor: str | None


class SearchOrders(msgspec.Struct, Query[FoundOrders], frozen=True):
    """Orders that have all words of `text`, and lie within the bounds given (each included).

    Where totals are compared, by `least`, `most` or the sort order, only orders in `currency` are found.
    """

    text: str | None = None
    customer_id: str | None = None
    status: Status | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    least: Decimal | None = None
    most: Decimal | None = None
    sort: Sort = Sort.NEWEST
    limit: int = 20
    cursor: str | None = None
    currency: str = "USD"


class StatusSum(msgspec.Struct, frozen=True, rename="camel"):
    """How many orders have a status, and their amount."""

    status: Status
    orders: int
    revenue: Decimal


class DaySum(msgspec.Struct, frozen=True, rename="camel"):
    """The orders created on a day (UTC), and the amount of those that were not cancelled.

    `byStatus` has the statuses that they have now, and no others.
    """

    day: str
    orders: int
    revenue: Decimal
    by_status: list[StatusSum]


class CustomerSum(msgspec.Struct, frozen=True, rename="camel"):
    """A customer's orders, and the amount of those that were not cancelled."""

    customer_id: str
    orders: int
    revenue: Decimal


class ProductSum(msgspec.Struct, frozen=True, rename="camel"):
    """How much of a product was ordered, cancelled orders left out."""

    product_id: str
    product_name: str
    quantity: int
    revenue: Decimal


class Dashboard(msgspec.Struct, frozen=True, rename="camel"):
    """The business at a glance, in one currency. `totalRevenue` leaves out cancelled orders.

    `byStatus` has every status; `byDay` the last 90 days that had orders, newest first; the best are by revenue.
    """

    currency: str
    total_orders: int
    total_revenue: Decimal
    by_status: list[StatusSum]
    by_day: list[DaySum]
    best_customers: list[CustomerSum]
    best_products: list[ProductSum]


class GetDashboard(msgspec.Struct, Query[Dashboard], frozen=True):
    """The dashboard of a currency."""

    currency: str = "USD"
