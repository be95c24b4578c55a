"""Numbers that the hot path can afford: plain counters beside the work, read only when somebody asks.

To count is an addition or two. What the numbers are called and how they are shown is decided by who reads them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Awaitable, Sequence
from time import perf_counter

import msgspec

from twofold.errors import Conflict
from twofold.events import Receipt

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Where durations are told apart, in seconds: from what a read takes to what nobody waits for any more."""

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Where the sizes of groups are told apart."""


class Distribution(msgspec.Struct, frozen=True):
    """How many values fell between which bounds: `counts[i]` are those up to and with `bounds[i]`, the last ones above.

    `sum` is that of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        """How many values there are."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Their mean; 0 if there are none."""
        return self.sum / self.count if self.count else 0.0

    def since(self, earlier: Distribution) -> Distribution:
        """The values that have come since an earlier reading of the same numbers."""
        counts = tuple(now - then for now, then in zip(self.counts, earlier.counts, strict=True))
        return Distribution(self.bounds, counts, self.sum - earlier.sum)

    def quantile(self, share: float) -> float:
        """Below what value this share of them lies, as far as the bounds tell: the next bound; 0 if there are none.

        For values above the last bound it answers that bound.
        """
        rank = share * self.count
        if rank == 0:
            return 0.0
        seen = 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            seen += count
            if seen >= rank:
                return bound
        return self.bounds[-1]


class Histogram:
    """A distribution that is still growing."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def read(self) -> Distribution:
        """What was counted so far."""
        return Distribution(self._bounds, tuple(self._counts), self._sum)


class Timings:
    """Durations told apart by names. There must be few of them: none is ever forgotten."""

    __slots__ = ("_histograms",)

    def __init__(self) -> None:
        self._histograms: dict[tuple[str, ...], Histogram] = {}

    def add(self, names: tuple[str, ...], seconds: float) -> None:
        """Count a duration under these names."""
        histogram = self._histograms.get(names)
        if histogram is None:
            histogram = self._histograms[names] = Histogram()
        histogram.add(seconds)

    def read(self) -> list[tuple[tuple[str, ...], Distribution]]:
        """What was counted so far, by names."""
        return [(names, histogram.read()) for names, histogram in self._histograms.items()]

    def total(self) -> Distribution:
        """All of it, whatever the names."""
        parts = [part for _, part in self.read()] or [Histogram().read()]
        counts = tuple(map(sum, zip(*(part.counts for part in parts), strict=True)))
        return Distribution(parts[0].bounds, counts, sum(part.sum for part in parts))


class Appends(msgspec.Struct, frozen=True):
    """What a store has done since it was opened here, for this process alone.

    `seconds` are what successful appends took, from the call to the answer; `events` those that they added.
    `conflicts` are appends that expected another version: a command is decided again then, so most are not told to
    anybody. `groups` are the sizes of what was committed together, `group_seconds` how long that took.
    """

    seconds: Distribution
    events: int
    conflicts: int
    groups: Distribution
    group_seconds: Distribution


class AppendStatistics:
    """The numbers of one store. Groups may be counted on another thread than appends."""

    def __init__(self) -> None:
        self._seconds = Histogram()
        self._groups = Histogram(SIZES)
        self._group_seconds = Histogram()
        self._events = 0
        self._conflicts = 0

    async def append(self, appending: Awaitable[Receipt], events: int) -> Receipt:
        """Await an append, and count what becomes of it. One that was there before adds no events."""
        began = perf_counter()
        try:
            receipt = await appending
        except Conflict:
            self._conflicts += 1
            raise
        self._seconds.add(perf_counter() - began)
        if not receipt.repeated:
            self._events += events
        return receipt

    def group(self, size: int, seconds: float) -> None:
        """Count a group that was committed together, or failed together."""
        self._groups.add(size)
        self._group_seconds.add(seconds)

    def read(self) -> Appends:
        """What was counted so far."""
        return Appends(
            self._seconds.read(), self._events, self._conflicts, self._groups.read(), self._group_seconds.read()
        )


class Requests(msgspec.Struct, frozen=True):
    """HTTP requests to a route, as it was declared, with answers of a class (`2xx`); what it took to have the answer.

    Of an answer that is a stream this is the time until it begins.
    """

    method: str
    route: str
    status: str
    seconds: Distribution


class Messages(msgspec.Struct, frozen=True):
    """Commands or queries of a name that came to an outcome: `done`, `refused` by the domain, or `failed`."""

    name: str
    outcome: str
    seconds: Distribution


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """What one process has done since it began. `loop_lag` is how late its event loop was, looked at all the time."""

    name: str
    pid: int
    started_at: float
    cpu_seconds: float
    resident_bytes: int | None
    open_files: int | None
    loop_lag: Distribution
    streams: int
    appends: Appends
    requests: Sequence[Requests]
    commands: Sequence[Messages]
    queries: Sequence[Messages]
