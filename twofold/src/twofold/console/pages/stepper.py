"""The stepper: a projection's fold, walked through event by event."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.console.logins import Role
from twofold.console.stepping import step
from twofold.console.strip import strip
from twofold.console.visits import Page, Visit
from twofold.errors import EventUnreadable
from twofold.events import Recorded
from twofold.http.exchange import Response
from twofold.http.requests import Parameters
from twofold.inspecting.history import history
from twofold.inspecting.inspection import read_through
from twofold.inspecting.streams import streams

MOST = 200  # events of a stream that can be walked through
OFFERED = 12  # streams to choose from


def pages() -> Sequence[Page]:
    """The stepper. It shows whole rows, so it needs the role to see what is in them."""
    return [Page("GET", "/projections/step", show, role=Role.PAYLOADS)]


async def show(visit: Visit) -> Response:
    """GET /projections/step?name=&stream=&at=."""
    parameters = Parameters(visit.request, ("name", "stream", "at"))
    view = visit.console.views.view(parameters.text("name") or "")
    stream = parameters.text("stream") or ""
    at = parameters.whole("at", "Version", default=1, least=1, most=MOST)
    parameters.check()
    page = await history(visit.inspection, stream, limit=MOST)
    at = min(at, len(page.events))
    events = [event async for event in read_through(visit.console.views.store, stream, until=at)] if at else []
    readable = [event for event in events if isinstance(event, Recorded)]
    damaged = next((str(event) for event in events if isinstance(event, EventUnreadable)), None)
    return visit.page(
        "stepper.html",
        view=view,
        stream=stream,
        page=page,
        strip=strip(page.events),
        at=at,
        event=page.events[at - 1] if at else None,
        step=await step(view, readable) if readable and damaged is None else None,
        damaged=damaged,
        offered=[] if at else (await streams(visit.inspection, limit=OFFERED)).streams,
    )
