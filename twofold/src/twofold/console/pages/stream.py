"""One stream: its events on a strip, and what it was after any of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from twofold.console.fields import compared
from twofold.console.logins import Role
from twofold.console.strip import strip
from twofold.console.texts import shown
from twofold.console.visits import Page, Visit
from twofold.errors import ExportRefused
from twofold.http.exchange import Response
from twofold.http.problems import Problem
from twofold.http.requests import Parameters
from twofold.inspecting.changes import difference, explain
from twofold.inspecting.exporting import export
from twofold.inspecting.forms import forms
from twofold.inspecting.history import history, state_at
from twofold.inspecting.inspection import version_of
from twofold.inspecting.rows import rows
from twofold.store import LARGEST

SHOWN = 100  # events of a stream on one page


def pages() -> Sequence[Page]:
    """The stream."""
    return [Page("GET", "/stream", show)]


async def show(visit: Visit) -> Response:
    """GET /stream?name=&at=&from=&show=: the stream at a version, and one way to look at it."""
    parameters = Parameters(visit.request, ("name", "at", "from", "show"))
    name = parameters.text("name") or ""
    at = parameters.whole("at", "Version", default=None, least=0, most=LARGEST)
    since = parameters.whole("from", "From version", default=None, least=0, most=LARGEST)
    way = parameters.text("show") or "state"
    parameters.check()
    if way not in WAYS:
        raise Problem(404, "http", f"There is nothing to show that is called {way[:50]}")
    last = await version_of(visit.inspection.store, name)
    if not last:
        raise Problem(404, "stream-missing", f"There is no stream {shown(name, 200)}")
    at = last if at is None else min(at, last)
    page = await history(visit.inspection, name, after=max(0, at - 1) // SHOWN * SHOWN, limit=SHOWN)
    since = max(0, at - 1) if since is None else min(since, page.version)
    chosen = next((event for event in page.events if event.version == at), None)
    return visit.page(
        "stream.html",
        name=name,
        page=page,
        strip=strip(page.events),
        at=at,
        since=since,
        way=way,
        ways=[each for each in WAYS if each != "test" or visit.may(Role.PAYLOADS)],
        chosen=chosen,
        **await WAYS[way](visit, name, at, since),
    )


async def _state(visit: Visit, name: str, at: int, since: int) -> Mapping[str, Any]:
    before = await state_at(visit.inspection, name, since)
    state = await state_at(visit.inspection, name, at)
    changes = await difference(visit.inspection, name, since, at)
    return {"state": state, "fields": compared(before.state, state.state), "changes": changes}


async def _explain(visit: Visit, name: str, at: int, _since: int) -> Mapping[str, Any]:
    return {"explained": await explain(visit.inspection, name, at)}


async def _rows(visit: Visit, name: str, _at: int, _since: int) -> Mapping[str, Any]:
    return {"rows": [(row, compared(row.stored, row.folded)) for row in await rows(visit.inspection, name)]}


async def _commands(visit: Visit, name: str, _at: int, _since: int) -> Mapping[str, Any]:
    return {"forms": [form for form in forms(visit.inspection) if name.startswith(f"{form.category}-")]}


async def _test(visit: Visit, name: str, at: int, _since: int) -> Mapping[str, Any]:
    if not visit.may(Role.PAYLOADS):
        raise Problem(403, "role-missing", "A test has all that is in the events: it needs the role payloads")
    try:
        return {"source": await export(visit.inspection, name, version=at), "refused": None}
    except ExportRefused as error:
        return {"source": None, "refused": str(error)}


WAYS: Mapping[str, Callable[[Visit, str, int, int], Awaitable[Mapping[str, Any]]]] = {
    "state": _state,
    "explain": _explain,
    "rows": _rows,
    "commands": _commands,
    "test": _test,
}
"""The ways to look at a stream, and what each page is given."""
