"""A span for each request by HTTP, named by its route and never by its path."""

from __future__ import annotations

from http import HTTPMethod
from typing import TYPE_CHECKING

from twofold.http.exchange import ROUTE, Asgi, Message, Receive, Scope, Send
from twofold.tracing import spans

if TYPE_CHECKING:
    from twofold.spans import Spans


def traced(application: Asgi) -> Asgi:
    """The application, with a span around each request; as it is where nobody asked for spans."""
    made = spans()
    return application if made is None else TracedRequests(application, made)


class TracedRequests:
    """An ASGI application around `Application`: what that one does is done inside a span of the request."""

    def __init__(self, application: Asgi, spans: Spans) -> None:
        self._application = application
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in HTTPMethod.__members__ else "_OTHER"
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with self._spans.request(method, headers) as span:

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._spans.answered(span, method, scope.get(ROUTE, ""), message["status"])
                await send(message)

            await self._application(scope, receive, noting)
