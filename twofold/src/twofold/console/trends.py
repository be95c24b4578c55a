"""How lags move: what a projection folds in a second, what is appended meanwhile, and when it will have caught up.

Each look at the projections leaves a sample, so a trend is known once somebody has looked twice.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from twofold.overview import Status

SAMPLES = 60  # kept of each projection
APART_SECONDS = 1.0  # between two of them
WINDOW_SECONDS = 30.0  # over which a pace is taken


class Sample(NamedTuple):
    """How far a projection and the log were at a moment of the monotonic clock."""

    at: float
    position: int
    head: int


class Trend(NamedTuple):
    """Positions in a second, of the projection and of the log; seconds until it has caught up, if it ever will.

    `lags` are those of late, the newest last.
    """

    pace: float
    inflow: float
    seconds: float | None
    lags: tuple[int, ...]


class Trends:
    """The samples of all projections."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[Sample]] = {}

    def note(self, statuses: Sequence[Status]) -> None:
        """Keep how they stand now."""
        now = time.monotonic()
        known = {status.name for status in statuses}
        for gone in self._samples.keys() - known:
            del self._samples[gone]
        for status in statuses:
            kept = self._samples.setdefault(status.name, deque(maxlen=SAMPLES))
            if not kept or now - kept[-1].at >= APART_SECONDS:
                kept.append(Sample(now, status.position, status.head))

    def trend(self, name: str) -> Trend | None:
        """How a projection has moved of late; None where nobody has looked twice."""
        kept = self._samples.get(name)
        if kept is None or len(kept) < 2:
            return None
        last = kept[-1]
        first = next(sample for sample in kept if last.at - sample.at <= WINDOW_SECONDS)
        if first is last:
            first = kept[-2]
        return trend_of(first, last, tuple(max(0, sample.head - sample.position) for sample in kept))


def trend_of(first: Sample, last: Sample, lags: tuple[int, ...]) -> Trend:
    """The trend between two samples."""
    elapsed = last.at - first.at
    pace, inflow = (last.position - first.position) / elapsed, (last.head - first.head) / elapsed
    behind = last.head - last.position
    gaining = pace - inflow
    seconds = 0.0 if behind <= 0 else behind / gaining if gaining > 0 else None
    return Trend(pace, inflow, seconds, lags)
