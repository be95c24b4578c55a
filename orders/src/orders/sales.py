"""The view of what is sold: counts and revenue by day and status, by customer and by product, kept as running sums.

A change of status must move an order's amount from one sum to another, so the projection remembers the amount of each
order in a table of its own. Amounts are in minor units. Revenue leaves out cancelled orders, except by status.

A day is one row with columns for each status: an event changes one row of it, whatever it moves from where to where.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from datetime import UTC
from typing import Any, ClassVar

import msgspec
import sqlalchemy as sa

from orders import money
from orders.details import UNKNOWN_PRODUCT, source
from orders.domain import OrderCancelled, OrderCreated, OrderEvent, Status, orders
from twofold import Recorded
from twofold.sql import Row
from twofold.tables import SCHEMA, listed, one_of, upsert
from twofold.views import SqlProjection, SqlView, Step

_metadata = sa.MetaData(schema=SCHEMA)


def _table(name: str, *columns: sa.Column[Any]) -> sa.Table:
    # Without a rowid the rows stand in their primary key: one tree to change for SQLite, and not two.
    return sa.Table(name, _metadata, *columns, sqlite_with_rowid=False)


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=True)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


sold_orders = _table("sales_order", _key("order_id"), sa.Column("sale", sa.LargeBinary, nullable=False))
OF_STATUS: Mapping[Status, tuple[str, str]] = {status: (f"{status}_orders", f"{status}_revenue") for status in Status}
"""The columns of a day that hold its orders of a status, and their revenue."""
_NOTHING = dict.fromkeys((name for names in OF_STATUS.values() for name in names), 0)
by_day = _table("sales_by_day", _key("currency"), _key("day"), *map(_number, _NOTHING))
by_customer = _table("sales_by_customer", _key("customer_id"), _key("currency"), _number("orders"), _number("revenue"))
by_product = _table(
    "sales_by_product",
    _key("currency"),
    _key("product_id"),
    sa.Column("name", sa.Text, nullable=False),
    _number("quantity"),
    _number("revenue"),
)
sa.Index("sales_best_customers", by_customer.c.currency, by_customer.c.revenue)
sa.Index("sales_best_products", by_product.c.currency, by_product.c.revenue)


class Sale(msgspec.Struct, frozen=True, array_like=True):
    """What the sums must know of an order. `products` holds id, name (if known), quantity and revenue of each item."""

    currency: str
    customer_id: str
    day: str
    status: Status
    products: tuple[tuple[str, str | None, int, int], ...]

    @property
    def total(self) -> int:
        """The order's amount, in minor units."""
        return sum([product[3] for product in self.products])


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Sale).decode

_STORED = sa.select(sold_orders.c.order_id, sold_orders.c.sale)
_LOAD_ONE = _STORED.where(sold_orders.c.order_id == sa.bindparam("order_id"))
_LOAD_MANY = _STORED.where(one_of(sold_orders.c.order_id, "order_ids"))
_SAVE = upsert(sold_orders)
_ADD_DAY = upsert(by_day, adding=[*_NOTHING])
_ADD_CUSTOMER = upsert(by_customer, adding=("orders", "revenue"))
_ADD_NAMED = upsert(by_product, adding=("quantity", "revenue"))
_ADD_UNNAMED = upsert(by_product, adding=("quantity", "revenue"), keeping=("name",))


class Sales(SqlProjection[OrderEvent]):
    """Keeps the sums, with one upsert for each row that a batch of events touches."""

    name = "sales"
    version = 2
    tables: ClassVar[Sequence[sa.Table]] = (sold_orders, by_day, by_customer, by_product)

    def apply(self, events: Sequence[Recorded[OrderEvent]], /) -> Generator[Step, list[Row], None]:
        """See SqlProjection.apply."""
        sales = yield from _load(events)
        sums = _Sums()
        for recorded in events:
            order_id, event = orders.id_in(recorded.stream), recorded.data
            if isinstance(event, OrderCreated):
                sales[order_id] = sale = _sale(event, recorded.metadata.at.astimezone(UTC).date().isoformat())
                sums.count(sale, orders=1, sign=1)
                sums.count_status(sale, sign=1)
                continue
            before = sales[order_id]
            status = Status.CANCELLED if isinstance(event, OrderCancelled) else event.new_status
            sales[order_id] = after = msgspec.structs.replace(before, status=status)
            sums.count_status(before, sign=-1)
            sums.count_status(after, sign=1)
            if status is Status.CANCELLED:
                sums.count(after, orders=0, sign=-1)
        yield Step(_SAVE, [{"order_id": order_id, "sale": _encode(sale)} for order_id, sale in sales.items()])
        yield from sums.steps()


