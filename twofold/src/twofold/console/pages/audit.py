"""Audit: what operators did, when and why, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.auditing import actions
from twofold.console.visits import Page, Visit
from twofold.http.exchange import Response
from twofold.http.requests import Parameters
from twofold.store import LARGEST

SHOWN = 50


def pages() -> Sequence[Page]:
    """The list."""
    return [Page("GET", "/audit", show)]


async def show(visit: Visit) -> Response:
    """GET /audit?before=."""
    parameters = Parameters(visit.request, ("before",))
    before = parameters.whole("before", "Before", default=None, least=1, most=LARGEST)
    parameters.check()
    page = await actions(visit.console.views.store, before=before, limit=SHOWN, personal=visit.sees_payloads)
    return visit.page("audit.html", actions=page.actions, next=page.before, before=before)
