"""The end of the log, followed once for all who want to hear of one thing's changes.

A feed is told of changes, not of their content: position, stream and version, which a reader looks up when it can send
them on. So a slow reader costs little, and one that is too slow is ended; it goes on from the last position it has.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from twofold.errors import StoreUnavailable, TwofoldError
from twofold.events import Recorded
from twofold.store import EventStore

PAGE = 500  # events looked at before others may run
PENDING = 1000  # changes that a feed keeps for a reader that is busy

log = logging.getLogger("twofold.tail")

KeysOf = Callable[[Recorded[bytes]], Awaitable[Sequence[str]]]
"""The things that an event changes. An error other than of the store ends all feeds: catch what one event may cause."""


class Change(NamedTuple):
    """Where an event stands: in the log, and in its stream."""

    position: int
    stream: str
    version: int

    @classmethod
    def of(cls, recorded: Recorded[bytes]) -> Change:
        """The change that an event is."""
        return cls(recorded.position, recorded.stream, recorded.version)


class Feed:
    """The changes of one thing behind the position `since`, each once, in the order of positions."""

    def __init__(self, since: int) -> None:
        self.since = since
        self._pending: deque[Change] = deque()
        self._woken = asyncio.Event()
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether there will be no more: the reader was too slow, or the tail has ended."""
        return self._ended and not self._pending

    async def next(self, seconds: float) -> Change | None:
        """The next change; None if the feed has ended, or none came for so long."""
        if not self._pending and not self._ended:
            self._woken.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
        return self._pending.popleft() if self._pending else None

    def push(self, change: Change) -> None:
        """Tell of a change. A feed that keeps too many already is ended behind them: no gap, but a break."""
        if len(self._pending) >= PENDING:
            self._ended = True
        elif not self._ended:
            self._pending.append(change)
            self._woken.set()

    def end(self) -> None:
        """No change comes any more."""
        self._ended = True
        self._woken.set()


class Tail:
    """Follows the log as long as somebody holds a feed."""

    def __init__(self, store: EventStore, keys_of: KeysOf) -> None:
        self._store = store
        self._keys_of = keys_of
        self._feeds: dict[str, set[Feed]] = {}
        self._users = 0
        self._position = 0
        self._following: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._closed = False

    def close(self) -> None:
        """End all feeds, and open none any more."""
        self._closed = True
        self._end()

    @asynccontextmanager
    async def feed(self, key: str) -> AsyncGenerator[Feed]:
        """A feed of one thing's changes, behind all that was in the log when it was asked for.

        Raises StoreUnavailable if the log cannot be followed now.
        """
        self._users += 1
        try:
            feed = await self._opened()
            feeds = self._feeds.setdefault(key, set())
            feeds.add(feed)
            try:
                yield feed
            finally:
                feeds.discard(feed)
                if not feeds and self._feeds.get(key) is feeds:
                    del self._feeds[key]
        finally:
            self._users -= 1
            if not self._users:
                self._end()

    async def _opened(self) -> Feed:
        """A feed that begins where the tail is, once it has come to where the log is now."""
        head = await self._store.head()
        if self._closed:
            raise StoreUnavailable("the log is not followed any more")
        if self._following is None:
            self._position = head
            self._following = asyncio.create_task(self._follow())
        following = self._following
        while self._position < head:
            await self._moved.wait()
            if self._following is not following:
                raise StoreUnavailable("the log cannot be followed")
        return Feed(self._position)

    async def _follow(self) -> None:
        try:
            while True:
                async for recorded in self._store.read_all(after=self._position, limit=PAGE):
                    keys = await self._keys_of(recorded)
                    change = Change.of(recorded)
                    self._position = recorded.position  # with the pushes: who opens a feed has it or is told of it
                    for key in keys:
                        for feed in self._feeds.get(key, ()):
                            feed.push(change)
                self._wake()
                await self._store.wait_appended(after=self._position)
        except TwofoldError as error:
            log.warning("the log cannot be followed: %s", error)
        except Exception:  # a fault of ours: it must be seen, and feeds must not wait for ever
            log.exception("the log cannot be followed")
        self._following = None
        self._end()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    def _end(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
        for feeds in self._feeds.values():
            for feed in feeds:
                feed.end()
        self._wake()
