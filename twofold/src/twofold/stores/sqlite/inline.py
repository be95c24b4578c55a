"""The folds that run in the transaction of each append, so that what is read after a write has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twofold.errors import ProjectionFailed, StoreBusy
from twofold.events import Recorded
from twofold.sql import Fold
from twofold.store import without_checkpoint
from twofold.stores.rows import page_of
from twofold.stores.sqlite.checkpoints import checkpoint, save_checkpoint
from twofold.stores.sqlite.driver import Connection
from twofold.stores.sqlite.rows import READ_ALL
from twofold.stores.sqlite.work import drive_fold

CATCH_UP = 1_000  # events that a fold may have missed before it is caught up in transactions of its own


class FarBehind(StoreBusy):
    """A fold has missed more than one transaction should take; busy, to a caller, where others stay that far ahead."""


class InlineFolds:
    """The folds of one writing connection. They run on the thread that owns it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.attached: Mapping[str, Fold] = {}
        self.stuck: ProjectionFailed | None = None
        """Why no append succeeds, where a fold could not get past an event that is in the log."""

    def attach(self, name: str, fold: Fold) -> None:
        """Run the fold in the transaction of every append from now on."""
        self.attached = {**self.attached, name: fold}

    def run(self, appended: Sequence[Recorded[bytes]]) -> None:
        """Fold what the open transaction has appended, and before it what others appended meanwhile.

        Raises FarBehind where that is too much for one transaction, and ProjectionFailed.
        """
        if not appended:
            return
        connection = self._connection
        for name, fold in self.attached.items():
            reached = self._reached(name)
            missed = appended[0].position - 1 - reached  # what others appended without this fold
            if missed > CATCH_UP:
                raise FarBehind("a fold has missed too much for one transaction")
            adopted = appended[-1].position - appended[0].position >= len(appended)  # by a job between two appends
            events = appended
            if missed or adopted:  # or fewer than none, where another job of the group has brought the fold further
                events = page_of(connection.rows(READ_ALL, (reached, -1))).whole()
            if missed > 0:  # by itself: should it be an event of this append that cannot be folded, nothing is stuck
                others = [event for event in events if event.position < appended[0].position]
                self._fold_missed(name, fold, others)
                events = events[len(others) :]
            if events:
                drive_fold(connection, name, fold, events)
            save_checkpoint(connection, name, appended[-1].position)
        self.stuck = None

    def catch_up(self) -> None:
        """Bring the folds to the head of the log, each page in a transaction of its own: to do it in one append would
        hold up every process. Raises ProjectionFailed."""
        connection = self._connection
        for name, fold in self.attached.items():
            behind = True
            while behind:
                with connection.transaction():
                    reached = self._reached(name)
                    events = page_of(connection.rows(READ_ALL, (reached, CATCH_UP))).whole()
                    behind = bool(events)
                    if events:
                        self._fold_missed(name, fold, events)
                        save_checkpoint(connection, name, events[-1].position)

    def _reached(self, name: str) -> int:
        """The checkpoint of an attached fold; without one its tables are another's by now, or never were."""
        reached = checkpoint(self._connection, name)
        if reached is None:
            self.stuck = without_checkpoint(name)
            raise self.stuck
        return reached

    def _fold_missed(self, name: str, fold: Fold, events: Sequence[Recorded[bytes]]) -> None:
        """Fold what others appended; if that cannot be done no append can."""
        try:
            drive_fold(self._connection, name, fold, events)
        except ProjectionFailed as failure:
            self.stuck = failure
            raise
