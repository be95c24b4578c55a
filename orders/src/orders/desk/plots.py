"""Plots as numbers that a template draws: bars by day, stacked by status. All places are in percent of the plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from orders.domain import Status
from orders.queries import DaySum

STACKED = (Status.DELIVERED, Status.SHIPPED, Status.CONFIRMED, Status.PENDING, Status.CANCELLED)  # from below
GAP = 0.25  # of a day's place, between bars
NARROWEST, WIDEST = 0.35, 6.0  # a bar that is thinner is not seen, and a single day is no wall
MOST_LINES = 5  # above the one at the bottom
MOST_DATES = 4  # after the first


class Part(NamedTuple):
    """What a bar has of one status."""

    status: Status
    y: float
    height: float
    value: Decimal


class Bar(NamedTuple):
    """A day: `place` and `span` are all the room that it has, `x` and `width` the bar in the middle of it."""

    day: str
    place: float
    span: float
    x: float
    width: float
    value: Decimal
    parts: Sequence[Part]


class Tick(NamedTuple):
    """A mark at an axis."""

    at: float
    label: str


class Plot(NamedTuple):
    """Bars from the first to the last day; the lines are at round amounts, the lowest at 0."""

    first: str
    last: str
    bars: Sequence[Bar]
    lines: Sequence[Tick]
    dates: Sequence[Tick]


def orders(days: Sequence[DaySum]) -> Plot | None:
    """How many orders were created each day; None if there are none."""
    return _stacked({day.day: {one.status: Decimal(one.orders) for one in day.by_status} for day in days})


def revenue(days: Sequence[DaySum]) -> Plot | None:
    """Their amounts, cancelled orders left out; None if there are no orders."""
    kept = {day.day: [one for one in day.by_status if one.status is not Status.CANCELLED] for day in days}
    return _stacked({day: {one.status: one.revenue for one in sums} for day, sums in kept.items()})


def shares(values: Sequence[Decimal]) -> Sequence[float]:
    """How long bars of these values are, in percent of the longest."""
    longest = max(*values, Decimal(0)) or Decimal(1)
    return [round(float(value / longest) * 100, 2) for value in values]


def _stacked(values: Mapping[str, Mapping[Status, Decimal]]) -> Plot | None:
    """The plot of values by day (ISO 8601) and status, each bar at its place in time."""
    if not values:
        return None
    days = {date.fromisoformat(day): of_day for day, of_day in values.items()}
    first, count = min(days), (max(days) - min(days)).days + 1
    span = 100 / count
    width = min(max(span * (1 - GAP), NARROWEST), WIDEST)
    largest = max(sum(of_day.values(), Decimal(0)) for of_day in days.values())
    step = _step(largest)
    lines = max(math.ceil(largest / step), 1)
    top = step * lines
    bars: list[Bar] = []
    for day, of_day in sorted(days.items()):
        place = (day - first).days * span
        parts: list[Part] = []
        height = Decimal(0)
        for status in STACKED:
            if value := of_day.get(status):
                height += value
                parts.append(Part(status, _percent(1 - height / top), _percent(value / top), value))
        x = place + (span - width) / 2
        bars.append(Bar(str(day), round(place, 3), round(span, 3), round(x, 3), round(width, 3), height, parts))
    amounts = [Tick(_percent(1 - Decimal(number) / lines), _short(step * number)) for number in range(lines + 1)]
    return Plot(bars[0].day, bars[-1].day, bars, amounts, _dates(first, count))


def _step(largest: Decimal) -> Decimal:
    """The distance of the lines: 1, 2 or 5 and zeros, so that few of them reach the largest value."""
    unit = Decimal(1)
    while True:
        for step in (unit, unit * 2, unit * 5):
            if step * MOST_LINES >= largest:
                return step
        unit *= 10


def _dates(first: date, count: int) -> Sequence[Tick]:
    """Some days, as far from each other as whole days can be."""
    marks = min(count - 1, MOST_DATES)
    offsets = [round(number * (count - 1) / marks) for number in range(marks + 1)] if marks else [0]
    ticks: list[Tick] = []
    for offset in offsets:
        day = first + timedelta(offset)
        label = f"{day.day} {day:%b}" if count <= 366 else f"{day:%b %Y}"
        ticks.append(Tick(round((offset + 0.5) * 100 / count, 3), label))
    return ticks


def _percent(share: Decimal) -> float:
    return round(float(share) * 100, 3)


def _short(amount: Decimal) -> str:
    """A round amount in few letters."""
    for unit, letter in ((10**9, "bn"), (10**6, "M"), (10**3, "k")):
        if amount >= unit and amount >= 10_000:
            return f"{(amount / unit).normalize():f}{letter}"
    return f"{amount:,f}"
