"""The statements of a search: the first orders are looked at first, then all that lie within bounds or have words."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import sqlalchemy as sa

from orders import money
from orders.cursors import Sort, behind, order_by
from orders.details import details, microseconds
from orders.queries import SearchOrders

NEAR = 1_000  # orders that are looked at first, before all that lie within bounds or have words
AHEAD = 5  # pages of orders that are taken in the order of rows, to be put in that of creation
REACH = 100_000  # rows from the end within which these must lie: all orders between are gone through, in some 7 ms


def sifts(query: SearchOrders) -> bool:
    """Whether the query asks for what no index has in the order of the page: words, or bounds."""
    bounds = (query.created_from, query.created_to, query.least, query.most)
    return bool(query.text and query.text.strip()) or any(bound is not None for bound in bounds)


def first(query: SearchOrders, size: int) -> sa.Select[Any, int, Any]:
    """The first orders, where an index has them in the order of the page."""
    return _bodies(query.sort, size, *_narrowed(query))


def near(query: SearchOrders, size: int) -> sa.Select[Any, int, Any]:
    """Those of the first orders that the query asks for: where it asks for many, they fill the page."""
    table, sort = details.table, query.sort
    columns = (table.c.row, table.c.first_position, table.c.total, table.c.created)
    first = sa.select(*columns).where(*_narrowed(query)).order_by(*order_by(sort)).limit(NEAR).cte("near")
    page = sa.select(first.c.row).where(*_bounded(query, first)).order_by(*order_by(sort, first)).limit(size)
    if query.text and query.text.strip():
        page = page.where(details.matches(query.text, first))
    return _bodies(sort, size, table.c.row.in_(page))


def anywhere(query: SearchOrders, size: int) -> sa.Select[Any, int, Any]:
    """The first of all orders that the query asks for, which are few, or far from the beginning.

    Bodies are read of the page only: to sort many orders with them takes long. Where there are bounds only, the order
    is hidden from the database (`+ 0`), which would walk through the whole index of it.
    """
    table, sort = details.table, query.sort
    conditions = [*_narrowed(query), *_bounded(query, table)]
    order = order_by(sort)
    if query.text and query.text.strip():
        days = _days(query, table)
        if days:  # rows of a few days lie near each other, so the words are looked up there only
            lying = sa.select(table.c.row).where(*days).cte("days")
            conditions.append(table.c.row.in_(sa.select(lying.c.row).where(details.matches(query.text, lying))))
        else:
            conditions.append(details.matches(query.text))
    else:
        order = [column + 0 if sort.ascending else (column + 0).desc() for column in sort.columns]
    return _bodies(sort, size, table.c.row.in_(sa.select(table.c.row).where(*conditions).order_by(*order).limit(size)))


def begins_with_words(query: SearchOrders) -> bool:
    """Whether it asks for the first page of all orders with some words, in the order of creation."""
    beside = (query.customer_id, query.status, query.created_from, query.created_to, query.least, query.most)
    return not query.sort.of_amounts and all(each is None for each in (query.cursor, *beside))


def by_row(query: SearchOrders, size: int) -> sa.Select[Any, int, Any]:
    """The same for what `begins_with_words`, where an index `gives_rows_in_order`: no slower the more orders there are.

    The index has the first by row without the rest, and rows mostly come to be as orders are created. So some pages are
    taken by row, and put in the order of creation. Orders behind them by row have a place on the page only if they come
    before its end all the same: these, most often none, are looked for too. Where the words lie farther from the end
    than `REACH` there are no rows, and they are to be looked for anywhere.
    """
    table, sort, taken = details.table, query.sort, size * AHEAD
    place, row = table.c.first_position, table.c.row + 0  # + 0: they are gone through by place
    found = details.found(query.text or "")
    rowid = found.selected_columns.rowid
    ahead = found.add_columns(place).outerjoin(table, table.c.row == rowid)  # outer: SQLite must begin with the index
    first = ahead.order_by(rowid.asc() if sort.ascending else rowid.desc()).limit(taken).cte("first")
    last = sa.func.max(first.c.rowid) if sort.ascending else sa.func.min(first.c.rowid)
    ends = sa.select(sa.func.min(table.c.row) + REACH if sort.ascending else sa.func.max(table.c.row) - REACH)
    reach = ends.scalar_subquery()
    near_enough = last <= reach if sort.ascending else last >= reach
    # NULL where these are all, or lie too far
    last_row = sa.select(last).having(sa.func.count() == taken, near_enough).scalar_subquery()
    lie_near = sa.select(sa.or_(sa.func.count() < taken, near_enough)).select_from(first).scalar_subquery()
    end = sa.select(first.c.first_position).where(last_row.is_not(None)).order_by(*order_by(sort, first))
    page_end = end.limit(1).offset(size - 1).scalar_subquery()
    before = (row > last_row, place < page_end) if sort.ascending else (row < last_row, place > page_end)
    others = sa.select(table.c.row, place).where(*before, row.in_(found))
    both = sa.union_all(sa.select(first), others).subquery()
    page = sa.select(both.c.rowid).where(lie_near).order_by(*order_by(sort, both)).limit(size)
    return _bodies(sort, size, table.c.row.in_(page))


def _bodies(sort: Sort, size: int, *conditions: sa.ColumnElement[bool]) -> sa.Select[Any, int, Any]:
    table = details.table
    orders = sa.select(table.c.body, sort.columns[0], table.c.first_position).where(*conditions)
    return orders.order_by(*order_by(sort)).limit(size)


def _narrowed(query: SearchOrders) -> list[sa.ColumnElement[bool]]:
    """The conditions beside bounds and words."""
    table = details.table
    conditions: list[sa.ColumnElement[bool]] = []
    if query.customer_id is not None:
        conditions.append(table.c.customer_id == query.customer_id)
    if query.status is not None:
        conditions.append(table.c.status == query.status.value)
    if query.least is not None or query.most is not None or query.sort.of_amounts:
        conditions.append(table.c.currency == query.currency)  # amounts of two currencies do not compare
    if query.cursor is not None:
        conditions.append(behind(query.cursor, query.sort))
    return conditions


def _bounded(query: SearchOrders, of: sa.FromClause) -> list[sa.ColumnElement[bool]]:
    """The bounds, as conditions on the table or on what has its columns."""
    conditions = _days(query, of)
    if query.least is not None:
        conditions.append(of.c.total >= math.ceil(_units(query.least, query.currency)))
    if query.most is not None:
        conditions.append(of.c.total <= math.floor(_units(query.most, query.currency)))
    return conditions


def _days(query: SearchOrders, of: sa.FromClause) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if query.created_from is not None:
        conditions.append(of.c.created >= microseconds(query.created_from))
    if query.created_to is not None:
        conditions.append(of.c.created <= microseconds(query.created_to))
    return conditions


def _units(bound: Decimal, currency: str) -> Fraction:
    """A bound in minor units, exactly; one that is beyond every order is as good as one just beyond."""
    beyond = money.LARGEST + 1
    units: Fraction = Fraction(max(min(bound, beyond), -beyond)) * 10 ** money.digits(currency)
    return units
