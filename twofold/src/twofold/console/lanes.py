"""The swimlanes of a correlation: a lane for each stream, its events in time, and which message led to which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from twofold.console.strip import distance
from twofold.inspecting.correlation import Correlated

LEFT, TOP, LANE = 200.0, 26.0, 44.0
SHORTEN = 26  # characters of a stream's name that have room
MOST = 200  # events that are drawn


class Dot(NamedTuple):
    """An event in its lane."""

    x: float
    y: float
    position: int
    type: str
    title: str


class Link(NamedTuple):
    """From the event that stands for a cause to one that it led to."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def path(self) -> str:
        """The line, as SVG has it."""
        middle = (self.x1 + self.x2) / 2
        return f"M{self.x1} {self.y1}C{middle} {self.y1} {middle} {self.y2} {self.x2} {self.y2}"


class Lanes(NamedTuple):
    """All of it."""

    names: Sequence[tuple[str, float]]
    dots: Sequence[Dot]
    links: Sequence[Link]
    width: float
    height: float


def lanes(correlated: Correlated) -> Lanes:
    """The drawing of a correlation, its first events."""
    streams = {stream: TOP + number * LANE for number, stream in enumerate(correlated.streams)}
    flat = [(message, event) for message in correlated.messages for event in message.events if event.position]
    flat.sort(key=lambda pair: pair[1].position or 0)
    x, before = LEFT, None
    dots: list[Dot] = []
    first: dict[object, Dot] = {}
    last: dict[object, Dot] = {}
    links: list[Link] = []
    for message, event in flat[:MOST]:
        at = event.recorded_at
        if before is not None and at is not None:
            x += distance((at - before).total_seconds())
        before = at or before
        dot = Dot(round(x, 1), streams[event.stream] + LANE / 2, event.position or 0, event.type, event.stream)
        dots.append(dot)
        cause = last.get(message.parent) if message.id not in first else first[message.id]
        if cause is not None:
            links.append(Link(cause.x, cause.y, dot.x, dot.y))
        first.setdefault(message.id, dot)
        last[message.id] = dot
    names = [(name if len(name) <= SHORTEN else f"{name[: SHORTEN - 1]}…", y) for name, y in streams.items()]
    return Lanes(names, dots, links, round(x + 120, 1), TOP + LANE * len(streams) + 8)
