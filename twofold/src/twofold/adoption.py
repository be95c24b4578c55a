"""Whether events of another log fit behind this one, and what they answered: worked out without a store.

Each store asks here before it adopts, so that all of them refuse the same and restore the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from twofold.errors import AdoptionRefused, EventIdTaken
from twofold.events import NewEvent, Receipt, Recorded
from twofold.store import LARGEST, Remembered, check_append


def check_events(events: Iterable[Recorded[bytes]]) -> None:
    """Raise ValueError for an event that no store could take, whatever is in the log."""
    for event in events:
        new = NewEvent(id=event.id, type=event.type, schema=event.schema, data=event.data, metadata=event.metadata)
        check_append(event.stream, [new], None)


def check_fit(events: Sequence[Recorded[bytes]], head: int, versions: Mapping[str, int]) -> None:
    """Raise AdoptionRefused unless the events stand right behind a log of this head and these versions of streams.

    Raises EventIdTaken where one of them comes twice; whether the log has it, only the log can tell.
    """
    reached = dict(versions)
    for event in events:
        if not head < event.position <= LARGEST:
            raise AdoptionRefused(f"an event cannot have position {event.position} behind position {head}")
        head = event.position
        version = reached.get(event.stream, 0)
        if event.version != version + 1:
            raise AdoptionRefused(f"version {event.version} of {event.stream} cannot come after version {version}")
        reached[event.stream] = event.version
    seen = set[object]()
    for event in events:
        if event.id in seen:
            raise EventIdTaken(event.stream)
        seen.add(event.id)


class Answered(NamedTuple):
    """What an append was answered that carried an idempotency key.

    Where the append began among the events adopted before, `continues` is the position that it was answered then.
    """

    answer: Remembered
    continues: int | None

    def replaces(self, known: Remembered | None) -> bool:
        """Whether this is to be kept under its key, where that is known. Else the first answer stands."""
        return known is None or (known.receipt is not None and known.receipt.position == self.continues)


def answers(events: Sequence[Recorded[bytes]], last: Recorded[bytes] | None) -> Iterator[Answered]:
    """What the appends among these events were answered; `last` is the event before them, the head of the log.

    The events of one append are neighbours in one stream, of one message and with one key.
    """
    before = [] if last is None else [last]
    for _, group in groupby([*before, *events], _append_of):
        append = list(group)
        first, end = append[0], append[-1]
        asked = end.metadata.idempotency
        if asked is None or end is last or "\0" in asked.key + asked.fingerprint:  # with a NUL, nobody could ask again
            continue
        receipt = Receipt(end.stream, end.version, end.position)
        yield Answered(Remembered(asked, receipt, None), first.position if first is last else None)


def _append_of(event: Recorded[bytes]) -> object:
    return event.stream, event.metadata.message_id, event.metadata.idempotency
