"""The first page: is all well, is the read side keeping up, is anything stuck."""

from __future__ import annotations

import time
from collections.abc import Sequence

from twofold.console.visits import Page, Visit
from twofold.errors import TwofoldError
from twofold.http.exchange import Response
from twofold.http.requests import Parameters
from twofold.overview import overview
from twofold.views import identity


def pages() -> Sequence[Page]:
    """The overview."""
    return [Page("GET", "", show)]


async def show(visit: Visit) -> Response:
    """GET /console."""
    Parameters(visit.request, ()).check()
    views, trends = visit.console.views, visit.console.trends
    began = time.perf_counter()
    trouble = None
    try:
        await views.store.check()
    except TwofoldError as error:
        trouble = str(error)
    statuses = await overview(views.store, views)
    trends.note(statuses)
    names = {identity(view): view.name for view in views.all.values()}
    worst = sorted(statuses, key=lambda status: (-status.letters, -status.behind))
    return visit.page(
        "overview.html",
        trouble=trouble,
        head=await views.store.head(),
        kind=views.store.dialect,
        statuses=[(status, names.get(status.name, status.name), trends.trend(status.name)) for status in worst],
        behind=max((status.behind for status in statuses), default=0),
        letters=sum(status.letters for status in statuses),
        stuck=[status for status in statuses if status.state in ("failed", "paused", "detached")],
        seconds=time.perf_counter() - began,
    )
