"""A retry of parked events rehearsed: folded with today's code, in a transaction that is then undone.

So an operator knows what a retry would come to before it is made: which events would go in, where it would stop and
why, and what the row would become.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy.sql import ClauseElement

from twofold.errors import LetterUnknown, ProjectionCodeMissing
from twofold.operating import Found
from twofold.parked import Parked, event_at
from twofold.sequences import Failures, Part, describe, is_poison, stream_sequence
from twofold.sql import Work
from twofold.table_view import TableView
from twofold.views import View, Views

MOST = 1000  # letters of a sequence that are rehearsed


class Rehearsed(NamedTuple):
    """What a retry would come to: how many of how many events would be folded, and why no more.

    `before` and `after` are the stored bodies of the row, where the view has one for the sequence.
    """

    sequence: str
    folded: int
    waiting: int
    error: str | None
    before: bytes | None
    after: bytes | None


class _Undone(Exception):
    """Raised at the end of the transaction, so that nothing of it is stored."""


async def rehearse(views: Views, found: Found, sequence: str) -> Rehearsed:
    """Rehearse the retry of a sequence. Raises ProjectionCodeMissing, and LetterUnknown if nothing of it waits."""
    view = found.view
    if view is None:
        raise ProjectionCodeMissing(found.name)
    positions = sorted(
        letter.position
        for letter in await Parked(views.store).letters(found.name)
        if letter.sequence == sequence and letter.skipped is None
    )[:MOST]
    if not positions:
        raise LetterUnknown(found.name, 0, sequence)
    parts, error = await _readable(views, view, sequence, positions)
    rows: list[bytes | None] = [None, None]
    failures: Failures = {}

    def attempt() -> Work[None]:
        failures.clear()
        rows[0] = yield from _row(views, view, sequence)
        yield from view.fold_parts(views.current, parts, failures)
        rows[1] = yield from _row(views, view, sequence)
        raise _Undone

    folded = len({part.event.position for part in parts})
    try:
        await views.store.work(attempt)
    except _Undone:
        failure = failures.get(sequence)
        if failure is not None:
            error = failure.error
            folded = len({part.event.position for part in parts if part.event.position < failure.position})
    except Exception as raised:
        if not is_poison(raised):
            raise
        error, folded, rows[1] = describe(raised), 0, rows[0]
    return Rehearsed(sequence, folded, len(positions), error, *rows)


async def _readable(views: Views, view: View, sequence: str, positions: Sequence[int]) -> tuple[list[Part], str | None]:
    """What a retry would fold of these events, up to the first that cannot be read; and why that cannot."""
    parts: list[Part] = []
    of_stream = sequence.startswith(stream_sequence(""))
    for position in positions:
        try:
            own = view.parts(await event_at(views.store, position))
        except Exception as error:
            if not is_poison(error):
                raise
            return parts, describe(error)
        parts += [part for part in own if of_stream or part.sequence == sequence]
    return parts, None


def _row(views: Views, view: View, sequence: str) -> Work[bytes | None]:
    """The stored body of the sequence's row, if it has one."""
    by_key: ClauseElement | None = view.by_key if isinstance(view, TableView) else None
    if by_key is None:
        return None
    rows = yield views.current.statement(by_key).fetch(b_key=sequence)
    return rows[0][0] if rows else None
