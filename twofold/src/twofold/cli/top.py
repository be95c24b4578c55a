"""`twofold top`: a screen that shows a store as it lives: the log, its projections, what is parked, what just came."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.console import RenderableType
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Static

from twofold.cli.applications import Program
from twofold.cli.doctor import without_password
from twofold.cli.listing import as_text
from twofold.cli.printing import said
from twofold.cli.statuses import REFRESH_SECONDS, REFRESHES, Paces, as_table
from twofold.errors import EventCorrupt, TwofoldError
from twofold.events import Recorded
from twofold.inspecting.inspection import read_back_through
from twofold.overview import Status, overview
from twofold.views import Views

LATEST = 50  # events that a large screen has room for


class Seen(NamedTuple):
    """A store at a moment."""

    head: int
    statuses: Sequence[Status]
    events: Sequence[Recorded[bytes] | EventCorrupt]


async def look(views: Views) -> Seen:
    """How the store is now. Raises what a store raises of its own troubles."""
    events = [event async for event in read_back_through(views.store, before=None, limit=LATEST)]
    return Seen(await views.store.head(), await overview(views.store, views), events)


class Top(App[None]):
    """The screen. It looks again every second, until it is left."""

    CSS = """
    Screen { layout: vertical; }
    #log { height: 1; background: $panel; }
    #projections { height: auto; max-height: 50%; margin: 1 0; }
    #events { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "quit", "Quit"), Binding("p", "pause", "Pause")]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, views: Views, *, name: str) -> None:
        """`name` is that of the store."""
        super().__init__()
        self._views = views
        self._store_name = name
        self._paces = Paces()
        self._heads = deque[tuple[float, int]](maxlen=REFRESHES)
        self._paused = False

    def compose(self) -> ComposeResult:
        """See App.compose."""
        yield Static(id="log")
        yield Static(id="projections")
        yield Static(id="events")
        yield Footer()

    async def on_mount(self) -> None:
        """Look at once, and then again and again."""
        await self.look_again()
        self.set_interval(REFRESH_SECONDS, self.look_again)

    def action_pause(self) -> None:
        """Stand still, or go on."""
        self._paused = not self._paused

    async def look_again(self) -> None:
        """Show the store as it is now. One that cannot be reached is looked for again, and the last look stays."""
        if self._paused:
            return
        try:
            seen = await look(self._views)
        except TwofoldError as error:
            self._show("log", said(error, "bold red"))
            return
        now = time.monotonic()
        self._heads.append((now, seen.head))
        paces = [self._paces.note(status, now) for status in seen.statuses]
        self._show("log", self._line(seen))
        self._show("projections", as_table(seen.statuses, paces))
        lines = (said(event, "red") if isinstance(event, EventCorrupt) else as_text(event) for event in seen.events)
        self._show("events", Text("\n").join(lines))

    def _line(self, seen: Seen) -> Text:
        (first, before), (last, head) = self._heads[0], self._heads[-1]
        rate = f"{(head - before) / (last - first):,.0f}/s" if last > first else "-"
        letters = sum(status.letters for status in seen.statuses)
        worst = max((status.behind for status in seen.statuses), default=0)
        return Text.assemble(
            said(self._store_name, "bold"),
            f"   head {head}   appended {rate}   most behind {worst}   ",
            (f"parked {letters}", "bold red" if letters else ""),
        )

    def _show(self, part: str, content: RenderableType) -> None:
        self.query_one(f"#{part}", Static).update(content)


async def run_top(program: Program, url: str) -> None:
    """Show the store until the screen is left. Raises StoreRefused."""
    async with program.opening(url) as views:
        await Top(views, name=without_password(url)).run_async()
