"""What the jobs of one commit share, and what is known of the log from one commit to the next.

To look up where a stream stands costs twice as much as to insert an event, and a row that is inserted by itself twice
as much as one of many. So the writer remembers where the streams stand that it wrote last, which holds as long as no
other connection commits, and inserts what a group has added together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from twofold.events import Recorded, microseconds
from twofold.sql import Row
from twofold.stores.sqlite.driver import Connection
from twofold.stores.sqlite.rows import INSERT, LAST_OF_STREAM

STREAMS = 10_000  # whose last versions are remembered; then it begins anew


class Last(NamedTuple):
    """The version and position of a stream's last event."""

    version: int
    position: int


NOTHING = Last(0, 0)


@dataclass(slots=True)
class Known:
    """The head of the log, and the last events of some streams, as of a `data_version` of the connection."""

    data_version: int
    head: int
    last: dict[str, Last] = field(default_factory=dict[str, Last])


class Transaction:
    """What the jobs of one commit share.

    One that is not `careful` takes a new stream for new, and inserts late what is added: should the log know better, an
    insert fails, and the writer runs the group again, carefully.
    """

    def __init__(self, connection: Connection, known: Known, *, careful: bool = False) -> None:
        self.beside = connection
        """The connection for tables other than that of events, which may lack what was added."""
        self.careful = careful
        self.at = microseconds(datetime.now(UTC))
        self.appended: list[Recorded[bytes]] = []
        self._known = known
        self._rows: list[Row] = []

    @property
    def connection(self) -> Connection:
        """The connection, with all in the log that was added."""
        self.flush()
        return self.beside

    @property
    def head(self) -> int:
        """The position of the last event."""
        return self._known.head

    @head.setter
    def head(self, position: int) -> None:
        self._known.head = position

    def last_of(self, stream: str, *, new: bool = False) -> Last:
        """Where a stream stands. One that should be `new` is looked up only in a careful transaction."""
        last = self._known.last.get(stream)
        if last is None:
            if new and not self.careful:
                return NOTHING
            last = Last(*(self.beside.get(LAST_OF_STREAM, (stream,)) or NOTHING))
        return last

    def add(self, events: Sequence[Recorded[bytes]], rows: Sequence[Row]) -> None:
        """Add events of one stream behind the head. Raises a DuplicateError now if careful, else at the flush."""
        last = events[-1]
        if self.careful:
            self.beside.run_many(INSERT, rows)
        else:
            self._rows += rows
            self._known.last[last.stream] = Last(last.version, last.position)
        self.appended += events
        self.head = last.position

    def adopted(self, events: Sequence[Recorded[bytes]]) -> None:
        """Note that these events were inserted behind the head."""
        if not self.careful:
            self._known.last.update((event.stream, Last(event.version, event.position)) for event in events)
        self.head = events[-1].position

    def flush(self) -> None:
        """Insert what was added."""
        if self._rows:
            rows, self._rows = self._rows, []
            self.beside.run_many(INSERT, rows)
