"""How the projections of a store stand, as a table or as JSON, once or watched second by second."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import NamedTuple, NoReturn

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from twofold.cli.printing import duration, show, table
from twofold.cli.subscriptions import Opening
from twofold.cli.terminal import complain, print_json, printable
from twofold.errors import StoreUnavailable
from twofold.overview import State, Status, overview
from twofold.views import Views

REFRESH_SECONDS = 1.0
REFRESHES = 10  # from which a pace is computed

COLOURS = {
    State.NEW: "cyan",
    State.CATCHING_UP: "yellow",
    State.FOLLOWING: "green",
    State.PAUSED: "magenta",
    State.REBUILDING: "blue",
    State.FAILED: "bold red",
    State.DETACHED: "red",
    State.AHEAD: "bold red",
}
AT_WORK = {State.CATCHING_UP, State.FOLLOWING, State.REBUILDING}


class Pace(NamedTuple):
    """How many positions a projection passes in a second, and in how many seconds it will have caught up.

    None where that cannot be told: too few refreshes were seen, or the log grows as fast.
    """

    rate: float | None = None
    seconds_left: float | None = None


class _Seen(NamedTuple):
    at: float
    position: int
    behind: int


class Paces:
    """The paces of projections, from what was seen of them in the last refreshes."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[_Seen]] = {}

    def note(self, status: Status, at: float) -> Pace:
        """The pace of a projection that stands like this at a time (of any clock that runs evenly)."""
        seen = self._seen.setdefault(status.name, deque(maxlen=REFRESHES))
        if seen and status.position < seen[-1].position:  # it was reset
            seen.clear()
        seen.append(_Seen(at, status.position, status.behind))
        seconds = at - seen[0].at
        if seconds <= 0:
            return Pace()
        gained = (seen[0].behind - status.behind) / seconds
        left = 0.0 if not status.behind else status.behind / gained if gained > 0 else None
        return Pace((status.position - seen[0].position) / seconds, left)


class StatusLine(msgspec.Struct, frozen=True, rename="camel"):
    """A projection as `--json` prints it; the pace only where it is watched."""

    name: str
    state: State
    inline: bool
    position: int
    head: int
    behind: int
    seconds: float
    letters: int
    sequences: int
    owners: Sequence[str]
    reason: str | None
    rate: float | msgspec.UnsetType | None = msgspec.UNSET
    seconds_left: float | msgspec.UnsetType | None = msgspec.UNSET


class Overview(msgspec.Struct, frozen=True, rename="camel"):
    """All projections at a moment."""

    at: datetime
    projections: Sequence[StatusLine]


def healthy(status: Status) -> bool:
    """Whether a projection is at work, and nothing of it is parked."""
    return status.state in AT_WORK and not status.letters


async def print_statuses(opening: Opening, url: str, *, watch: bool, json: bool) -> bool:
    """Print how all projections stand; whether all are healthy. With `watch`, never come to an end.

    Raises StoreRefused.
    """
    async with opening(url) as views:
        if watch:
            await _watch(views, json=json)
        statuses = await overview(views.store, views)
    if json:
        _print_json(statuses)
    else:
        show(as_table(statuses))
    return all(healthy(status) for status in statuses)


async def _watch(views: Views, *, json: bool) -> NoReturn:
    """Print how all projections stand, again and again. A store that cannot be reached for a while ends nothing."""
    paces = Paces()
    console = Console(highlight=False)
    shown: RenderableType = ""
    with ExitStack() as stack:
        live: Live | None = None
        if console.is_terminal and not json:
            live = stack.enter_context(Live(console=console, auto_refresh=False))
        while True:
            try:
                statuses = await overview(views.store, views)
            except StoreUnavailable as error:
                if live is None:
                    complain(str(error))
                else:
                    live.update(Group(shown, Text(printable(str(error)), "bold red")), refresh=True)
            else:
                now = time.monotonic()
                pace = [paces.note(status, now) for status in statuses]
                shown = as_table(statuses, pace)
                if json:
                    _print_json(statuses, pace)
                elif live is None:
                    show(shown)
                else:
                    live.update(shown, refresh=True)
            await asyncio.sleep(REFRESH_SECONDS)


def _print_json(statuses: Sequence[Status], paces: Sequence[Pace] | None = None) -> None:
    """One line for all projections."""
    lines = [StatusLine(**status._asdict()) for status in statuses]
    if paces is not None:
        lines = [
            msgspec.structs.replace(line, rate=pace.rate, seconds_left=pace.seconds_left)
            for line, pace in zip(lines, paces, strict=True)
        ]
    print_json(msgspec.json.encode(Overview(datetime.now(UTC), lines)), flush=True)


def as_table(statuses: Sequence[Status], paces: Sequence[Pace] | None = None) -> RenderableType:
    """A row for each projection, and below it why those stand still that do."""
    if not statuses:
        return Text("There are no subscriptions; inline views are known only with the code of their application")
    numbers = ("Position", "Head", "Behind", "Lag", "Parked", *(() if paces is None else ("Rate", "Caught up in")))
    rows = table("Projection", "State", *numbers, "Run by", right=numbers)
    for number, status in enumerate(statuses):
        rows.add_row(
            Text(printable(status.name), "bold"),
            Text(status.state, COLOURS[status.state]),
            str(status.position),
            str(status.head),
            str(status.behind),
            duration(status.seconds) if status.behind else "-",
            Text(f"{status.letters} in {status.sequences}", "red") if status.letters else "-",
            *(() if paces is None else _pace(paces[number])),
            Text("every append", "dim") if status.inline else Text(printable(", ".join(status.owners)) or "-"),
        )
    reasons = [
        Text.assemble(
            (printable(status.name), "bold"), " is ", (status.state, COLOURS[status.state]), f": {printable(reason)}"
        )
        for status in statuses
        if (reason := status.reason) is not None
    ]
    return Group(rows, *reasons)


def _pace(pace: Pace) -> tuple[str, str]:
    rate = "-" if pace.rate is None else f"{pace.rate:,.0f}/s"
    return rate, "-" if not pace.seconds_left else duration(pace.seconds_left)
