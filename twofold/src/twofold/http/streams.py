"""Live answers as server-sent events: bounded in number, dropped where nobody reads, ended when the service stops.

A client that breaks off comes back with `Last-Event-ID` and gets what it missed; so any stream may be ended at any
time, and none holds up a stop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress

from twofold.errors import Fault, TwofoldError, ValidationFailed
from twofold.http.application import Handler
from twofold.http.exchange import Receive, Request, Response, Scope, Send
from twofold.http.problems import Problem
from twofold.store import LARGEST

MEDIA_TYPE = "text/event-stream"
STREAMS = 1000  # open at once in a process
HEARTBEAT_SECONDS = 15.0  # proxies break off what is silent for longer
SEND_SECONDS = 10.0  # a client that does not read for so long is dropped
LAST_SECONDS = 0.3  # for the end of a stream, when the service stops
RETRY_MILLISECONDS = 1000  # after which a client comes back

_REFUSED = re.compile(r";\s*q=0(\.0*)?\s*(;|$)")  # a media type that the client does not take (RFC 9110, 12.4.2)

log = logging.getLogger("twofold.http")

HEARTBEAT = b":\n\n"
_HEADERS: Mapping[str, str] = {
    "Content-Type": MEDIA_TYPE,
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would collect it
}


def wants_stream(request: Request) -> bool:
    """Whether the client asks for server-sent events."""
    accepted = ", ".join(request.headers.lines("accept")).lower()
    if MEDIA_TYPE not in accepted or request.method != "GET":  # as nearly always
        return False
    return any(one.partition(";")[0].strip() == MEDIA_TYPE and not _REFUSED.search(one) for one in accepted.split(","))


def negotiated(answer: Handler, stream: Handler) -> Handler:
    """The handler that answers by `stream` whoever asks for server-sent events, and others by `answer`."""

    async def handle(request: Request) -> Response:
        return await (stream if wants_stream(request) else answer)(request)

    return handle


def read_last_event_id(request: Request) -> int | None:
    """The position that a client has come to; None if it begins anew. Raises ValidationFailed for what is none."""
    text = request.headers.get("last-event-id").strip()
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,19}", text) or int(text) > LARGEST:
        raise ValidationFailed([Fault("Last-Event-ID must be an id that the stream gave", "Last-Event-ID", "header")])
    return int(text)


def frame(position: int, event: str, data: bytes) -> bytes:
    """An event of a stream, its data one line."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (position, event.encode(), data)


class Streams:
    """The streams of this process that are open."""

    def __init__(self, *, limit: int = STREAMS) -> None:
        self._limit = limit
        self._open = 0
        self._closing = asyncio.Event()

    @property
    def open(self) -> int:
        """How many are open now."""
        return self._open

    def close(self) -> None:
        """End all streams, and open none any more: the service stops."""
        self._closing.set()

    async def response(self, open_frames: Callable[[AsyncExitStack], Awaitable[AsyncGenerator[bytes]]]) -> Response:
        """The answer that sends these frames; what they need goes on the stack, which is closed at its end.

        Raises a Problem (503) where too many are open, and what `open_frames` raises: nothing has been sent then.
        """
        if self._closing.is_set() or self._open >= self._limit:
            raise Problem(503, "busy", "Too many streams are open; try again", headers={"Retry-After": "5"})
        async with AsyncExitStack() as stack:
            self._open += 1
            stack.callback(self._leave)
            frames = await open_frames(stack)
            return _EventStream(frames, stack.pop_all(), self._closing)

    def _leave(self) -> None:
        self._open -= 1


class _EventStream(Response):
    def __init__(self, frames: AsyncGenerator[bytes], stack: AsyncExitStack, closing: asyncio.Event) -> None:
        super().__init__(headers=_HEADERS)
        self._frames = frames
        self._stack = stack
        self._closing = closing

    async def send(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send frames until they end, the client has left, or the service stops."""
        async with self._stack:
            sending = asyncio.create_task(self._send(send))
            others = [asyncio.create_task(self._closing.wait()), asyncio.create_task(_gone(receive))]
            try:
                await asyncio.wait({sending, *others}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, *others):
                    task.cancel()
                await asyncio.gather(sending, *others, return_exceptions=True)
                await self._frames.aclose()
            if not sending.cancelled():
                if not sending.result():
                    log.info("a stream is ended: its client does not read")
                    _break_off(scope)
            elif self._closing.is_set():
                await _write(send, _END, LAST_SECONDS)
                await asyncio.sleep(LAST_SECONDS)  # who reads has all by then, and is gone
                _break_off(scope)

    async def _send(self, send: Send) -> bool:
        """Send all frames; False if the client does not read them."""
        await send({"type": "http.response.start", "status": 200, "headers": self.encoded_headers()})
        try:
            if not await _write(send, _body(b"retry: %d\n\n" % RETRY_MILLISECONDS), SEND_SECONDS):
                return False
            async for content in self._frames:
                if not await _write(send, _body(content), SEND_SECONDS):
                    return False
        except TwofoldError as error:  # what was sent is whole; the client comes back, and hears of it then
            log.warning("a stream is ended: %s", error)
        return await _write(send, _END, SEND_SECONDS)


_END: Mapping[str, object] = {"type": "http.response.body", "body": b"", "more_body": False}


def _body(content: bytes) -> Mapping[str, object]:
    return {"type": "http.response.body", "body": content, "more_body": True}


async def _write(send: Send, message: Mapping[str, object], seconds: float) -> bool:
    """Send; False if the client did not take it in time."""
    try:
        async with asyncio.timeout(seconds):
            await send({**message})
    except TimeoutError:
        return False
    return True


async def _gone(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _break_off(scope: Scope) -> None:
    """Close the request's connection, whatever of the answer is still to be sent.

    ASGI has no word for it, and servers set no time for writing: what a client does not take would stay in memory, and
    hold up a graceful stop, for as long as the client likes. So the socket is looked up by its two ends, and shut down
    under the server, which finds it closed.
    """
    client, server = scope.get("client"), scope.get("server")
    if client is None or server is None or server[1] is None:
        return
    there, here = (client[0], int(client[1])), int(server[1])  # granian says ports as texts
    with suppress(OSError):
        for descriptor in os.listdir("/dev/fd"):
            with suppress(OSError), socket.socket(fileno=os.dup(int(descriptor))) as one:
                if one.getpeername()[:2] == there and one.getsockname()[1] == here:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # send no more
                    one.shutdown(socket.SHUT_RDWR)
