"""The first page: is all well, is the read side keeping up, is anything stuck, what happened of late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from twofold.console.visits import Page, Visit
from twofold.errors import TwofoldError
from twofold.events import Recorded, category_of
from twofold.http.exchange import Response
from twofold.http.requests import Parameters
from twofold.inspecting.inspection import read_back_through
from twofold.metrics import Sample
from twofold.overview import overview
from twofold.sequences import outlined
from twofold.store import Store
from twofold.views import identity

LATE = timedelta(hours=1)
LOOKED_AT = 500  # events, from the end of the log, that are counted by type
DRAWN = 60  # points of a line; each is the mean of as many samples as it takes
RECENT_SECONDS = 10  # over which a figure is the mean


def pages() -> Sequence[Page]:
    """The overview."""
    return [Page("GET", "", show)]


class Gauge(NamedTuple):
    """A number of this process: what it is called and counted in, how it is now, and how it was in the last hour."""

    name: str
    unit: str
    now: float
    line: Sequence[float]


class Late(NamedTuple):
    """What was appended in the last hour, by category and type; `all_of_it` unless there was more than is looked at."""

    counts: Sequence[tuple[tuple[str, str], int]]
    streams: int
    all_of_it: bool


async def show(visit: Visit) -> Response:
    """GET /console."""
    Parameters(visit.request, ()).check()
    views, trends = visit.console.views, visit.console.trends
    trouble = None
    try:
        await views.store.check()
    except TwofoldError as error:
        trouble = str(error) if visit.sees_payloads else outlined(error)
    statuses = await overview(views.store, views, personal=visit.sees_payloads)
    trends.note(statuses)
    names = {identity(view): view.name for view in views.all.values()}
    worst = sorted(statuses, key=lambda status: (-status.letters, -status.behind))
    metrics = visit.console.metrics
    return visit.page(
        "overview.html",
        trouble=trouble,
        head=await views.store.head(),
        kind=views.store.dialect,
        statuses=[(status, names.get(status.name, status.name), trends.trend(status.name)) for status in worst],
        behind=max((status.behind for status in statuses), default=0),
        letters=sum(status.letters for status in statuses),
        stuck=[status for status in statuses if status.state in ("failed", "ahead", "paused", "detached")],
        gauges=gauges(metrics.history()) if metrics is not None else [],
        late=await late(views.store),
    )


def gauges(samples: Sequence[Sample]) -> list[Gauge]:
    """The numbers of the last hour, as they are drawn."""
    if not samples:
        return []
    drawn = (
        ("Appends", "/s", [sample.appends for sample in samples]),
        ("Conflicts", "/s", [sample.conflicts for sample in samples]),
        ("Append, 99th percentile", "ms", [sample.append_p99 * 1000 for sample in samples]),
        ("Requests", "/s", [sample.requests for sample in samples]),
        ("Request, 99th percentile", "ms", [sample.request_p99 * 1000 for sample in samples]),
        ("Event loop late", "ms", [sample.loop_lag * 1000 for sample in samples]),
    )
    return [Gauge(name, unit, mean(values[-RECENT_SECONDS:]), line(values)) for name, unit, values in drawn]


def line(values: Sequence[float]) -> list[float]:
    """The values as so many points."""
    size = -(-len(values) // DRAWN)
    return [mean(values[start : start + size]) for start in range(0, len(values), size)]


def mean(values: Sequence[float]) -> float:
    """Their mean."""
    return sum(values) / len(values)


async def late(store: Store) -> Late:
    """What was appended in the last hour."""
    since = datetime.now(UTC) - LATE
    counts: Counter[tuple[str, str]] = Counter()
    streams: set[str] = set()
    looked = 0
    async for event in read_back_through(store, before=None, limit=LOOKED_AT):
        if isinstance(event, Recorded) and event.recorded_at < since:
            break
        looked += 1
        counts[category_of(event.stream), event.type] += 1
        streams.add(event.stream)
    return Late(counts.most_common(12), len(streams), looked < LOOKED_AT)
