"""A thin HTTP client over kept connections: to load a service one needs a client that is not the slower of the two."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        """The body."""
        return json.loads(self.content)


class Wire:
    """One connection to the service, made anew where it broke. Raises ConnectionError if no answer comes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Send a request and wait for its answer. A header is named with `_` for `-`."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            content = b"" if body is None else json.dumps(body).encode()
            lines = [f"{method} {path} HTTP/1.1", "Host: test", f"Content-Length: {len(content)}"]
            lines += ["Content-Type: application/json"] if content else []
            lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
            writer.write("\r\n".join((*lines, "", "")).encode() + content)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            named = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
            answer = await reader.readexactly(int(named.get("content-length", 0)))
        except (OSError, EOFError) as error:
            self.close()
            raise ConnectionError(str(error)) from error
        return Answer(int(head[0].split()[1]), named, answer)

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
