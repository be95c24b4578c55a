"""One event: as it was stored and as it is read today, where it came from, what came of it, and who has taken it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from twofold.console.visits import Page, Visit
from twofold.errors import EventCorrupt
from twofold.events import Recorded, category_of
from twofold.http.exchange import Response
from twofold.http.problems import Problem
from twofold.http.requests import Parameters
from twofold.inspecting.correlation import correlation
from twofold.inspecting.events import ShownEvent, shown
from twofold.model import source_of
from twofold.operating import Found, Operator
from twofold.overview import Status, overview
from twofold.parked import event_at
from twofold.store import LARGEST
from twofold.views import identity

RELATED = 200  # events of the same correlation that are looked at


def pages() -> Sequence[Page]:
    """The event."""
    return [Page("GET", "/event", show)]


class Taken(NamedTuple):
    """What a projection has made of the event."""

    name: str
    status: Status
    outcome: str


async def show(visit: Visit) -> Response:
    """GET /event?position=, or ?id=."""
    parameters = Parameters(visit.request, ("position", "id"))
    position = parameters.whole("position", "Position", default=None, least=1, most=LARGEST)
    id = parameters.read("id", "Id", "the id of an event", read_id)
    parameters.check()
    found = await _find(visit, position, id)
    event = shown(visit.inspection, found, whole=True)
    causes: list[ShownEvent] = []
    effects: list[ShownEvent] = []
    others: list[ShownEvent] = []
    if event.said is not None:
        related = await correlation(visit.inspection, event.said.correlation_id, limit=RELATED)
        for message in related.messages:
            for each in message.events:
                if each.id == event.id:
                    continue
                if message.cause in (event.id, event.said.message_id):
                    effects.append(each)
                elif event.said.causation_id in (each.id, message.id):
                    causes.append(each)
                else:
                    others.append(each)
    return visit.page(
        "event.html",
        event=event,
        causes=causes,
        effects=effects,
        others=others,
        taken=await _taken(visit, event) if event.position is not None else [],
    )


async def _find(visit: Visit, position: int | None, id: UUID | None) -> Recorded[bytes] | EventCorrupt:
    store = visit.console.views.store
    try:
        if id is not None:
            found = await store.find(id)
        else:
            found = await event_at(store, position or 0)
    except EventCorrupt as error:
        return error
    except LookupError:
        found = None
    if found is None:
        raise Problem(404, "event-missing", "There is no such event in the log")
    return found


async def _taken(visit: Visit, event: ShownEvent) -> list[Taken]:
    """What became of the event in each projection that folds its category, as far as the code tells."""
    views = visit.console.views
    position = event.position or 0
    known = {identity(view): view for view in views.all.values()}
    taken: list[Taken] = []
    for status in await overview(views.store, views):
        view = known.get(status.name)
        source = source_of(view) if view is not None else None
        if source is not None and category_of(event.stream) not in source.categories:
            continue
        letters = []
        if status.letters:
            letters = [
                each
                for each in await Operator(views).letters(Found(status.name, None))
                if each.position == position and each.skipped is None
            ]
        outcome = "parked" if letters else "taken" if status.position >= position else "not yet"
        taken.append(Taken(view.name if view is not None else status.name, status, outcome))
    return taken


def read_id(text: str) -> UUID | None:
    """An id; None if it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None
