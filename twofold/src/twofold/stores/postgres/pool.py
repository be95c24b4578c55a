"""Connections that are shared: few, made when they are needed, and thrown away as soon as one is in doubt.

asyncpg's own pool resets a connection each time it comes back, which is another round trip. Here nothing is left on a
connection that would need one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from random import uniform
from time import monotonic
from typing import TypeVar

from twofold.errors import StoreBusy, StoreClosed, StoreRefused, StoreUnavailable
from twofold.sql import Row
from twofold.stores.postgres.driver import Connection, Disconnected, Overtaken
from twofold.stores.postgres.limits import Limits

T = TypeVar("T")

WAIT_SECONDS = 10.0  # for a connection, before saying StoreBusy
FULL_SECONDS = 1.0  # before asking for one more of a server that took no more
ATTEMPTS = 5  # at what another transaction was in the way of
BACK_OFF_SECONDS = 0.01


class Pool:
    """Up to `size` connections of one kind."""

    def __init__(self, url: str, limits: Limits, size: int) -> None:
        self._url = url
        self._limits = limits
        self._size = size
        self._count = 0  # that are open or being opened
        self._free: list[Connection] = []  # the last one used comes first: it is the least likely to be stale
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._emptied: asyncio.Future[None] | None = None
        self._full_until = 0.0
        self._closed = False

    async def read(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """The rows of a query. It is asked once more where the connection broke."""
        try:
            return await self.use(lambda connection: connection.rows(sql, parameters))
        except Disconnected:
            return await self.use(lambda connection: connection.rows(sql, parameters))

    async def use(self, run: Callable[[Connection], Awaitable[T]]) -> T:
        """What comes of using a connection that is nobody else's meanwhile; see `retried`.

        Raises StoreBusy, StoreUnavailable or StoreClosed if there is none to be had.
        """

        async def once() -> T:
            connection = await self._take()
            try:
                return await run(connection)
            finally:
                self._give(connection)

        return await retried(once)

    async def close(self) -> None:
        """Wait until all are given back, and close them. Who waits for one hears that the store is closed."""
        self._closed = True
        self._wake(len(self._waiting))
        while self._free:
            await self._free.pop().close()
            self._count -= 1
        if self._count:
            self._emptied = asyncio.get_running_loop().create_future()
            await self._emptied

    async def _take(self) -> Connection:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    if self._closed:
                        raise StoreClosed("the store is closed")
                    while self._free:
                        connection = self._free.pop()
                        if connection.usable:
                            return connection
                        self._count -= 1
                    if not self._count or (self._count < self._size and monotonic() > self._full_until):
                        try:
                            return await self._open()
                        except StoreBusy:  # the server takes no more
                            self._full_until = monotonic() + FULL_SECONDS
                            if not self._count:  # else those that we have must do
                                raise
                    await self._wait()
        except TimeoutError:
            raise StoreBusy(f"none of {self._size} connections became free within {WAIT_SECONDS:g} s") from None

    async def _open(self) -> Connection:
        self._count += 1
        try:
            return await opened(self._url, self._limits)
        except BaseException:
            self._lose()
            raise

    async def _wait(self) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(woken)
        try:
            await woken
        except BaseException:
            if woken.done() and not woken.cancelled():  # woken and cancelled at once: another may have what is free
                self._wake(1)
            raise

    def _give(self, connection: Connection) -> None:
        if self._closed or not connection.usable:
            connection.drop()
            self._lose()
        else:
            self._free.append(connection)
            self._wake(1)

    def _lose(self) -> None:
        self._count -= 1
        if self._emptied is not None and not self._count and not self._emptied.done():
            self._emptied.set_result(None)
        self._wake(1)

    def _wake(self, count: int) -> None:
        while count and self._waiting:
            woken = self._waiting.popleft()
            if not woken.done():
                woken.set_result(None)
                count -= 1


async def opened(url: str, limits: Limits) -> Connection:
    """A connection for a store that is open already: what the server refuses now it may grant again later."""
    try:
        return await Connection.open(url, limits)
    except StoreRefused as error:
        raise StoreUnavailable(*error.args) from error


async def retried(run: Callable[[], Awaitable[T]]) -> T:
    """What comes of running it, anew where that stored nothing for sure and may succeed.

    That is where another transaction was in the way, a bounded number of times, and then Overtaken (a StoreBusy); and
    where the connection was found dead before anything could have been stored, once.
    """
    attempts, found_dead = 1, False
    while True:
        try:
            return await run()
        except Overtaken:
            if attempts == ATTEMPTS:
                raise
            await asyncio.sleep(uniform(0, BACK_OFF_SECONDS * 2**attempts))  # noqa: S311 - it spreads, it hides nothing
            attempts += 1
        except Disconnected as gone:
            if gone.sent or found_dead:
                raise
            found_dead = True
