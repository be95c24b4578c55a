"""Read your own writes: how far the views have come, and a token with which a reader can ask for no less.

Each write answers with a token: the log's id and a position in it. A reader that brings it back waits, a bounded time,
until the views that it reads have reached that position.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from twofold.claims import Claims, partition
from twofold.store import LARGEST
from twofold.views import Views, identity

POLL_SECONDS = 0.01  # how late it is noticed that another process has brought a view further

_POSITIONS = sa.select(partition.c.name, sa.func.min(partition.c.position)).group_by(partition.c.name)


class Token(NamedTuple):
    """A position in a log; opaque to a client."""

    store: UUID
    position: int

    def text(self) -> str:
        """The token as a client is sent it."""
        return base64.urlsafe_b64encode(self.store.bytes + self.position.to_bytes(8, "big")).decode()

    @classmethod
    def of(cls, text: str) -> Token | None:
        """The token that a client sent; None if it is none of ours."""
        try:
            content = base64.b64decode(text, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(content) != 24:
            return None
        token = cls(UUID(bytes=content[:16]), int.from_bytes(content[16:], "big"))
        return token if token.position <= LARGEST and token.text() == text else None


class Watermarks:
    """How far the subscribed views of this application have come; the database is asked once for all who wait."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._names = {view.name: identity(view) for view in views.subscribed}
        self._claims = Claims(views.store.dialect)
        self._looking: asyncio.Task[dict[str, int]] | None = None
        self._changed = asyncio.Event()

    def advanced(self) -> None:
        """Some view was brought further by this process: those who wait look at once."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def behind(self, names: Iterable[str], position: int) -> int:
        """How many positions the slowest of these views is behind this one; 0 if all have reached it.

        Inline views never are behind: a position is told only after they have it.
        """
        identities = [self._names[name] for name in names if name in self._names]
        if not identities:
            return 0
        reached = await self._look()
        return max(0, position - min(reached.get(identity, 0) for identity in identities))

    async def wait(self, names: Iterable[str], position: int, seconds: float) -> int:
        """Wait until these views have reached the position, so many seconds at most; answers like `behind`."""
        loop = asyncio.get_running_loop()
        names = tuple(names)
        end = loop.time() + seconds
        while True:
            changed = self._changed
            behind = await self.behind(names, position)
            left = end - loop.time()
            if not behind or left <= 0:
                return behind
            waiting = asyncio.ensure_future(changed.wait())
            await asyncio.wait([waiting], timeout=min(POLL_SECONDS, left))
            waiting.cancel()

    async def _look(self) -> dict[str, int]:
        if self._looking is None:
            self._looking = asyncio.create_task(self._read())
        return await asyncio.shield(self._looking)

    async def _read(self) -> dict[str, int]:
        try:
            rows = await self._views.store.rows(self._claims.query(_POSITIONS))
            return dict(rows)  # pairs of name and position
        finally:
            self._looking = None
