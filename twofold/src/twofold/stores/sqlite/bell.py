"""Who waits for the log to grow is woken: by the commits of this process, and by looking now and then for others'.

Nobody looks as long as nobody waits, and all who wait are looked for at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from twofold.errors import StoreClosed
from twofold.store import LARGEST
from twofold.stores.sqlite.driver import DriverError

POLL_SECONDS = 0.05  # how late an append of another process may be noticed


class Bell:
    """Those who wait on one event loop, each for a position above some other."""

    def __init__(self, head: Callable[[], int]) -> None:
        """`head` looks where the log ends."""
        self._head = head
        self._waiting: dict[asyncio.Future[None], int] = {}  # for a position above this
        self._polling: asyncio.TimerHandle | None = None  # set as long as somebody waits

    async def wait(self, after: int) -> None:
        """Return when there may be something behind this position."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[woken] = after
        self._poll_later()
        try:
            await woken
        finally:
            del self._waiting[woken]

    def ring(self) -> None:
        """Wake those whose position is there; after an error all, who then look themselves and are told of it."""
        if not self._waiting:
            return
        try:
            reached = self._head()
        except (StoreClosed, DriverError):
            reached = LARGEST + 1
        for woken, after in self._waiting.items():
            if after < reached and not woken.done():
                woken.set_result(None)

    def rest(self) -> None:
        """Look no more."""
        if self._polling is not None:
            self._polling.cancel()
            self._polling = None

    def _poll_later(self) -> None:
        if self._polling is None:
            self._polling = asyncio.get_running_loop().call_later(POLL_SECONDS, self._poll)

    def _poll(self) -> None:
        self._polling = None
        self.ring()
        if self._waiting:  # else it ends here
            self._poll_later()
