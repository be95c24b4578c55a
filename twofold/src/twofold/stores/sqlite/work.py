"""Work, that is SQL as values, run in the transaction that is open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from twofold.errors import ProjectionFailed
from twofold.events import Recorded
from twofold.sql import Fetch, Fold, Row, Work
from twofold.stores.sqlite.driver import Connection, in_doubt

T = TypeVar("T")


def drive(connection: Connection, work: Work[T]) -> T:
    """Run the work's statements in the transaction that is open."""
    rows: list[Row] = []
    try:
        step = next(work)
        while True:
            if isinstance(step, Fetch):
                rows = connection.rows(step.sql, step.parameters)
            else:
                connection.run_many(step.sql, step.rows)
                rows = []
            step = work.send(rows)
    except StopIteration as stop:
        result: T = stop.value
        return result


def drive_fold(connection: Connection, name: str, fold: Fold, events: Sequence[Recorded[bytes]]) -> None:
    """Run a fold's work; whatever is wrong with the fold itself becomes a ProjectionFailed with its name."""
    try:
        drive(connection, fold(events))
    except BaseException as error:  # even an exit: nothing of a fold may end the thread that writes
        if in_doubt(error):
            raise
        raise ProjectionFailed(name, f"{type(error).__name__}: {error}") from error
