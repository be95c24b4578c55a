"""Plots as numbers that a template draws: bars in a box of fixed size, which the page stretches to its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

WIDTH, HEIGHT = 900, 200  # of the box that bars are drawn in
GAP = 0.25  # of a day's place, between bars
NARROWEST = 2.0  # a bar that is thinner is not seen


class Bar(NamedTuple):
    """A bar of a plot: its place in the box, and what it stands for."""

    x: float
    y: float
    width: float
    height: float
    day: str
    value: Decimal


class Plot(NamedTuple):
    """Values by day. The box reaches from 0 to `top`; the lines lie at each quarter of it."""

    bars: Sequence[Bar]
    top: Decimal
    first: str
    last: str


def by_day(values: Mapping[str, Decimal]) -> Plot | None:
    """The plot of values by day (ISO 8601), each bar at its place in time; None if there are none."""
    if not values:
        return None
    days = {date.fromisoformat(day): value for day, value in values.items()}
    first, last = min(days), max(days)
    place = WIDTH / ((last - first).days + 1)
    top = _round_top(max(days.values()))
    width = max(place * (1 - GAP), NARROWEST)
    bars: list[Bar] = []
    for day, value in sorted(days.items()):
        height = float(max(value, Decimal(0)) / top) * HEIGHT
        x = ((day - first).days + 0.5) * place - width / 2
        bars.append(Bar(round(x, 2), round(HEIGHT - height, 2), round(width, 2), round(height, 2), str(day), value))
    return Plot(bars, top, str(first), str(last))


def shares(values: Sequence[Decimal]) -> Sequence[float]:
    """How long bars of these values are, in percent of the longest."""
    longest = max(*values, Decimal(0)) or Decimal(1)
    return [round(float(max(value, Decimal(0)) / longest) * 100, 2) for value in values]


def _round_top(largest: Decimal) -> Decimal:
    """A round number that is not below the largest value: one digit, and zeros."""
    if largest <= 1:
        return Decimal(1)
    unit = Decimal(10) ** largest.adjusted()
    return next(unit * step for step in (1, 2, 3, 4, 5, 6, 8, 10) if unit * step >= largest)
