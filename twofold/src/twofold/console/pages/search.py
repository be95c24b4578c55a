"""The search box: whatever a text names."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.console.visits import Page, Visit
from twofold.http.exchange import Response
from twofold.http.requests import Parameters
from twofold.inspecting.finding import Hit, HitKind, find


def pages() -> Sequence[Page]:
    """The search."""
    return [Page("GET", "/search", show)]


async def show(visit: Visit) -> Response:
    """GET /search?q=: all that the text names; where that is one thing for sure, straight to it."""
    parameters = Parameters(visit.request, ("q",))
    text = (parameters.text("q") or "").strip()
    parameters.check()
    hits = await find(visit.inspection, text) if text else []
    places = [(hit, place_of(visit, hit)) for hit in hits]
    sure = [place for hit, place in places if hit.kind is not HitKind.ROW] or [place for _, place in places]
    if len(set(sure)) == 1 and sure[0]:  # rows are found by their words too, which may say anything
        return Response(status=303, headers={"Location": sure[0]})
    return visit.page("search.html", searched=text, places=places)


def place_of(visit: Visit, hit: Hit) -> str:
    """The address of the page about what was found; empty where there is none."""
    match hit.kind:
        case HitKind.EVENT if hit.position is not None:
            return visit.url("/event", position=hit.position)
        case HitKind.MESSAGE | HitKind.CORRELATION if hit.correlation_id is not None:
            return visit.url("/correlation", id=hit.correlation_id)
        case HitKind.TIME:
            return visit.url("/streams", before=(hit.position or 0) + 1)
        case _ if hit.stream is not None:
            return visit.url("/stream", name=hit.stream, at=hit.version)
        case _:
            return ""
