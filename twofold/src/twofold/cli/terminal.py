"""What commands share at a terminal: how they fail, print JSON, and show how far they have come.

Answers go to stdout, all else to stderr, so that a command's output can be piped as it is. One rule for exit codes:
0 done, 1 not done (or something was found), 2 asked for wrongly, 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Annotated

import typer
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
from rich.prompt import Confirm
from rich.text import Text

from twofold.errors import (
    ProjectionCodeMissing,
    ProjectionInline,
    ProjectionUnknown,
    StoreRefused,
    TwofoldError,
)

Report = Callable[[int, int | None], None]
"""Told how much is done, of how much in all; None where nobody knows."""

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
AfterOption = Annotated[int, typer.Option("--after", min=0, metavar="P", help="Only events after this position.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="At most so many events.")]
FollowFlag = Annotated[
    bool, typer.Option("--follow", help="Wait for more, whichever process appends it, until Ctrl-C (exit code 130).")
]


class AskedWrongly(TwofoldError):
    """A command was asked for what cannot be; its text says what can."""


_MISUSED = (StoreRefused, ProjectionUnknown, ProjectionInline, ProjectionCodeMissing, AskedWrongly)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def application(purpose: str) -> typer.Typer:
    """An application whose faults of its own show as Python shows them, and that leaves the user's shell alone."""
    return typer.Typer(help=purpose, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def run(app: typer.Typer, *, misused: tuple[type[Exception], ...] = ()) -> None:
    """Run the application; an error that was raised on purpose becomes one sentence and an exit code.

    `misused` are the application's own errors that mean a wrong usage.
    """
    wrong_usage: tuple[type[Exception], ...] = (*_MISUSED, *misused)
    try:
        app()
    except wrong_usage as error:
        complain(str(error))
        sys.exit(2)
    except TwofoldError as error:
        complain(str(error))
        sys.exit(1)


def complain(sentence: str) -> None:
    """Say on stderr what is wrong."""
    Console(stderr=True).print(Text.assemble(("error: ", "bold red"), printable(sentence)), soft_wrap=True)


def confirmed(question: str) -> bool:
    """Ask on stderr; who cannot be asked has not confirmed."""
    try:
        return Confirm.ask(Text(printable(question)), console=Console(stderr=True), default=False)
    except EOFError:
        return False


def printable(text: str) -> str:
    """The text without what would move the cursor or change the terminal: stored data may come from anyone."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def print_json(line: bytes, *, flush: bool = False) -> None:
    """Print encoded JSON as a line of its own, byte for byte."""
    sys.stdout.buffer.write(line + b"\n")
    if flush:
        sys.stdout.buffer.flush()


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
