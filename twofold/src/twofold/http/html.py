"""Pages for people: templates under a strict policy, the files beside them, and forms that only these pages can send.

What a page shows is text and never markup: every value is escaped, and a name that is missing is an error. No script
and no style stands in a page; both come from files of our own, whose names change with their content.

A change needs a form that this site has rendered. Its token stands in the form and in a cookie, which no other site can
read; and a browser that says where a form comes from must say that it comes from here.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from importlib import resources
from importlib.util import find_spec
from ipaddress import ip_address
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit

from twofold.errors import StoreUnavailable
from twofold.http.application import Handler, Route
from twofold.http.exchange import Request, Response
from twofold.http.problems import Explain, Problem, problem_of
from twofold.http.requests import LONGEST_PARAMETER, read_body

if TYPE_CHECKING:
    from jinja2 import Environment

HTMX = "htmx-2.0.11.js"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
FORM_BYTES = 262_144  # of a form's body
FORM_FIELDS = 2_000
TOKEN_FIELD = "csrf"  # noqa: S105 - the name of a field, no secret
TOKEN_COOKIE = "twofold-form"  # noqa: S105 - the name of a cookie, no secret

_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # no-referrer would send forms with the origin `null`
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",  # a page names people
}
_FILE_HEADERS: Mapping[str, str] = {
    "Cache-Control": "public, max-age=31536000, immutable",  # a digest is in the name
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_MEDIA_TYPES: Mapping[str, str] = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")
_TOKEN_SECONDS = 31_536_000  # a form that stood open for long can still be sent
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")

log = logging.getLogger("twofold.http")

NOTHING: Mapping[str, Callable[..., object]] = MappingProxyType({})


class Form:
    """What a form says. Line ends are single, however the browser sent them."""

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            self._values.setdefault(name, []).append(value.replace("\r\n", "\n"))

    def text(self, name: str) -> str:
        """The value of a field, the first of several; empty if it is not there."""
        return self._values[name][0] if name in self._values else ""

    def all(self, name: str) -> Sequence[str]:
        """The values of all fields of this name, in order."""
        return tuple(self._values.get(name, ()))

    def __contains__(self, name: object) -> bool:
        return name in self._values


class Site:
    """The pages of one package: its templates (`templates/`), its files (`static/`), its forms.

    A template is given, beside its own values, `root` (what a path of this site begins with), `static` (the path of a
    file by its name), and `csrf` (the value of the hidden field `csrf` that each form has).
    """

    def __init__(
        self,
        package: str,
        *,
        at: str = "",
        filters: Mapping[str, Callable[..., object]] = NOTHING,
        explain: Explain = lambda _error: None,
    ) -> None:
        """Pages stand below the path `at`. `explain` says what problems the application's own errors are.

        The template `problem.html` shows a problem: it is given `status` and `error`.

        Raises ModuleNotFoundError where the extra `console` is not installed.
        """
        if find_spec("jinja2") is None:
            raise ModuleNotFoundError("pages need Jinja: pip install 'twofold[console]'", name="jinja2")
        self._at = at
        self._explain = explain
        self._package = package
        self._filters = filters
        own = resources.files(package).joinpath("static")
        contents = {file.name: file.read_bytes() for file in own.iterdir() if file.is_file()}
        contents[HTMX] = resources.files("twofold.http").joinpath("static", HTMX).read_bytes()
        self._names = {name: _with_digest(name, content) for name, content in contents.items()}
        self._files = {self._names[name]: content for name, content in contents.items()}

    @cached_property
    def _environment(self) -> Environment:
        from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - a start does not wait for it

        made = Environment(
            loader=PackageLoader(self._package),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        made.filters.update(self._filters)
        return made

    # --- answers ------------------------------------------------------------------------------------------------------

    def root(self, request: Request) -> str:
        """What a path of this site begins with, wherever the application is mounted."""
        return quote(request.root) + self._at

    def render(self, request: Request, template: str, status: int = 200, /, **values: object) -> Response:
        """The page that a template makes of these values."""
        root, token = self.root(request), _token_of(request)
        headers = dict(_HEADERS)
        if token is None:
            token = secrets.token_urlsafe(24)
            kept = f"Path={quote(request.root) or '/'}; Max-Age={_TOKEN_SECONDS}; HttpOnly; SameSite=Lax"
            headers["Set-Cookie"] = f"{TOKEN_COOKIE}={token}; {kept}"

        def static(name: str) -> str:
            return f"{root}/static/{self._names[name]}"

        text = self._environment.get_template(template).render(root=root, static=static, csrf=token, **values)
        return Response(text.encode("utf-8", "replace"), status, headers, "text/html; charset=utf-8")

    def text(self, template: str, macro: str, *values: object) -> str:
        """What a macro of a template makes of these values: a part of a page, to be sent by itself."""
        return str(getattr(self._environment.get_template(template).module, macro)(*values))

    def redirect(self, request: Request, path: str) -> Response:
        """Lead the browser to a path of this site, which it gets anew: a form that was sent is not sent again."""
        return Response(status=303, headers={"Location": self.root(request) + path, "Cache-Control": "no-store"})

    def page(self, handler: Handler) -> Handler:
        """The handler, with its errors as pages."""

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except Problem as problem:
                return self._refusal(request, problem)
            except Exception as error:
                told = problem_of(error, self._explain)
                if told.status >= 500:  # the path may name a person: it is not logged
                    trace = None if isinstance(error, StoreUnavailable) else error
                    log.error("%s failed: %s", request.method, type(error).__name__, exc_info=trace)
                return self._refusal(request, told)

        return handle

    def _refusal(self, request: Request, problem: Problem) -> Response:
        response = self.render(request, "problem.html", problem.status, status=problem.status, error=problem.error)
        response.headers.update(problem.headers)
        return response

    def files(self) -> Route:
        """The route of the files. They are read once, when the site is made."""

        async def file(request: Request) -> Response:
            name = request.path_params["name"]
            content = self._files.get(name)
            if content is None:
                raise Problem(404, "http", "There is nothing here")
            return Response(content, headers=_FILE_HEADERS, media_type=_MEDIA_TYPES[name.rpartition(".")[2]])

        return Route("GET", f"{self._at}/static/{{name}}", file)

    # --- forms --------------------------------------------------------------------------------------------------------

    async def read_form(self, request: Request, *, limit: int = FORM_BYTES) -> Form:
        """The form that a page of this site has sent.

        Raises a Problem: 403 for one that comes from elsewhere or has no token, 415 and 400 for what is no form, 413
        for one that is too large, 408 for one that takes too long.
        """
        check_same_site(request)
        media_type = request.headers.get("content-type").partition(";")[0].strip().lower()
        body = await read_body(request, limit=limit)
        if media_type != "application/x-www-form-urlencoded":
            raise Problem(415, "media-type", "A form must be application/x-www-form-urlencoded")
        try:
            fields = parse_qsl(
                body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS
            )
        except ValueError:
            raise Problem(400, "malformed", "The form cannot be read") from None
        form = Form(fields)
        check_token(request, form.text(TOKEN_FIELD))
        return form


def _with_digest(name: str, content: bytes) -> str:
    stem, _, suffix = name.rpartition(".")
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"


def address_of(request: Request) -> str:
    """The address of a request below the root, as a link has it; empty where that is longer than a parameter may be."""
    query = request.query_string.decode("latin-1")
    address = quote(request.path, errors="replace") + (f"?{query}" if query else "")
    return address if len(address) <= LONGEST_PARAMETER else ""


def read_cookie(request: Request, name: str) -> str:
    """The value of a cookie, the first of several; empty if it is not there."""
    for line in request.headers.lines("cookie"):
        for pair in line.split(";"):
            given, _, value = pair.strip().partition("=")
            if given == name:
                return value
    return ""


def _token_of(request: Request) -> str | None:
    """The token of the request's cookie; None if it has none that we could have made."""
    token = read_cookie(request, TOKEN_COOKIE)
    return token if _TOKEN.fullmatch(token) else None


