"""The projections: how they stand, and what an operator does to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

from twofold import rebuild
from twofold.auditing import recorded
from twofold.building import Build, OnProgress
from twofold.claims import Claims, Held
from twofold.console.jobs import Job
from twofold.console.logins import Role
from twofold.console.trends import Trend
from twofold.console.visits import Page, Visit
from twofold.errors import Fault, ProjectionInline, ProjectionUnknown, ValidationFailed
from twofold.http.exchange import Response
from twofold.http.problems import Problem
from twofold.http.requests import Parameters
from twofold.operating import Found, Operator
from twofold.overview import Status, overview
from twofold.verify import compare
from twofold.views import View, Views, identity

LONGEST_REASON = 1000


def pages() -> Sequence[Page]:
    """The list, and each projection."""
    return [
        Page("GET", "/projections", show_all),
        Page("GET", "/projections/show", show_one),
        *(Page("POST", f"/projections/{name}", _told(name), role=Role.OPERATE) for name in (*STEERING, *WORKS)),
    ]


class Shown(NamedTuple):
    """A projection as its page shows it. `view` is there where this application has its code."""

    name: str
    status: Status
    trend: Trend | None
    view: View | None


async def shown(visit: Visit) -> list[Shown]:
    """All projections."""
    views, trends = visit.console.views, visit.console.trends
    statuses = await overview(views.store, views, personal=visit.sees_payloads)
    trends.note(statuses)
    known = {identity(view): view for view in views.all.values()}
    found: list[Shown] = []
    for status in statuses:
        view = known.get(status.name)
        name = view.name if view is not None else status.name
        found.append(Shown(name, status, trends.trend(status.name), view))
    return sorted(found, key=lambda each: each.name)


async def show_all(visit: Visit) -> Response:
    """GET /projections."""
    Parameters(visit.request, ()).check()
    return visit.page("projections.html", projections=await shown(visit))


async def show_one(visit: Visit) -> Response:
    """GET /projections/show?name=."""
    parameters = Parameters(visit.request, ("name",))
    name = parameters.text("name") or ""
    parameters.check()
    every = await shown(visit)
    one = next((each for each in every if name in (each.name, each.status.name)), None)
    if one is None:
        raise ProjectionUnknown(name, [each.name for each in every])
    views = visit.console.views
    claims = Claims(views.store.dialect)
    parts: list[Held] = await views.store.work(lambda: claims.parts(one.status.name))
    built = one.view is not None and await Build(views, one.view).exists()
    job: Job | None = visit.console.jobs.of(one.name)
    return visit.page("projection.html", one=one, parts=parts, built=built, job=job)


# --- changes ---------------------------------------------------------------------------------------------------------


async def _pause(operator: Operator, found: Found, reason: str) -> str:
    await operator.pause(found, reason)
    return "paused"


async def _resume(operator: Operator, found: Found, _reason: str) -> str:
    await operator.resume(found)
    return "resumed"


async def _reset(operator: Operator, found: Found, _reason: str) -> str:
    await operator.reset(found)
    return "emptied; it is folded from the beginning of the log"


STEERING: dict[str, Callable[[Operator, Found, str], Awaitable[str]]] = {
    "pause": _pause,
    "resume": _resume,
    "reset": _reset,
}


async def _abandoned(views: Views, name: str, _note: OnProgress) -> object:
    return await rebuild.abandon(views, name)


async def _dropped(views: Views, name: str, _note: OnProgress) -> object:
    return await rebuild.drop(views, name)


WORKS: dict[str, Callable[[Views, str, OnProgress], Awaitable[object]]] = {
    "build": rebuild.build,
    "compare": compare,
    "promote": rebuild.promote,
    "rebuild": rebuild.rebuild,
    "abandon": _abandoned,
    "drop": _dropped,
}
"""What takes long, or may: each is a job, and its page shows how far it has come."""


def _told(what: str) -> Callable[[Visit], Awaitable[Response]]:
    async def tell(visit: Visit) -> Response:
        name = visit.form.text("name")
        if what in STEERING:
            said = await _steered(visit, what, name)
        else:
            view = visit.console.views.view(name)
            visit.console.jobs.start(what, view.name, visit.who.name, partial(_recorded, visit, what, view.name))
            said = f"The {what} of {view.name} has begun."
        return visit.leave("/projections/show", said, name=name)

    return tell


async def _recorded(visit: Visit, what: str, name: str, note: OnProgress) -> object:
    """The work, recorded as what the visitor did."""
    views = visit.console.views
    if what == "compare":  # it changes nothing
        return await WORKS[what](views, name, note)
    async with recorded(views.store, visit.actor, what, projection=name):
        return await WORKS[what](views, name, note)


async def _steered(visit: Visit, what: str, name: str) -> str:
    operator = Operator(visit.console.views, visit.actor)
    reason = given_reason(visit) if what == "pause" else ""
    if what == "reset" and visit.form.text("confirmed") != "yes":
        raise ValidationFailed([Fault("Say that the projection is to be emptied", "confirmed", "required")])
    try:
        found = await operator.find(name)
    except ProjectionInline as error:
        raise Problem(409, "projection-inline", str(error)) from error
    done = await STEERING[what](operator, found, reason)
    return f"{name} is {done}."


def given_reason(visit: Visit) -> str:
    """The reason that a form gives. Raises ValidationFailed without one."""
    reason = " ".join(visit.form.text("reason").split())
    if not reason or len(reason) > LONGEST_REASON:
        raise ValidationFailed([Fault(f"Reason must have 1 to {LONGEST_REASON} characters", "reason", "required")])
    return reason
