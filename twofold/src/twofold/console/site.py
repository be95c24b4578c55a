"""The console as routes: each page with the role that it needs, each answer with headers that let nothing in.

Every page works without scripts; scripts only enhance. No page has a script or a style of its own, so the policy allows
none, and stored data that looks like one would stay text even where a template were wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from twofold.bus import CommandBus
from twofold.console import texts
from twofold.console.access import Access
from twofold.console.pages import PAGES
from twofold.console.visits import PREFIX, Console, Page, Visit
from twofold.errors import StoreUnavailable, ValidationFailed
from twofold.http.application import Handler, Route
from twofold.http.exchange import Request, Response
from twofold.http.html import Site, address_of
from twofold.http.problems import Explain, Problem, problem_of
from twofold.metrics import Metrics
from twofold.model import Model
from twofold.views import Views

log = logging.getLogger("twofold.console")

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def console(
    views: Views,
    access: Access,
    *,
    title: str = "Twofold",
    model: Model | None = None,
    commands: CommandBus | None = None,
    metrics: Metrics | None = None,
    explain: Explain = lambda _error: None,
) -> Console:
    """The console of an application; `title` is what people call it. Without `commands` they are only tried."""
    site = Site("twofold.console", at=PREFIX, filters=texts.FILTERS, explain=explain)
    return Console(views, access, site, title, model, commands, metrics, explain=explain)


def routes(console: Console) -> Sequence[Route]:
    """All that the console answers."""
    pages = [page for module in PAGES for page in module.pages()]
    pages.append(Page("GET", "/{rest:path}", _nothing, role=None))
    return [
        console.site.files(),
        *(Route(page.method, PREFIX + page.path, _guarded(console, page)) for page in pages),
    ]


def _guarded(console: Console, page: Page) -> Handler:
    """The page, for who may see it."""

    async def handle(request: Request) -> Response:
        visit = Visit(console, request)
        try:
            if page.role is not None:
                visit.visitor = await console.access.permit(request, page.role)
            if request.method == "POST":
                visit.form = await console.site.read_form(request)
            response = await page.handler(visit)
        except Exception as error:
            response = _failed(visit, error)
        response.headers = {**_HEADERS, **response.headers}
        return response

    return handle


async def _nothing(_visit: Visit) -> Response:
    raise Problem(404, "http", "There is nothing here")


def _failed(visit: Visit, error: Exception) -> Response:
    """The page of an error. Who is not logged in is led to where that is done."""
    problem = error if isinstance(error, Problem) else problem_of(error, visit.console.explain)
    request = visit.request
    if problem.status == 401 and request.method == "GET" and "hx-request" not in request.headers:
        return visit.leave("/login", next=address_of(request))
    if problem.status >= 500 and not isinstance(error, Problem):  # the path may name a person: it is not logged
        trace = None if isinstance(error, StoreUnavailable) else error
        log.error("%s failed: %s", request.method, type(error).__name__, exc_info=trace)
    sentences = [fault.message for fault in error.faults] if isinstance(error, ValidationFailed) else [str(problem)]
    response = visit.page(
        "problem.html", problem.status, status=problem.status, error=problem.error, sentences=sentences
    )
    response.headers.update(problem.headers)
    return response
