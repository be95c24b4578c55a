"""The streams, newest activity first: by category, from any position or time on back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from twofold.console.visits import Page, Visit
from twofold.http.exchange import Response
from twofold.http.requests import Parameters
from twofold.inspecting.streams import categories, position_at, streams
from twofold.store import LARGEST

SHOWN = 50


def pages() -> Sequence[Page]:
    """The list."""
    return [Page("GET", "/streams", show)]


async def show(visit: Visit) -> Response:
    """GET /streams?category=&before=&time=."""
    parameters = Parameters(visit.request, ("category", "before", "time"))
    category = parameters.text("category")
    before = parameters.whole("before", "Before", default=None, least=1, most=LARGEST)
    time = parameters.read("time", "Time", "a date, or a date and time, like 2026-01-31T14:00", read_time)
    parameters.check()
    if time is not None:
        before = await position_at(visit.console.views.store, time) + 1
    page = await streams(visit.inspection, category=category, before=before, limit=SHOWN)
    return visit.page(
        "streams.html",
        streams=page.streams,
        next=page.before,
        category=category,
        categories=await categories(visit.inspection),
        before=before,
        time=time,
    )


def read_time(text: str) -> datetime | None:
    """A time that a form says, in UTC, which it is without a zone; None if it is none."""
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
