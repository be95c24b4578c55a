"""The live tail: what is appended, as it comes, by server-sent events; and the newest events without scripts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from functools import partial

import msgspec

from twofold.console.live import Batch, Filter
from twofold.console.visits import Page, Visit
from twofold.events import Recorded
from twofold.http.exchange import Response
from twofold.http.requests import Parameters
from twofold.http.streams import HEARTBEAT, HEARTBEAT_SECONDS, frame
from twofold.inspecting.events import shown
from twofold.inspecting.inspection import read_back_through
from twofold.inspecting.streams import categories
from twofold.store import LARGEST

SHOWN = 100  # events of the page before anything comes


def pages() -> Sequence[Page]:
    """The page, and the stream that it listens to."""
    return [Page("GET", "/live", show), Page("GET", "/live/events", follow)]


def _filter(visit: Visit, *more: str) -> tuple[Filter, Parameters]:
    parameters = Parameters(visit.request, ("category", "type", "actor", "text", *more))
    texts = {name: parameters.text(name) or "" for name in ("category", "type", "actor", "text")}
    return Filter(**texts), parameters


async def show(visit: Visit) -> Response:
    """GET /live?category=&type=&actor=&text=&before=."""
    chosen, parameters = _filter(visit, "before")
    before = parameters.whole("before", "Before", default=None, least=1, most=LARGEST)
    parameters.check()
    inspection = visit.inspection
    page = [event async for event in read_back_through(inspection.store, before=before, limit=SHOWN)]
    events = [
        shown(inspection, event)
        for event in page
        if not isinstance(event, Recorded) or chosen.passes(event, personal=inspection.personal)
    ]
    before = page[-1].position if len(page) == SHOWN else None
    known = await categories(inspection)
    return visit.page("live.html", events=events, next=before, chosen=chosen, categories=known)


async def follow(visit: Visit) -> Response:
    """GET /live/events: a frame `event` with rows, newest first, and `left` that says how many are not among them."""
    chosen, parameters = _filter(visit)
    parameters.check()
    return await visit.console.streams.response(partial(_frames, visit, chosen))


async def _frames(visit: Visit, chosen: Filter, stack: AsyncExitStack) -> AsyncGenerator[bytes]:
    feed = await stack.enter_async_context(visit.console.tail.feed(visit.inspection, chosen))

    async def frames() -> AsyncGenerator[bytes]:
        while True:
            batch = await feed.next(HEARTBEAT_SECONDS)
            if batch is None:
                yield HEARTBEAT
                continue
            if batch.left:
                yield frame(batch.position, "left", msgspec.json.encode(_left(visit, batch)))
            if batch.events:
                rows = "".join(visit.row(event) for event in reversed(batch.events))
                yield frame(batch.position, "event", msgspec.json.encode(rows))

    return frames()


def _left(visit: Visit, batch: Batch) -> str:
    return visit.console.site.text("tail.html", "left", batch.left)
