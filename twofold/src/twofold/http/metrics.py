"""The numbers of an application for Prometheus, at /metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.util import find_spec

from twofold.http.application import Route
from twofold.http.exchange import Request, Response
from twofold.http.requests import Parameters
from twofold.metrics import Numbers


def metrics_route(numbers: Callable[[], Awaitable[Numbers]]) -> Route:
    """The route of /metrics. Raises ModuleNotFoundError where the extra `metrics` is not installed."""
    if find_spec("prometheus_client") is None:
        raise ModuleNotFoundError("/metrics needs prometheus-client: pip install 'twofold[metrics]'")

    async def answer(request: Request) -> Response:
        from twofold.http.exposition import exposed  # noqa: PLC0415 - a start does not wait for prometheus-client

        Parameters(request, ()).check()
        content, media_type = exposed(await numbers(), request.headers.get("accept"))
        return Response(content, media_type=media_type)

    return Route("GET", "/metrics", answer)