def _load(events: Sequence[Recorded[OrderEvent]]) -> Generator[Step, list[Row], dict[str, Sale]]:
    """What is stored of the orders that these events do not create, by one statement."""
    created = {recorded.stream for recorded in events if isinstance(recorded.data, OrderCreated)}
    streams = dict.fromkeys(recorded.stream for recorded in events if recorded.stream not in created)
    order_ids = [orders.id_in(stream) for stream in streams]
    rows: list[Row] = []
    if len(order_ids) == 1:  # quicker on SQLite than a list of one
        rows = yield Step(_LOAD_ONE, [{"order_id": order_ids[0]}])
    elif order_ids:
        rows = yield Step(_LOAD_MANY, [{"order_ids": listed(order_ids)}])
    return {order_id: _decode(sale) for order_id, sale in rows}


class _Sums:
    """What a batch of events adds to the sums: the rows of the upserts, by their keys."""

    def __init__(self) -> None:
        self._days: dict[tuple[str, str], dict[str, Any]] = {}
        self._customers: dict[tuple[str, str], dict[str, Any]] = {}
        self._products: dict[tuple[str, str], dict[str, Any]] = {}

    def count(self, sale: Sale, *, orders: int, sign: int) -> None:
        """Add so many orders, and the sale's revenue with this sign, to its customer and products."""
        key = sale.currency, sale.customer_id
        row = self._customers.get(key)
        if row is None:
            row = self._customers[key] = {"currency": key[0], "customer_id": key[1], "orders": 0, "revenue": 0}
        row["orders"] += orders
        row["revenue"] += sign * sale.total
        for product_id, name, quantity, revenue in sale.products:
            key = sale.currency, product_id
            row = self._products.get(key)
            if row is None:
                named = {"currency": key[0], "product_id": product_id, "name": None}
                row = self._products[key] = {**named, "quantity": 0, "revenue": 0}
            row["quantity"] += sign * quantity
            row["revenue"] += sign * revenue
            if name and sign > 0:  # a product has the name of its last order, not of one called off later
                row["name"] = name

    def count_status(self, sale: Sale, *, sign: int) -> None:
        """Add the sale to, or take it from, what its day has of its status."""
        key = sale.currency, sale.day
        row = self._days.get(key)
        if row is None:
            row = self._days[key] = {"currency": key[0], "day": key[1], **_NOTHING}
        orders, revenue = OF_STATUS[sale.status]
        row[orders] += sign
        row[revenue] += sign * sale.total

    def steps(self) -> Generator[Step, list[Row], None]:
        """The upserts."""
        yield Step(_ADD_DAY, [*self._days.values()])
        if self._customers:
            yield Step(_ADD_CUSTOMER, [*self._customers.values()])
        named = [row for row in self._products.values() if row["name"]]
        unnamed = [{**row, "name": UNKNOWN_PRODUCT} for row in self._products.values() if not row["name"]]
        if named:
            yield Step(_ADD_NAMED, named)
        if unnamed:
            yield Step(_ADD_UNNAMED, unnamed)


def _sale(event: OrderCreated, day: str) -> Sale:
    products = tuple(
        (item.product_id, item.product_name, item.quantity, money.minor_units(item.subtotal, event.currency))
        for item in event.items
    )
    return Sale(event.currency, event.customer_id, day, Status.PENDING, products)


sales = SqlView(Sales(), source)
