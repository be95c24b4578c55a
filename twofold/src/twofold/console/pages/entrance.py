"""Logging in and out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from twofold.console.visits import Page, Visit
from twofold.errors import Fault, ValidationFailed
from twofold.http.exchange import Response
from twofold.http.html import check_same_site
from twofold.http.problems import Problem
from twofold.http.requests import LONGEST_PARAMETER, Parameters

# A path and a query as a link has them. What begins with two slashes, or with what a browser takes for one, is another
# site; anything but visible ASCII is no header.
_OURS = re.compile(rf"/(?!/)[!-\[\]-~]{{0,{LONGEST_PARAMETER - 1}}}")


def pages() -> Sequence[Page]:
    """The pages of logging in and out."""
    return [
        Page("GET", "/login", show, role=None),
        Page("POST", "/login", log_in, role=None),
        Page("POST", "/logout", log_out, role=None),
    ]


async def show(visit: Visit) -> Response:
    """GET /login."""
    parameters = Parameters(visit.request, ("next",))
    there = parameters.text("next") or ""
    parameters.check()
    if visit.console.access.open:
        return visit.leave("")
    return visit.page("login.html", next=there, refused="", name="")


async def log_in(visit: Visit) -> Response:
    """POST /login: a form with `name` and `password`; then to `next`, a path of the application."""
    check_same_site(visit.request)
    name, password, there = (visit.form.text(field) for field in ("name", "password", "next"))
    if not name or not password:
        raise ValidationFailed([Fault("Name and password must be given", "name", "required")])
    try:
        login = await visit.console.access.login(name, password)
    except Problem as problem:
        response = visit.page("login.html", problem.status, next=there, refused=problem.error, name=name)
        response.headers.update(problem.headers)
        return response
    leads = visit.root + there if _OURS.fullmatch(there) else visit.url()
    response = Response(status=303, headers={"Location": leads})
    response.headers["Set-Cookie"] = visit.console.access.session_cookie(visit.request, login, visit.root or "/")
    return response


async def log_out(visit: Visit) -> Response:
    """POST /logout."""
    response = visit.leave("/login")
    response.headers["Set-Cookie"] = visit.console.access.session_cookie(visit.request, None, visit.root or "/")
    return response
