"""Time limits that cost next to nothing.

`asyncio.timeout` makes a timer of the event loop each time it is entered, which takes longer than most of what a
request needs. A limit of seconds that hardly ever passes need not be so exact: here all limits of a loop share one
timer, which looks for those that have passed. So one may pass late, by up to `TICK_SECONDS`, and never early.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from weakref import ReferenceType, WeakKeyDictionary, ref

TICK_SECONDS = 0.1


class Deadline:
    """`with Deadline(seconds):` cancels what runs in the block once its time is over, as `asyncio.timeout` does.

    TimeoutError leaves the block then; `expired` tells it from one that something in the block has raised.
    """

    __slots__ = ("_cancelling", "_clock", "_seconds", "_task", "expired", "when")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.expired = False

    def __enter__(self) -> Deadline:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a deadline is for what runs in a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._clock = _clock(loop)
        self.when = time.monotonic() + self._seconds
        self._clock.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._clock.discard(self)
        # Whoever else has cancelled the task meanwhile must not find it swallowed.
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def lapse(self) -> None:
        """Its time is over."""
        self.expired = True
        self._task.cancel()


class _Clock:
    """The deadlines that are running in a loop, and the timer that looks at them as long as there are any."""

    def __init__(self) -> None:  # it keeps no loop: a loop that is gone takes its clock with it
        self._running: set[Deadline] = set()
        self._ticking = False

    def add(self, deadline: Deadline) -> None:
        self._running.add(deadline)
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def discard(self, deadline: Deadline) -> None:
        self._running.discard(deadline)

    def _tick(self) -> None:
        now = time.monotonic()
        for deadline in [each for each in self._running if each.when <= now]:
            self._running.discard(deadline)
            deadline.lapse()
        self._ticking = bool(self._running)
        if self._ticking:
            asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)


_clocks: WeakKeyDictionary[asyncio.AbstractEventLoop, _Clock] = WeakKeyDictionary()
_latest: list[tuple[ReferenceType[asyncio.AbstractEventLoop], _Clock]] = []  # as a rule there is one loop


def _clock(loop: asyncio.AbstractEventLoop) -> _Clock:
    if _latest:
        known, clock = _latest[0]
        if known() is loop:
            return clock
    found = _clocks.get(loop)
    if found is None:
        found = _clocks[loop] = _Clock()
    _latest[:] = [(ref(loop), found)]
    return found
