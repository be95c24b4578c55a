"""What an operator does to subscriptions and their parked events, whether at a terminal or through an API.

Subscriptions are found by the names that people use. Whatever process runs one notices a change in its next
transaction, so nothing has to be stopped or started for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import NamedTuple

from msgspec import Struct

from twofold.auditing import SOMEBODY, Actor, Outcome, recorded
from twofold.claims import Claims
from twofold.errors import (
    EventUnreadable,
    LetterRefused,
    LetterUnknown,
    ProjectionCodeMissing,
    ProjectionInline,
    ProjectionUnknown,
)
from twofold.events import Recorded
from twofold.parked import Letter, Parked, event_at
from twofold.sequences import Subscriber
from twofold.sql import Work
from twofold.views import View, Views, identity, remade


class Found(NamedTuple):
    """A subscription: its name in the store, and its view where the application has the code of it."""

    name: str
    view: View | None


class Retried(Struct, frozen=True):
    """What became of a sequence: how many events were folded, how many are left, and why."""

    sequence: str
    partition: int
    folded: int
    left: int
    error: str | None


class Operator:
    """The subscriptions of a store, for whoever looks after them. Changes are recorded: see `twofold.auditing`."""

    def __init__(self, views: Views, by: Actor = SOMEBODY) -> None:
        """`views` are those that the application has code of; they may be none, and then nothing can be folded here."""
        self._views = views
        self._by = by
        self._store = views.store
        self._claims = Claims(views.store.dialect)
        self._parked = Parked(views.store)

    async def names(self) -> list[str]:
        """The names of all subscriptions of the store."""
        return sorted(row[0] for row in await self._store.rows(self._claims.names()))

    async def find(self, asked: str) -> Found:
        """The subscription of a view that is named as in its code (`sales`), or one named as in the store (`sales_v1`).

        Raises ProjectionUnknown, and ProjectionInline for a view that is kept inline.
        """
        known = await self.names()
        for view in self._views.all.values():
            if asked in (view.name, identity(view)):
                if view in self._views.inline:
                    raise ProjectionInline(view.name)
                if identity(view) in known:
                    return Found(identity(view), view)
        if asked in known:
            return Found(asked, None)
        raise ProjectionUnknown(asked, known or ["none, as no subscription was ever started here"])

    async def pause(self, found: Found, reason: str) -> int:
        """Nobody may go on with it from now on; the reason is for whoever looks at it later. The position it is at."""
        async with self._recorded("pause", found, reason=reason):
            pausing = partial(self._claims.pause, found.name, _text(reason))
            return await self._store.work(partial(self._then_at, found, pausing))

    async def resume(self, found: Found) -> int:
        """Go on with it, also where it had failed; the position from which."""
        async with self._recorded("resume", found):
            return await self._store.work(partial(self._then_at, found, partial(self._claims.resume, found.name)))

    async def reset(self, found: Found) -> int:
        """Empty the view's tables, forget its parked events, and begin anew, in one transaction; also if it was paused.

        Whoever runs it folds the log from its beginning, position 0. Queries see the view grow meanwhile; a process
        that starts waits until it is whole. Raises ProjectionCodeMissing.
        """
        view = _code_of(found)
        async with self._recorded("reset", found):
            return await self._store.work(partial(self._then_at, found, partial(self._begin_anew, view)))

    def _then_at(self, found: Found, change: Callable[[], Work[object]]) -> Work[int]:
        """Change it, and say in the same transaction where it stands: right after, somebody may go on with it."""
        yield from change()
        parts = yield from self._claims.parts(found.name)
        return min((held.position for held in parts), default=0)

    def _begin_anew(self, view: View) -> Work[None]:
        name = identity(view)
        yield from self._claims.begin_anew(name)
        yield from self._parked.forget(name)
        yield from remade(self._views.current, view)

    # --- parked events ------------------------------------------------------------------------------------------------

    async def letters(self, found: Found) -> list[Letter]:
        """All letters of a subscription, by sequence and position."""
        return await self._parked.letters(found.name)

    async def letters_at(self, found: Found, position: int, sequence: str | None = None) -> list[Letter]:
        """The letters of an event, of one of its sequences or of all. Raises LetterUnknown if there are none.

        There is one for each sequence, and of an event that cannot be read one in each part of the subscription.
        """
        letters = [
            letter
            for letter in await self.letters(found)
            if letter.position == position and sequence in (None, letter.sequence)
        ]
        if not letters:
            raise LetterUnknown(found.name, position, sequence)
        return letters

    async def event_at(self, position: int) -> Recorded[bytes] | EventUnreadable:
        """An event as it stands in the log, or why it cannot be read: for that too an event may be parked."""
        try:
            return await event_at(self._store, position)
        except EventUnreadable as error:
            return error

    async def retry(
        self,
        found: Found,
        *,
        sequence: str | None = None,
        position: int | None = None,
        on_progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> list[Retried]:
        """Fold what waits with the code of today: each sequence in its order, the longest waiting first.

        Of all sequences, of one, or of those that an event is of. Raises ProjectionCodeMissing, and LetterUnknown if
        one was named and nothing of it waits.
        """
        subscriber: Subscriber = self._views.subscriber(_code_of(found))
        waiting = sorted(await self.letters(found), key=lambda letter: letter.position)
        asked = dict.fromkeys(  # the keys of a dictionary keep their order
            (letter.partition, letter.sequence)
            for letter in waiting
            if letter.skipped is None and sequence in (None, letter.sequence) and position in (None, letter.position)
        )
        if not asked and (sequence is not None or position is not None):
            raise LetterUnknown(found.name, position, sequence)
        outcomes: list[Retried] = []
        async with self._recorded("retry", found, sequence=sequence, position=position) as outcome:
            for number, part in enumerate(asked):
                on_progress(number, len(asked))
                outcomes.append(Retried(part[1], part[0], *await self._parked.retry(subscriber, *part)))
            folded = sum(each.folded for each in outcomes)
            outcome.text = f"{folded} folded, {sum(each.left for each in outcomes)} left"
        return outcomes

    async def skip(self, found: Found, position: int, sequence: str | None, reason: str) -> Letter:
        """Leave an event, the first of its sequence that waits, out of it; those behind it are tried soon.

        The sequence may be left open where the event is parked in one only. Raises LetterUnknown, LetterRefused.
        """
        letters = await self._of_one_sequence(found, position, sequence)
        waiting = [letter for letter in letters if letter.skipped is None] or letters
        async with self._recorded("skip", found, sequence=letters[0].sequence, position=position, reason=reason):
            await self._store.work(lambda: _each(waiting, partial(self._parked.leave_out, reason=_text(reason))))
        return letters[0]

    async def undo_skip(self, found: Found, position: int, sequence: str | None) -> Letter:
        """Take a skipped event back into its sequence. Raises LetterUnknown, LetterRefused, SkipOvertaken."""
        letters = await self._of_one_sequence(found, position, sequence)
        skipped = [letter for letter in letters if letter.skipped is not None] or letters
        async with self._recorded("undo-skip", found, sequence=letters[0].sequence, position=position):
            await self._store.work(lambda: _each(skipped, self._parked.take_back))
        return letters[0]

    def _recorded(
        self,
        what: str,
        found: Found,
        *,
        sequence: str | None = None,
        position: int | None = None,
        reason: str | None = None,
    ) -> AbstractAsyncContextManager[Outcome]:
        return recorded(
            self._store,
            self._by,
            what,
            projection=found.name,
            sequence=sequence,
            position=position,
            reason=None if reason is None else _text(reason),
        )

    async def _of_one_sequence(self, found: Found, position: int, sequence: str | None) -> list[Letter]:
        letters = await self.letters_at(found, position, sequence)
        sequences = sorted({letter.sequence for letter in letters})
        if len(sequences) > 1:
            raise LetterRefused(
                found.name, position, f"is parked in several sequences; say in which: {', '.join(sequences)}"
            )
        return letters


def _code_of(found: Found) -> View:
    if found.view is None:
        raise ProjectionCodeMissing(found.name)
    return found.view


def _each(letters: Sequence[Letter], work: Callable[[Letter], Work[None]]) -> Work[None]:
    for letter in letters:
        yield from work(letter)


def _text(reason: str) -> str:
    """A reason as every store can keep it."""
    return reason.strip().encode(errors="replace").decode()
