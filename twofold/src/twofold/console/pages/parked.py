"""Parked letters: found by projection, sequence and kind of error; understood; retried, skipped, taken back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from twofold.console.fields import compared, parsed
from twofold.console.logins import Role
from twofold.console.pages.projections import given_reason
from twofold.console.visits import Page, Visit
from twofold.errors import Fault, LetterUnknown, ValidationFailed
from twofold.events import Recorded
from twofold.http.exchange import Response
from twofold.http.letters import moment
from twofold.http.requests import Parameters
from twofold.operating import Found, Operator, Retried
from twofold.parked import BEHIND, Letter
from twofold.rehearsal import Rehearsed, rehearse
from twofold.sequences import kind_of
from twofold.store import LARGEST
from twofold.views import identity

SHOWN = 200  # sequences on a page
LONGEST_SEQUENCE = 2000


def pages() -> Sequence[Page]:
    """The list, each letter, and what is done about it."""
    return [
        Page("GET", "/parked", show_all),
        Page("GET", "/parked/show", show_one),
        Page("POST", "/parked/rehearse", rehearsed, role=Role.OPERATE),
        Page("POST", "/parked/retry", retry, role=Role.OPERATE),
        Page("POST", "/parked/skip", skip, role=Role.OPERATE),
        Page("POST", "/parked/undo-skip", undo_skip, role=Role.OPERATE),
    ]


class Sequenced(NamedTuple):
    """A parked sequence: the first of its letters that waits, or was skipped, and how many there are."""

    projection: str
    sequence: str
    first: Letter
    waiting: int
    skipped: int
    since: datetime

    @property
    def kind(self) -> str:
        """The kind of error that stopped it."""
        return kind_of(self.first.error) or "no error"


async def sequences(visit: Visit) -> list[Sequenced]:
    """All parked sequences of all projections, the longest waiting first."""
    views = visit.console.views
    operator = Operator(views)
    names = {identity(view): view.name for view in views.all.values()}
    found: list[Sequenced] = []
    for name in await operator.names():
        grouped: dict[str, list[Letter]] = {}
        for letter in await operator.letters(Found(name, None)):
            grouped.setdefault(letter.sequence, []).append(letter)
        for sequence, letters in grouped.items():
            waiting = [letter for letter in letters if letter.skipped is None]
            first = min(waiting or letters, key=lambda letter: letter.position)
            skipped = len({letter.position for letter in letters if letter.skipped is not None})
            count = len({letter.position for letter in waiting})
            since = moment(min(letter.parked_at for letter in letters))
            found.append(Sequenced(names.get(name, name), sequence, first, count, skipped, since))
    return sorted(found, key=lambda each: (each.waiting == 0, each.first.parked_at))


async def show_all(visit: Visit) -> Response:
    """GET /parked?projection=&kind=&sequence=."""
    parameters = Parameters(visit.request, ("projection", "kind", "sequence"))
    asked = {name: parameters.text(name) for name in ("projection", "kind", "sequence")}
    parameters.check()
    every = await sequences(visit)
    chosen = [
        each
        for each in every
        if asked["projection"] in (None, each.projection)
        and asked["kind"] in (None, each.kind)
        and (asked["sequence"] or "") in each.sequence
    ]
    return visit.page(
        "parked.html",
        sequences=chosen[:SHOWN],
        more=len(chosen) - SHOWN,
        every=len(every),
        kinds=Counter((each.projection, each.kind) for each in every if each.waiting).most_common(),
        projections=sorted({each.projection for each in every}),
        asked=asked,
    )


class _Asked(NamedTuple):
    """What a form speaks of."""

    projection: str
    sequence: str
    position: int | None


def _asked(visit: Visit) -> _Asked:
    form = visit.form
    position = form.text("position")
    if position and not (position.isdecimal() and len(position) < 20):
        raise ValidationFailed([Fault("Position must be a whole number", "position", "type")])
    if len(form.text("sequence")) > LONGEST_SEQUENCE:
        raise ValidationFailed([Fault("Sequence is too long", "sequence", "too_long")])
    number = min(int(position), LARGEST) if position else None
    return _Asked(form.text("projection"), form.text("sequence"), number)


async def show_one(visit: Visit) -> Response:
    """GET /parked/show?projection=&position=&sequence=."""
    parameters = Parameters(visit.request, ("projection", "position", "sequence"))
    name = parameters.text("projection") or ""
    position = parameters.whole("position", "Position", default=0, least=0, most=LARGEST)
    sequence = parameters.text("sequence")
    parameters.check()
    return await _letter(visit, name, position, sequence)


async def _letter(
    visit: Visit, name: str, position: int, sequence: str | None, rehearsal: Rehearsed | None = None
) -> Response:
    operator = Operator(visit.console.views)
    found = await operator.find(name)
    letters = await operator.letters(found)
    own = [each for each in letters if each.position == position and sequence in (None, each.sequence)]
    if not own:
        raise LetterUnknown(found.name, position, sequence)
    chain = sorted({each.position: each for each in letters if each.sequence == own[0].sequence}.values(), key=_place)
    event = await operator.event_at(position)
    return visit.page(
        "letter.html",
        projection=name,
        code=found.view is not None,
        letter=own[0],
        since=moment(own[0].parked_at),
        retry_at=None if own[0].retry_at is None else moment(own[0].retry_at),
        behind=BEHIND,
        first=next((each for each in chain if each.skipped is None), None),
        chain=chain[:SHOWN],
        more=len(chain) - SHOWN,
        event=event if isinstance(event, Recorded) else None,
        unreadable=None if isinstance(event, Recorded) else str(event),
        rehearsal=rehearsal,
        rehearsed=[] if rehearsal is None else compared(parsed(rehearsal.before), parsed(rehearsal.after)),
    )


def _place(letter: Letter) -> int:
    return letter.position


# --- changes ---------------------------------------------------------------------------------------------------------


async def rehearsed(visit: Visit) -> Response:
    """POST /parked/rehearse: what a retry would come to; nothing is stored."""
    asked = _asked(visit)
    found = await Operator(visit.console.views).find(asked.projection)
    outcome = await rehearse(visit.console.views, found, asked.sequence)
    return await _letter(visit, asked.projection, asked.position or 0, asked.sequence, outcome)


async def retry(visit: Visit) -> Response:
    """POST /parked/retry: one sequence, those of one kind of error, or all of a projection."""
    asked, kind = _asked(visit), visit.form.text("kind")
    operator = Operator(visit.console.views, visit.actor)
    found = await operator.find(asked.projection)
    if asked.sequence:
        done = await operator.retry(found, sequence=asked.sequence)
    elif kind:
        own = [each for each in await sequences(visit) if each.projection == asked.projection and each.waiting]
        done = [
            outcome for each in own if each.kind == kind for outcome in await _retried(operator, found, each.sequence)
        ]
    else:
        done = await operator.retry(found)
    return visit.leave("/parked", told(done), projection=asked.projection)


async def _retried(operator: Operator, found: Found, sequence: str) -> Sequence[Retried]:
    try:
        return await operator.retry(found, sequence=sequence)
    except LetterUnknown:  # it drained by itself meanwhile
        return ()


def told(done: Sequence[Retried]) -> str:
    """What became of a retry, in a sentence."""
    folded, left = sum(each.folded for each in done), sum(each.left for each in done)
    drained = len({each.sequence for each in done if not each.left})
    sentence = f"{folded} events folded; {drained} of {len({each.sequence for each in done})} sequences drained."
    failed = next((each for each in done if each.error), None)
    if failed is not None:
        sentence += f" {left} events are left, the first of {failed.sequence[:100]}: {failed.error}"[:300]
    return sentence


async def skip(visit: Visit) -> Response:
    """POST /parked/skip: leave the first event of a sequence out; those behind it are tried soon."""
    asked, reason = _asked(visit), given_reason(visit)
    operator = Operator(visit.console.views, visit.actor)
    found = await operator.find(asked.projection)
    await operator.skip(found, asked.position or 0, asked.sequence or None, reason)
    return _back(visit, asked, f"Event {asked.position} is left out; those behind it are tried now.")


async def undo_skip(visit: Visit) -> Response:
    """POST /parked/undo-skip: take it back into its sequence."""
    asked = _asked(visit)
    operator = Operator(visit.console.views, visit.actor)
    found = await operator.find(asked.projection)
    await operator.undo_skip(found, asked.position or 0, asked.sequence or None)
    return _back(visit, asked, f"Event {asked.position} is back in its sequence.")


def _back(visit: Visit, asked: _Asked, said: str) -> Response:
    query = {"projection": asked.projection, "position": asked.position, "sequence": asked.sequence or None}
    return visit.leave("/parked/show", said, **query)
