"""A TCP proxy that cuts or silences a connection at a chosen moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

REQUEST, ANSWER = "request", "answer"


class Proxy:
    """Passes on what comes, but for what it was told to do to one connection."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._marks: list[tuple[bytes, str]] = []
        self._deaf: list[bytes] = []
        self._said: list[bytearray] = []
        self._silenced: set[int] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.cuts = 0
        self.url = ""

    def cut(self, mark: bytes, at: str) -> None:
        """Cut the next connection that sends this: before it is passed on, or when its answer comes."""
        self._marks.append((mark, at))

    def silence(self, mark: bytes) -> None:
        """From now on swallow what is said to each connection that sends this, or has."""
        self._deaf.append(mark)

    def silence_now(self, mark: bytes) -> None:
        """The same for those that have sent this, and not for those that will."""
        self._silenced |= {id(said) for said in self._said if mark in said}

    def listen_again(self) -> None:
        """Swallow nothing any more."""
        self._deaf.clear()

    def hang_up(self) -> None:
        """Cut all connections."""
        for writer in self._writers:
            writer.transport.abort()

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[Proxy]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = self._to._replace(netloc=f"{self._to.username}@127.0.0.1:{port}").geturl()
        try:
            yield self
        finally:
            server.close()
            self.hang_up()
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, out = await asyncio.open_connection(self._to.hostname, self._to.port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, out}
        self._writers |= ends
        said = bytearray()
        self._said.append(said)
        doomed = False

        def abort() -> None:
            for end in ends:
                end.transport.abort()

        async def forth() -> None:
            nonlocal doomed
            while data := await reader.read(65536):
                said.extend(data)
                for mark, at in self._marks:
                    if mark in data:
                        self._marks.remove((mark, at))
                        self.cuts += 1
                        if at == REQUEST:
                            abort()
                            return
                        doomed = True
                        break
                out.write(data)
            out.close()

        async def back() -> None:
            while data := await there.read(65536):
                if doomed:
                    abort()
                    return
                if id(said) not in self._silenced and not any(mark in said for mark in self._deaf):
                    writer.write(data)
            writer.close()

        with suppress(OSError):
            await asyncio.gather(forth(), back())
        self._writers -= ends


@asynccontextmanager
async def proxy_to(url: str) -> AsyncGenerator[Proxy]:
    async with Proxy(url).listening() as proxy:
        yield proxy
