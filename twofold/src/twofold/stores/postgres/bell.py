"""Waking who waits for an append, whichever process it comes from.

A notification is sent after the append, from another connection: within it, PostgreSQL would hold a lock of the whole
database until the disk has it. So one can be lost, with the process that was to send it or with the connection that
was to bring it, and polling is the net below.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from twofold.errors import StoreClosed, TwofoldError
from twofold.stores.postgres.driver import Connection
from twofold.stores.postgres.limits import BELL
from twofold.stores.postgres.pool import opened

log = logging.getLogger("twofold.postgres")

POLL_SECONDS = 1.0  # how late an append may be noticed whose notification was lost
DEAF_SECONDS = 0.05  # the same while nobody listens
NOTIFY_SECONDS = 0.005  # at most one notification in that time: it says that there is something, not what
LAST_SECONDS = 1.0  # for the last notification
BACK_OFF_SECONDS = (0.05, 2.0)  # between two attempts to listen, the first and the longest


class Bell:
    """Sends and hears notifications, as long as it is open."""

    def __init__(self, url: str, channel: str, head: Callable[[], Awaitable[int]]) -> None:
        """`head` asks for the position of the last event."""
        self._url = url
        self._channel = channel
        self._head = head
        self._waiting: dict[asyncio.Future[None], int] = {}  # for a position above this
        self._somebody = asyncio.Event()  # waits
        self._news = asyncio.Event()  # that came by a notification
        self._send_now = asyncio.Event()
        self._unsent = False  # whether there is news of ours
        self._lost = asyncio.Event()  # the connection
        self._connection: Connection | None = None  # that listens
        self._latest = 0  # position that we were told of
        self._told = 0  # times
        self._closed = False  # nobody may wait any more
        self._ending = False  # nothing will be rung any more
        self._sender = asyncio.create_task(self._send())
        self._tasks = [self._sender, *(asyncio.create_task(run()) for run in (self._listen, self._look))]

    async def wait(self, after: int) -> None:
        """Return once there is a position above this."""
        while True:
            told = self._told
            if await self._head() > after:
                return
            if self._closed:
                raise StoreClosed("the store is closed")
            if told != self._told and self._latest > after:  # meanwhile; else the one who told it would not wake us
                continue
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[woken] = after
            self._somebody.set()
            try:
                await woken
            finally:
                del self._waiting[woken]

    def ring(self, position: int) -> None:
        """Tell all processes of an append of this one."""
        self._tell(position)
        self._unsent = True
        self._send_now.set()

    def end(self) -> None:
        """Tell all who wait that the store is closed."""
        self._closed = True
        for woken in self._waiting:
            if not woken.done():
                woken.set_result(None)

    async def close(self) -> None:
        """Stop, with a last notification where one is due."""
        self._ending = True
        self._send_now.set()
        await asyncio.wait([self._sender], timeout=LAST_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _tell(self, position: int) -> None:
        self._told += 1
        self._latest = position
        for woken, after in self._waiting.items():
            if after < position and not woken.done():
                woken.set_result(None)

    async def _listen(self) -> None:
        """Keep a connection that listens."""
        first, longest = BACK_OFF_SECONDS
        pause = first
        while True:
            try:
                connection = await opened(self._url, BELL)
            except TwofoldError as error:
                if pause == first:
                    log.warning("appends of other processes are found by asking only: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)
                continue
            try:
                self._lost.clear()
                await connection.listen(self._channel, partial(self._heard, connection), self._lost.set)
                pause = first
                self._connection = connection
                self._news.set()  # of what was missed
                self._send_now.set()  # what could not be sent
                await self._lost.wait()
            except TwofoldError as error:
                log.warning("the server would not let us listen: %s", error)
                await asyncio.sleep(longest)
            finally:
                self._connection = None
                connection.drop()

    def _heard(self, connection: Connection, sender: int) -> None:
        if sender != connection.process:  # of our own appends all here know
            self._news.set()

    async def _look(self) -> None:
        """Look for news as long as somebody waits: once for all of them."""
        while True:
            await self._somebody.wait()
            if not self._waiting:
                self._somebody.clear()
                continue
            heard = True
            try:
                async with asyncio.timeout(DEAF_SECONDS if self._connection is None else POLL_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                heard = False
            self._news.clear()
            try:
                head = await self._head()
            except StoreClosed:
                return
            except TwofoldError:  # who waits goes on waiting: the server may come back
                await asyncio.sleep(DEAF_SECONDS)
                self._news.set()
                continue
            untold = not heard and head > self._latest and self._connection is not None
            self._tell(head)
            told = self._told
            if untold:  # the connection seems to be deaf, so have another; unless the news is only just coming
                await asyncio.sleep(DEAF_SECONDS)
                if told == self._told and not self._news.is_set():
                    self._lost.set()

    async def _send(self) -> None:
        while True:
            await self._send_now.wait()
            self._send_now.clear()
            if self._unsent and self._connection is not None:
                self._unsent = False
                with suppress(TwofoldError):  # others will see it by polling
                    await self._connection.rows("select pg_notify($1, '')", (self._channel,))
            if self._ending:
                return
            await asyncio.sleep(NOTIFY_SECONDS)
