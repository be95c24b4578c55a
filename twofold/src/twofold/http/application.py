"""Operations as an ASGI application: any server can run it, any application mount it.

Every request is answered, and every error leaves as a problem.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import perf_counter
from typing import NamedTuple

from twofold.errors import StoreUnavailable
from twofold.http.exchange import CORRELATION, NO_PARAMETERS, ROUTE, Receive, Request, Response, Scope, Send
from twofold.http.problems import Explain, Problem, problem_of
from twofold.statistics import Timings

log = logging.getLogger("twofold.http")

Handler = Callable[[Request], Awaitable[Response]]


class Route(NamedTuple):
    """What answers requests of a method to a path.

    A path may have parameters: `{name}` is a segment, `{name:int}` one of 19 digits at most,
    `{name:path}` may have slashes.
    """

    method: str
    path: str
    handler: Handler


_KINDS = {"": "[^/]+", ":int": "[0-9]{1,19}", ":path": ".*"}
_PARAMETER = re.compile(r"\{(\w+)(:int|:path)?\}")
_CLASSES = ("", "1xx", "2xx", "3xx", "4xx", "5xx")


class Application:
    """Routes as an ASGI application."""

    def __init__(
        self, routes: Iterable[Route], explain: Explain = lambda _error: None, timings: Timings | None = None
    ) -> None:
        """`explain` tells what problems the domain's own errors are.

        In `timings` requests are counted by method, route and class of status, with what it took to have the answer.
        """
        self._explain = explain
        self._timings = timings or Timings()
        self._fixed: dict[str, dict[str, Route]] = {}
        patterns: dict[str, dict[str, Route]] = {}
        for route in routes:
            known = patterns if "{" in route.path else self._fixed
            known.setdefault(route.path, {})[route.method] = route
        # By the first segment, as far as it has no parameter: of many routes few are looked at.
        self._patterns: dict[str, list[tuple[re.Pattern[str], Mapping[str, Route]]]] = {}
        for path, methods in patterns.items():
            self._patterns.setdefault(_first(path), []).append((_pattern(path), methods))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        match scope["type"]:
            case "http":
                began = perf_counter()
                request = Request(scope, receive)
                response = await self._answer(request)
                scope[ROUTE], scope[CORRELATION] = request.route, request.correlation_id
                self._count(request, response.status, perf_counter() - began)
                await response.send(scope, receive, send)
            case "lifespan":  # whoever serves it has opened all that it needs, and closes it
                for stage in ("startup", "shutdown"):
                    await receive()
                    await send({"type": f"lifespan.{stage}.complete"})
            case _:
                await send({"type": "websocket.close"})

    def _count(self, request: Request, status: int, seconds: float) -> None:
        """Count a request. Methods and paths that we do not know are anybody's: they have one name together."""
        names = (request.method, request.route) if request.route else ("unknown", "unknown")
        self._timings.add((*names, _CLASSES[status // 100]), seconds)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._handler(request)(request)
        except Exception as error:
            return self._told(request, error).response()

    def _handler(self, request: Request) -> Handler:
        """The handler; raises a Problem if there is none. A HEAD is answered as the GET."""
        methods, request.path_params = self._methods(request.path)
        route = methods.get("GET" if request.method == "HEAD" else request.method)
        if route is None:
            allowed = ", ".join(sorted({*methods, *(("HEAD",) if "GET" in methods else ())}))
            raise Problem(405, "http", "This method is not allowed here", headers={"Allow": allowed})
        request.route = route.path
        return route.handler

    def _methods(self, path: str) -> tuple[Mapping[str, Route], Mapping[str, str]]:
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, NO_PARAMETERS
        for pattern, methods in (*self._patterns.get(_first(path), ()), *self._patterns.get("{", ())):
            found = pattern.fullmatch(path)
            if found is not None:
                return methods, found.groupdict()
        raise Problem(404, "http", "There is nothing here")

    def _told(self, request: Request, error: Exception) -> Problem:
        problem = error if isinstance(error, Problem) else problem_of(error, self._explain)
        chosen = isinstance(error, Problem) and error.__cause__ is None  # an answer that was asked for, no fault
        if problem.status >= 500 and not chosen:  # the path may name a person: it is not logged
            # Being busy is no fault of the code: a trace for each refusal would flood the log under overload.
            trace = None if isinstance(error, StoreUnavailable) else error
            log.error("%s failed: %s", request.method, type(error).__name__, exc_info=trace)
        return problem


def _first(path: str) -> str:
    """The first segment of a path; `{` where a parameter is in it."""
    segment = path[1:].partition("/")[0]
    return "{" if "{" in segment else segment


def _pattern(path: str) -> re.Pattern[str]:
    parts = _PARAMETER.split(path)  # a text, then the name and kind of a parameter, then a text, and so on
    pattern = re.escape(parts[0])
    for name, kind, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        pattern += f"(?P<{name}>{_KINDS[kind or '']}){re.escape(text)}"
    return re.compile(pattern, re.DOTALL)
