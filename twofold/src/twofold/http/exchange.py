"""A request and its answer, as handlers see them. ASGI brings the one and takes the other.

They do what this package needs and no more, which makes the way through them short: see decision 0016.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, TypeAlias
from urllib.parse import parse_qsl
from uuid import UUID

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Asgi: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
"""Any ASGI application."""

ROUTE = "twofold.route"
"""Under what key of a scope its route is found once it is answered, for whoever stands around the application."""

CORRELATION = "twofold.correlation"
"""The same of the correlation id of the command that the request sent, if it sent one."""

NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})


class ClientDisconnected(Exception):
    """The client left before it had sent its request."""


class Headers:
    """The headers of a request. Names are given in lower case."""

    __slots__ = ("_first", "_raw")

    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        self._raw = raw
        self._first = dict(reversed(raw))  # of several lines the one that comes first is left

    def get(self, name: str) -> str:
        """The value, of the first line if there are several; empty if there is none."""
        return self._first.get(name.encode(), b"").decode("latin-1")

    def lines(self, name: str) -> Sequence[str]:
        """The values of all lines of this name."""
        sought = name.encode()
        if sought not in self._first:
            return ()
        return [value.decode("latin-1") for known, value in self._raw if known == sought]

    def __contains__(self, name: str) -> bool:
        return name.encode() in self._first


class Request:
    """A request. `path` is decoded and begins behind `root`, the prefix under which the application is mounted.

    `route` is the path as its route was declared; empty until one was found. `correlation_id` is that of the command
    that a handler sends for it: set it, and the access log has it too.
    """

    __slots__ = (
        "_receive",
        "correlation_id",
        "headers",
        "method",
        "path",
        "path_params",
        "query_string",
        "root",
        "route",
    )

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        self.root: str = scope.get("root_path", "")
        path: str = scope["path"]
        self.path = path.removeprefix(self.root) if self.root else path
        self.query_string: bytes = scope["query_string"]
        self.headers = Headers(list(scope["headers"]))  # ASGI says only that one can iterate over them
        self.path_params = NO_PARAMETERS
        self.route = ""
        self.correlation_id: UUID | None = None
        self._receive = receive

    @property
    def query(self) -> Sequence[tuple[str, str]]:
        """The parameters of the query string, in order; empty ones too."""
        if not self.query_string:
            return ()
        return parse_qsl(self.query_string.decode("latin-1"), keep_blank_values=True)

    async def receive(self) -> tuple[bytes, bool]:
        """The next part of the body, and whether more of it is to come. Raises ClientDisconnected if it breaks off."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        return message.get("body", b""), message.get("more_body", False)


class Response:
    """An answer, sent as ASGI has it. Its headers may be changed until then."""

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        body: bytes = b"",
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        self.body = body
        self.status = status
        self.headers: dict[str, str] = {} if media_type is None else {"Content-Type": media_type}
        if headers is not None:
            self.headers.update(headers)

    def encoded_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers as ASGI has them."""
        return [(_name(name), value.encode("latin-1")) for name, value in self.headers.items()]

    async def send(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        headers = self.encoded_headers()
        if self.status not in (204, 304):  # these have none, and say no length
            headers.append((b"content-length", b"%d" % len(self.body)))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else self.body
        await send({"type": "http.response.body", "body": body, "more_body": False})


@cache
def _name(header: str) -> bytes:
    return header.lower().encode("latin-1")
