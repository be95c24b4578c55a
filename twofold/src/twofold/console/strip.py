"""The strip: a stream's events along a line in time, its idle gaps folded, so that a burst and a year fit on one page.

Where time goes by, distance grows with its logarithm; what is longer than it can show is drawn as a fold in the line,
with the time that it hides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from twofold.console.texts import duration
from twofold.inspecting.events import ShownEvent

LEAST, MOST = 136.0, 210.0  # pixels between two events: room for the name of a type
FOLDED_SECONDS = 3600.0  # a gap of more is drawn as a fold
MARGIN = 74.0  # half of the longest label, in bold
HEIGHT = 78
SHORTEN = 18  # characters of a type that have room under an event


class Mark(NamedTuple):
    """An event on the strip: where, and what stands under it. `gap` is the time before it, where it says something."""

    x: float
    version: int
    label: str
    gap: str
    gap_x: float
    folded: bool


class Strip(NamedTuple):
    """All of it, and how wide it is."""

    marks: Sequence[Mark]
    width: float
    height: int = HEIGHT


def strip(events: Sequence[ShownEvent]) -> Strip:
    """The strip of these events."""
    x = MARGIN
    marks: list[Mark] = []
    for number, event in enumerate(events):
        gap = event.gap if number else None
        before = x
        if number:
            x += distance(gap)
        shown = duration(gap) if gap is not None and gap >= 1 else ""
        label = event.type if len(event.type) <= SHORTEN else f"{event.type[: SHORTEN - 1]}…"
        folded = gap is not None and gap >= FOLDED_SECONDS
        marks.append(Mark(round(x, 1), event.version, label, shown, round((before + x) / 2, 1), folded))
    return Strip(marks, round(x + MARGIN, 1))


def distance(seconds: float | None) -> float:
    """How far apart two events are drawn that are so many seconds apart."""
    if seconds is None or seconds <= 0:
        return LEAST
    return min(MOST, LEAST + 12.0 * math.log10(1 + seconds))
