"""Routes as an ASGI application: what answers what, and that a request leaves nothing behind."""

from __future__ import annotations

import gc
import io
import logging
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from twofold.errors import TwofoldError
from twofold.http.access import AccessLog
from twofold.http.application import Application, Route
from twofold.http.exchange import Message, Request, Response
from twofold.http.problems import Problem
from twofold.http.requests import read_body
from twofold.http.streams import wants_stream


class Refused(TwofoldError):
    """An error of the domain."""


async def echo(request: Request) -> Response:
    said = f"{request.method} {request.path} {dict(request.path_params)} {list(request.query)}"
    return Response(said.encode(), headers={"X-Said": "yes"}, media_type="text/plain")


async def measure(request: Request) -> Response:
    return Response(b"%d" % len(await read_body(request, limit=10)))


async def nothing(_request: Request) -> Response:
    return Response(status=204)


async def refuse(_request: Request) -> Response:
    raise Refused("no")


async def fail(_request: Request) -> Response:
    raise RuntimeError("a secret")


ROUTES = [
    Route("GET", "/things", echo),
    Route("POST", "/things", measure),
    Route("GET", "/things/{thing}", echo),
    Route("GET", "/things/{thing}/parts/{number:int}", echo),
    Route("GET", "/files/{path:path}/text", echo),
    Route("DELETE", "/things/{thing}", nothing),
    Route("GET", "/a.b", echo),
    Route("GET", "/refused", refuse),
    Route("GET", "/failed", fail),
]


def explain(error: TwofoldError) -> Problem | None:
    return Problem(409, "refused", str(error)) if isinstance(error, Refused) else None


class Body:
    """A body in parts, as a server gives it."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = list(parts) or [b""]

    async def __call__(self) -> Message:
        part = self._parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(self._parts)}


Asgi = Callable[[Any, Any, Any], Awaitable[None]]


async def ask(
    method: str, path: str, *, query: bytes = b"", body: Body | None = None, root: str = "", app: Asgi | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer."""
    scope: Message = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": [],
        "root_path": root,
    }
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await (app or Application(ROUTES, explain))(scope, body or Body(), send)
    start, content = sent
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, content["body"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/things", "GET /things {} []"),
        ("/things/a b", "GET /things/a b {'thing': 'a b'} []"),
        ("/things/line\nend", "GET /things/line\nend {'thing': 'line\\nend'} []"),
        ("/things/a/parts/12", "GET /things/a/parts/12 {'thing': 'a', 'number': '12'} []"),
        ("/files/a/b/text", "GET /files/a/b/text {'path': 'a/b'} []"),
        ("/files//text", "GET /files//text {'path': ''} []"),
    ],
)
async def test_a_path_leads_to_its_handler(path: str, said: str) -> None:
    status, headers, content = await ask("GET", path)
    assert (status, content.decode()) == (200, said)
    assert headers == {"content-type": "text/plain", "x-said": "yes", "content-length": str(len(content))}


@pytest.mark.parametrize(
    "path", ["/", "", "/thing", "/things/", "/things/a/", "/things/a/parts/x", "/things/a/parts/", "/axb", "//things"]
)
async def test_what_is_not_there_is_a_problem(path: str) -> None:
    status, headers, _ = await ask("GET", path)
    assert (status, headers["content-type"]) == (404, "application/problem+json")


async def test_another_method_is_told_which_there_are() -> None:
    status, headers, _ = await ask("PUT", "/things/a")
    assert (status, headers["allow"]) == (405, "DELETE, GET, HEAD")


@pytest.mark.parametrize(
    ("method", "accepted", "wanted"),
    [
        ("GET", ["text/event-stream"], True),
        ("GET", ["application/json;q=0.1, Text/Event-Stream; q=0.9"], True),
        ("GET", ["*/*", "text/event-stream;q=0.001"], True),
        ("GET", ["text/event-stream;q=0, */*"], False),
        ("GET", ["text/event-stream; q=0.000"], False),
        ("GET", ["text/event-streams"], False),
        ("GET", [], False),
        ("HEAD", ["text/event-stream"], False),
    ],
)
def test_a_stream_is_for_who_asks_for_one(method: str, accepted: list[str], wanted: bool) -> None:
    lines = [(b"accept", line.encode()) for line in accepted]
    scope = {"method": method, "path": "/", "query_string": b"", "headers": lines}

    async def receive() -> Message:
        return {}

    assert wants_stream(Request(scope, receive)) is wanted


