"""How the queries are answered from the views: by indexes where a page is asked for, beside the loop for a search."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from orders import money
from orders.cursors import Sort, cursor_of, place_of
from orders.details import details, source
from orders.domain import Status, orders
from orders.finding import anywhere, begins_with_words, by_row, first, near, sifts
from orders.queries import (
    CustomerSum,
    Dashboard,
    DaySum,
    FoundOrders,
    GetDashboard,
    GetOrder,
    GetOrdersByCustomer,
    OrderDocument,
    OrdersPage,
    ProductSum,
    SearchOrders,
    StatusSum,
)
from orders.sales import OF_STATUS, by_customer, by_day, by_product
from twofold import Metadata, QueryBus, Store
from twofold.projection import live
from twofold.search import gives_rows_in_order
from twofold.sql import Row
from twofold.views import Views

DASHBOARD_DAYS = 90
DASHBOARD_BEST = 10
_LARGEST = 2**63 - 1  # what a database takes as a number


class Answers:
    """The handlers of the queries, over one store and its views."""

    def __init__(self, store: Store, views: Views) -> None:
        self._store = store
        self._views = views

    def register(self, bus: QueryBus) -> None:
        """Register every handler, and check that no query is left out."""
        bus.handles(GetOrder)(self.order)
        bus.handles(GetOrdersByCustomer)(self.orders_by_customer)
        bus.handles(SearchOrders)(self.search)
        bus.handles(GetDashboard)(self.dashboard)
        bus.build((GetOrder, GetOrdersByCustomer, SearchOrders, GetDashboard))

    async def order(self, query: GetOrder, _metadata: Metadata) -> OrderDocument | None:
        """A point read; a past version is folded when asked."""
        if not _possible(query.order_id):
            return None
        if query.version is None:
            rows = await self._views.rows(_ORDER, order_id=query.order_id)
            return OrderDocument(msgspec.Raw(rows[0][0]), rows[0][1]) if rows else None
        if not 1 <= query.version <= _LARGEST:
            return None
        events = self._store.read(orders.stream(query.order_id), until=query.version)
        view = await live(details.projection, source, events, query.order_id)
        if view is None or view.version != query.version:
            return None
        return OrderDocument(msgspec.Raw(details.encode(view)), view.version)

    async def orders_by_customer(self, query: GetOrdersByCustomer, _metadata: Metadata) -> OrdersPage:
        """A page through an index; the total is kept by the sales view, or counted in an index for one status."""
        position = None if query.cursor is None else place_of(query.cursor, Sort.NEWEST).position
        if not _possible(query.customer_id):
            return OrdersPage([], query.page, query.limit, 0, None)
        named: dict[str, object] = {"customer_id": query.customer_id, "status": query.status}
        statements = _CUSTOMER if query.status is None else _CUSTOMER_STATUS
        total = (await self._views.rows(statements.total, **named))[0][0]
        size = query.limit + 1  # one more, to know whether there is a next page
        if position is None:
            offset = min((query.page - 1) * query.limit, _LARGEST)
            rows = await self._views.rows(statements.page, **named, limit=size, offset=offset)
        else:
            rows = await self._views.rows(statements.after, **named, limit=size, before=position)
        bodies, cursor = _page(rows, query.limit, Sort.NEWEST)
        return OrdersPage(bodies, query.page, query.limit, total, cursor)

    async def search(self, query: SearchOrders, _metadata: Metadata) -> FoundOrders:
        """A search beside the event loop: it may have to look at many rows."""
        if query.customer_id is not None and not _possible(query.customer_id):
            return FoundOrders([], query.limit, None)
        size = query.limit + 1  # one more, to know whether there is a next page
        if not sifts(query):  # an index has the order, and the page is read off it
            rows = await self._views.scan(first(query, size))
        else:
            in_order = gives_rows_in_order(self._store.dialect) and begins_with_words(query)
            rows = await self._views.scan((by_row if in_order else near)(query, size))
            if len(rows) < size:
                rows = await self._views.scan(anywhere(query, size))
        bodies, cursor = _page(rows, query.limit, query.sort)
        return FoundOrders(bodies, query.limit, cursor)

    async def dashboard(self, query: GetDashboard, _metadata: Metadata) -> Dashboard:
        """Few rows of each kept sum, and all days added up."""
        currency = query.currency

        def amount(units: int) -> Decimal:
            return money.from_minor_units(units, currency)

        def statuses(sums: Sequence[int]) -> list[StatusSum]:
            pairs = zip(Status, sums[::2], sums[1::2], strict=True)
            return [StatusSum(status, orders, amount(units)) for status, orders, units in pairs]

        ((*totals,),) = await self._sums(_ALL_DAYS, currency)
        by_status = statuses(totals)
        by_day = [(day, statuses(sums)) for day, *sums in await self._sums(_BY_DAY, currency)]
        return Dashboard(
            currency=currency,
            total_orders=_orders(by_status),
            total_revenue=_revenue(by_status),
            by_status=by_status,
            by_day=[
                DaySum(day, _orders(sums), _revenue(sums), [one for one in sums if one.orders]) for day, sums in by_day
            ],
            best_customers=[
                CustomerSum(id, orders, amount(units)) for id, orders, units in await self._sums(_CUSTOMERS, currency)
            ],
            best_products=[
                ProductSum(id, name, quantity, amount(units))
                for id, name, quantity, units in await self._sums(_PRODUCTS, currency)
            ],
        )

    async def _sums(self, statement: sa.Select[Any], currency: str) -> list[Row]:
        return await self._views.rows(statement, currency=currency)


def _orders(sums: Sequence[StatusSum]) -> int:
    return sum(one.orders for one in sums)


def _revenue(sums: Sequence[StatusSum]) -> Decimal:
    """Cancelled orders are left out."""
    return sum((one.revenue for one in sums if one.status is not Status.CANCELLED), Decimal(0))


def _possible(id: str) -> bool:
    """Whether there can be a row of this id: no order and no customer has a NUL in it, and PostgreSQL takes none."""
    return "\0" not in id


def _page(rows: Sequence[Row], limit: int, sort: Sort) -> tuple[list[msgspec.Raw], str | None]:
    """The bodies of a page, and the cursor to the next one if there is one."""
    page = rows[:limit]
    cursor = cursor_of(sort, page[-1][1], page[-1][2]) if len(rows) > limit else None
    return [msgspec.Raw(row[0]) for row in page], cursor


class _CustomerStatements(NamedTuple):
    total: sa.Select[Any]
    page: sa.Select[Any, Any, Any]
    after: sa.Select[Any, Any, Any]


def _customer_statements(total: sa.Select[Any], *conditions: sa.ColumnElement[bool]) -> _CustomerStatements:
    table = details.table
    newest = (
        sa.select(table.c.body, table.c.first_position, table.c.first_position)
        .where(*conditions)
        .order_by(table.c.first_position.desc())
        .limit(sa.bindparam("limit"))
    )
    return _CustomerStatements(
        total, newest.offset(sa.bindparam("offset")), newest.where(table.c.first_position < sa.bindparam("before"))
    )


def _summed(column: sa.Column[Any]) -> sa.ColumnElement[int]:
    """The sum of a column, 0 without a row. A sum is a numeric to PostgreSQL."""
    return sa.cast(sa.func.coalesce(sa.func.sum(column), 0), sa.BigInteger)


_table = details.table
_ORDER = sa.select(_table.c.body, _table.c.version).where(_table.c.key == sa.bindparam("order_id"))
_OF_CUSTOMER = _table.c.customer_id == sa.bindparam("customer_id")
_OF_STATUS = _table.c.status == sa.bindparam("status")
_CUSTOMER = _customer_statements(
    sa.select(_summed(by_customer.c.orders)).where(by_customer.c.customer_id == sa.bindparam("customer_id")),
    _OF_CUSTOMER,
)
_CUSTOMER_STATUS = _customer_statements(
    sa.select(sa.func.count()).select_from(_table).where(_OF_CUSTOMER, _OF_STATUS), _OF_CUSTOMER, _OF_STATUS
)


def _of(table: sa.Table, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return sa.select(*columns).where(table.c.currency == sa.bindparam("currency"))


_STATUSES = [by_day.c[name] for names in OF_STATUS.values() for name in names]
_ALL_DAYS = _of(by_day, *map(_summed, _STATUSES))
_BY_DAY = _of(by_day, by_day.c.day, *_STATUSES).order_by(by_day.c.day.desc()).limit(DASHBOARD_DAYS)
_CUSTOMERS = (
    _of(by_customer, by_customer.c.customer_id, by_customer.c.orders, by_customer.c.revenue)
    .order_by(by_customer.c.revenue.desc(), by_customer.c.customer_id)
    .limit(DASHBOARD_BEST)
)
_PRODUCTS = (
    _of(by_product, by_product.c.product_id, by_product.c.name, by_product.c.quantity, by_product.c.revenue)
    .order_by(by_product.c.revenue.desc(), by_product.c.product_id)
    .limit(DASHBOARD_BEST)
)
