"""What came of one request: the tree of its messages and events, and the same as swimlanes."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.console.lanes import lanes
from twofold.console.pages.event import read_id
from twofold.console.visits import Page, Visit
from twofold.http.exchange import Response
from twofold.http.problems import Problem
from twofold.http.requests import Parameters
from twofold.inspecting.correlation import correlation
from twofold.store import LARGEST

SHOWN = 300  # events on a page


def pages() -> Sequence[Page]:
    """The correlation."""
    return [Page("GET", "/correlation", show)]


async def show(visit: Visit) -> Response:
    """GET /correlation?id=&after=."""
    parameters = Parameters(visit.request, ("id", "after"))
    id = parameters.read("id", "Id", "the id of a correlation", read_id)
    after = parameters.whole("after", "After", default=0, least=0, most=LARGEST)
    parameters.check()
    found = await correlation(visit.inspection, id, after=after, limit=SHOWN) if id is not None else None
    if found is None or not (found.events or found.troubles):
        raise Problem(404, "correlation-missing", "The log has no events of that correlation")
    return visit.page("correlation.html", correlated=found, lanes=lanes(found))
