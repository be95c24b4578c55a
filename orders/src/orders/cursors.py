"""Cursors: where a page ended, as an opaque text that a client brings back to get the next one.

A cursor holds the sort order, the sorted value and the position of the last order sent: that of the event that created
it, which no other order has. So the next page is found through an index however deep it lies, and new orders do not
shift what was not seen yet.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa

from orders.details import details
from twofold import Fault, ValidationFailed


class Sort(StrEnum):
    """The orders in which orders can be listed."""

    NEWEST = "newest"
    OLDEST = "oldest"
    HIGHEST = "highest"
    LOWEST = "lowest"

    @property
    def of_amounts(self) -> bool:
        """Whether totals are compared, which only those of one currency can be."""
        return self in (Sort.HIGHEST, Sort.LOWEST)

    @property
    def columns(self) -> Sequence[sa.Column[int]]:
        """What is sorted by. The last is the position, which no two orders share."""
        table = details.table
        return (table.c.total, table.c.first_position) if self.of_amounts else (table.c.first_position,)

    @property
    def ascending(self) -> bool:
        """Whether small values come first."""
        return self in (Sort.OLDEST, Sort.LOWEST)


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended: the sorted value and the position of its last order."""

    sort: Sort
    value: int
    position: int


_decode = msgspec.json.Decoder(Place).decode


def order_by(sort: Sort, of: sa.FromClause = details.table) -> list[sa.ColumnElement[Any]]:
    """The terms to order a query by, of the table or of what has its columns."""
    columns = [of.c[column.name] for column in sort.columns]
    return [column.asc() if sort.ascending else column.desc() for column in columns]


def cursor_of(sort: Sort, value: int, position: int) -> str:
    """The cursor behind an order: `value` is that of the sorted column."""
    return base64.urlsafe_b64encode(msgspec.json.encode(Place(sort, value, position))).decode().rstrip("=")


def place_of(cursor: str, sort: Sort) -> Place:
    """What a cursor says. Raises ValidationFailed if it is not one that was given for this sort order."""
    try:
        place = _decode(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, msgspec.MsgspecError, ValueError):
        place = None
    if place is None or place.sort is not sort or max(abs(place.value), abs(place.position)) >= 2**63:
        raise ValidationFailed([Fault("Cursor is not one that was given for this list", "cursor", "unknown")])
    return place


def behind(cursor: str, sort: Sort) -> sa.ColumnElement[bool]:
    """The condition that an order comes after the cursor. Raises ValidationFailed like `place_of`."""
    place = place_of(cursor, sort)
    here = sa.tuple_(*sort.columns)
    there = sa.tuple_(*(sa.literal(value) for value in (place.value, place.position)[-len(sort.columns) :]))
    return here > there if sort.ascending else here < there
