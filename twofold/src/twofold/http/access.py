"""The access log: a line for each request, with time, address, method, status and milliseconds; as text or JSON.

As JSON it also has the correlation id of the command that the request sent, by which its events are found.

It has no path: paths name people, and an escaped line break in one would forge a line. Lines are written together, a
few times a second: a record of `logging` for each request took longer than to answer it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable
from contextlib import suppress
from json.encoder import encode_basestring_ascii as _quoted
from typing import TextIO

from twofold.http.exchange import CORRELATION, Asgi, Message, Receive, Scope, Send

FLUSH_SECONDS = 0.2


class AccessLog:
    """An ASGI application around another one; it notes what that one answers."""

    def __init__(
        self,
        application: Asgi,
        stream: TextIO,
        *,
        as_json: bool = False,
    ) -> None:
        self._application = application
        self._stream = stream
        self._as_json = as_json
        self._lines: list[str] = []
        self._second = (-1, "")  # the last one that was written out, and how
        self._process = os.getpid()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        def noting(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        try:
            await self._application(scope, receive, noting)
        finally:
            self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        now = time.time()
        if self._second[0] != int(now):
            self._second = int(now), self._second_of(now)
        client = scope.get("client")
        address = client[0] if client else "-"
        if not self._lines:
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
        line = self._json if self._as_json else self._text
        moment = f"{self._second[1]}{int(now * 1000) % 1000:03}"
        self._lines.append(line(moment, address, scope, status, seconds * 1000))

    def _text(self, moment: str, address: str, scope: Scope, status: int, milliseconds: float) -> str:
        of = f"{moment} {self._process} INFO twofold.access {address} {scope['method']}"
        return f"{of} {status} {milliseconds:.1f} ms\n"

    def _json(self, moment: str, address: str, scope: Scope, status: int, milliseconds: float) -> str:
        """The fields of `logs.JsonLines`, put together by hand: there is one such line for each request."""
        method, correlation_id = scope["method"], scope.get(CORRELATION)
        sent = "" if correlation_id is None else f',"correlation_id":"{correlation_id}"'
        return (
            f'{{"time":"{moment}+00:00","level":"INFO","logger":"twofold.access","process":{self._process},'
            f'"message":{_quoted(f"{method} {status}")},"address":{_quoted(address)},"method":{_quoted(method)},'
            f'"status":{status},"milliseconds":{milliseconds:.1f}{sent}}}\n'
        )

    def _second_of(self, now: float) -> str:
        """All but the milliseconds, as the other lines have it: UTC in JSON, and the time of the place in text."""
        if self._as_json:
            return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(now))
        return time.strftime("%Y-%m-%d %H:%M:%S,", time.localtime(now))

    def flush(self) -> None:
        """Write what is not yet written."""
        lines, self._lines = self._lines, []
        with suppress(OSError):  # a log that cannot be written must not keep the service from stopping
            self._stream.write("".join(lines))
            self._stream.flush()
