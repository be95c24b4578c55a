"""SQL as values: what is to be run inside a transaction, and nothing about who runs it.

The second fold writes its views in the transaction of a store that it must not know. So it hands the store a generator
that yields statements and is sent their rows; the store drives it, on the thread or loop that owns the transaction.
One fold thus serves synchronous and asynchronous drivers, and can be tested with no driver at all.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from twofold.events import Recorded

T = TypeVar("T")

Row: TypeAlias = tuple[Any, ...]
"""One row of an answer, in the order of the selected columns."""


class Fetch(NamedTuple):
    """Run one statement; its rows are sent back."""

    sql: str
    parameters: Sequence[object] = ()


class Run(NamedTuple):
    """Run one statement for each row of parameters, in order; an empty list is sent back."""

    sql: str
    rows: Sequence[Sequence[object]] = ((),)


Work: TypeAlias = Generator[Fetch | Run, list[Row], T]
"""Statements that belong into one transaction, and what comes of them."""

Fold: TypeAlias = Callable[[Sequence[Recorded[bytes]]], Work[None]]
"""The work that brings views from before these events to after them. The events come in the order of positions."""

MATCHING = "twofold_matching"
"""The function that every connection to SQLite has for full-text search: it takes an index, quoted, and words parted by
spaces, and answers what to MATCH for the rows that have each of the words, or one that begins like it."""
