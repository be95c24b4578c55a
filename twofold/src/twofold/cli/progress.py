"""How far a command has come, as a bar at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from twofold.store import Progress as Reached

Report = Callable[[int, int | None], None]
"""Told how much is done, of how much in all; None where nobody knows."""


class RateColumn(ProgressColumn):
    """How many are done in a second."""

    def render(self, task: Task) -> Text:
        """See ProgressColumn.render."""
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


@contextmanager
def progress_bar(label: str) -> Generator[Report]:
    """A bar on stderr that is gone when all is done. Where stderr is no terminal there is none."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def through_log(report: Report) -> Callable[[Reached], None]:
    """Reports how far through a log something has come."""
    return lambda reached: report(reached.position, reached.head)
