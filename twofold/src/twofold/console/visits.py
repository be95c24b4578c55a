"""What the pages of the console stand on, and a visit: one request to one page, by somebody who may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple
from urllib.parse import quote, unquote, urlencode

from twofold.auditing import Actor
from twofold.bus import CommandBus
from twofold.console.access import Access, Visitor
from twofold.console.jobs import Jobs
from twofold.console.live import LiveTail
from twofold.console.logins import Role
from twofold.console.trends import Trends
from twofold.http.exchange import Request, Response
from twofold.http.html import Form, Site, read_cookie
from twofold.http.problems import Explain
from twofold.http.requests import LONGEST_PARAMETER
from twofold.http.streams import Streams
from twofold.inspecting.events import ShownEvent
from twofold.inspecting.inspection import Inspection
from twofold.metrics import Metrics
from twofold.model import Model
from twofold.views import Views

PREFIX = "/console"
"""Where the console stands below the root of the application."""
NAVIGATION = (
    ("", "Overview", "o"),
    ("/streams", "Streams", "s"),
    ("/live", "Live", "l"),
    ("/projections", "Projections", "p"),
    ("/parked", "Parked", "k"),
    ("/commands", "Commands", "c"),
    ("/model", "Model", "m"),
    ("/audit", "Audit", "a"),
)
"""The pages that every page leads to: path, name, and the key that leads there behind g."""
SAID = "twofold-said"
"""The cookie that carries a sentence over a redirect, to the page that shows it once."""
LONGEST_SAID = 500


@dataclass(frozen=True)
class Console:
    """What an application gives its console, and the templates. Without a model nothing is known but the log."""

    views: Views
    access: Access
    site: Site
    title: str
    model: Model | None = None
    commands: CommandBus | None = None
    metrics: Metrics | None = None
    streams: Streams = field(default_factory=Streams)
    trends: Trends = field(default_factory=Trends)
    jobs: Jobs = field(default_factory=Jobs)
    explain: Explain = lambda _error: None

    @cached_property
    def tail(self) -> LiveTail:
        """The end of the log, for all live tails."""
        return LiveTail(self.views.store)

    def close(self) -> None:
        """End what would not end by itself: live streams and jobs."""
        self.streams.close()
        self.jobs.close()


class Page(NamedTuple):
    """What answers one method on one path below /console, and the role that it needs; None: nobody need be known."""

    method: str
    path: str
    handler: Callable[[Visit], Awaitable[Response]]
    role: Role | None = Role.SEE


class Visit:
    """A request to a page. `visitor` is None only on pages for everybody; `form` is what a POST has sent."""

    def __init__(self, console: Console, request: Request) -> None:
        self.console = console
        self.request = request
        self.visitor: Visitor | None = None
        self.form = Form(())

    @property
    def who(self) -> Visitor:
        """Who it is, on a page that is not for everybody."""
        if self.visitor is None:
            raise LookupError("this page is for everybody")
        return self.visitor

    def may(self, role: Role) -> bool:
        """Whether the visitor has this role."""
        return self.visitor is not None and self.visitor.may(role)

    @property
    def actor(self) -> Actor:
        """Who it is, as what it does is recorded."""
        return Actor(self.who.name, "console")

    @property
    def sees_payloads(self) -> bool:
        """Whether personal fields are shown."""
        return self.may(Role.PAYLOADS)

    @property
    def inspection(self) -> Inspection:
        """The log as this visitor may see it."""
        console = self.console
        return Inspection(console.views.store, console.model, console.views, personal=self.sees_payloads)

    def row(self, event: ShownEvent) -> str:
        """An event as a row of the live tail."""
        return self.console.site.text("tail.html", "row", event, self.url())

    @property
    def root(self) -> str:
        """What the paths of the application begin with: where it is mounted."""
        return quote(self.request.root)

    def url(self, path: str = "", **query: object) -> str:
        """The address of a page of the console; what is None is left out of its query.

        What is longer than a parameter may be is cut right behind that: the link leads to a page that says so, and
        names of a megabyte each make no page of a hundred of them.
        """
        given = {name: str(value)[: LONGEST_PARAMETER + 1] for name, value in query.items() if value is not None}
        return self.root + PREFIX + path + (f"?{urlencode(given)}" if given else "")

    def same(self, **changed: object) -> str:
        """The address of this page with some of its parameters changed; what is None is left out."""
        return self.url(self.request.path.removeprefix(PREFIX), **{**dict(self.request.query), **changed})

    def page(self, template: str, status: int = 200, /, **values: object) -> Response:
        """The page that a template makes of these values."""
        said = unquote(read_cookie(self.request, SAID))[:LONGEST_SAID]
        shared: Mapping[str, object] = {
            "visit": self,
            "url": self.url,
            "said": said,
            "operates": self.may(Role.OPERATE),
            "navigation": NAVIGATION,
        }
        response = self.console.site.render(self.request, template, status, **shared, **values)
        if said:
            response.headers["Set-Cookie"] = f"{SAID}=; Path={self.url()}; Max-Age=0"
        return response

    def leave(self, path: str, said: str = "", **query: object) -> Response:
        """Lead the browser to another page, which says this sentence once."""
        headers = {"Location": self.url(path, **query)}
        if said:
            kept = quote(said[:LONGEST_SAID], errors="replace")
            headers["Set-Cookie"] = f"{SAID}={kept}; Path={self.url()}; Max-Age=60; HttpOnly; SameSite=Strict"
        return Response(status=303, headers=headers)