def check_token(request: Request, token: str) -> None:
    """Raise a Problem (403) unless a change brings the token of its browser's cookie."""
    kept = _token_of(request)
    if kept is None or not secrets.compare_digest(token.encode(errors="replace"), kept.encode()):
        text = "The form is not one that this page gave you. Load the page again; cookies must be allowed"
        raise Problem(403, "form-token", text)


def check_same_site(request: Request) -> None:
    """Raise a Problem (403) if the browser says that another site sends this. What says nothing is no browser."""
    fetched = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    here = origin.partition("://")[2].lower() == request.headers.get("host").lower()  # the origin `null` is nowhere
    if fetched not in ("", "same-origin", "none") or (origin and not here):
        raise Problem(403, "other-site", "The form was sent from another site")


def check_near(request: Request) -> None:
    """Raise a Problem (403) unless a request was sent to this machine by name, and by nobody for somebody else.

    To listen on loopback is not enough: a page of another site can have its own name lead here, and a proxy brings
    requests of strangers.
    """
    if not _names_loopback(request.headers.get("host")) or any(name in request.headers for name in _FORWARDED):
        raise Problem(403, "loopback-only", "This page is only for this machine, unless its settings say otherwise")


def loopback_only(handler: Handler) -> Handler:
    """The handler, for requests that `check_near` lets pass."""

    async def handle(request: Request) -> Response:
        check_near(request)
        return await handler(request)

    return handle


def _names_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