async def test_a_head_is_answered_as_the_get_without_its_body() -> None:
    _, headers, content = await ask("GET", "/things/a")
    status, same, none = await ask("HEAD", "/things/a")
    assert (status, same["x-said"], none) == (200, "yes", b"")
    assert int(headers["content-length"]) == len(content)
    assert int(same["content-length"]) == len(content) + 1  # HEAD is a letter longer than GET, and it is echoed


async def test_an_answer_without_content_says_no_length() -> None:
    assert await ask("DELETE", "/things/a") == (204, {}, b"")


async def test_a_query_is_read_in_order() -> None:
    _, _, content = await ask("GET", "/things", query=b"b=1&a=%C3%A9&b=&c")
    assert content.decode() == "GET /things {} [('b', '1'), ('a', 'é'), ('b', ''), ('c', '')]"


async def test_paths_begin_behind_the_prefix_that_it_is_mounted_under() -> None:
    _, _, content = await ask("GET", "/shop/things/a", root="/shop")
    assert content.decode() == "GET /things/a {'thing': 'a'} []"


async def test_every_error_leaves_as_a_problem(caplog: pytest.LogCaptureFixture) -> None:
    assert (await ask("GET", "/refused"))[0] == 409
    assert caplog.text == ""
    status, _, content = await ask("GET", "/failed")
    assert status == 500
    assert b"secret" not in content
    assert "RuntimeError" in caplog.text


async def test_a_body_comes_in_parts_within_its_limit() -> None:
    assert (await ask("POST", "/things", body=Body(b"123", b"", b"4567", b"890")))[2] == b"10"
    status, headers, _ = await ask("POST", "/things", body=Body(b"123", b"4567", b"8901"))
    assert (status, headers["connection"]) == (413, "close")


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing but the end of its last use frees an object here."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("path", ["/things", "/refused", "/failed", "/nowhere"])
async def test_an_answered_request_is_let_go_at_once(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """The server keeps a connection open as long as somebody could still read its body."""
    caplog.set_level(logging.CRITICAL, "twofold.http")  # what pytest captures it keeps, with the frames of the error
    body = Body(b"too long, ", b"by far")
    gone = weakref.ref(body)
    await ask("POST" if path == "/things" else "GET", path, body=body)
    del body
    assert gone() is None


async def test_who_serves_it_is_told_that_it_is_ready_and_when_it_has_ended() -> None:
    sent: list[Message] = []
    coming: Iterator[Message] = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Message:
        return next(coming)

    async def send(message: Message) -> None:
        sent.append(message)

    await Application(ROUTES)({"type": "lifespan"}, receive, send)
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    sent.clear()
    await Application(ROUTES)({"type": "websocket"}, receive, send)
    assert sent == [{"type": "websocket.close"}]


# --- the access log ---------------------------------------------------------------------------------------------------


async def test_the_access_log_has_a_line_for_each_request_and_no_path() -> None:
    stream = io.StringIO()
    log = AccessLog(Application(ROUTES, explain), stream)
    await ask("GET", "/things/%0Aalice", app=log)
    await ask("GET", "/nowhere", app=log)
    assert stream.getvalue() == ""  # they are written together
    log.flush()
    lines = stream.getvalue().splitlines()
    assert [line.split()[3:8] for line in lines] == [
        ["INFO", "twofold.access", "-", "GET", "200"],
        ["INFO", "twofold.access", "-", "GET", "404"],
    ]
    assert "alice" not in stream.getvalue()


async def test_an_access_log_that_cannot_be_written_stops_nobody() -> None:
    class Full(io.StringIO):
        def write(self, _text: str, /) -> int:
            raise OSError(28, "No space left on device")

    log = AccessLog(Application(ROUTES), Full())
    assert (await ask("GET", "/things", app=log))[0] == 200
    log.flush()
