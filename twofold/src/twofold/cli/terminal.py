"""What commands share at a terminal: how they fail, print JSON, and show how far they have come.

Answers go to stdout, all else to stderr, so that a command's output can be piped as it is. One rule for exit codes:
0 done, 1 not done (or something was found), 2 asked for wrongly, 130 interrupted by Ctrl-C.

What draws is imported where it is drawn: who asks for `--help` or JSON does not wait for it.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import errno
import getpass
import os
import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.errors import (
    CopyRefused,
    ProjectionCodeMissing,
    ProjectionInline,
    ProjectionUnknown,
    StoreRefused,
    TwofoldError,
)

if TYPE_CHECKING:
    from twofold.auditing import Actor

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
AfterOption = Annotated[int, typer.Option("--after", min=0, metavar="P", help="Only events after this position.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="At most so many events.")]
FollowFlag = Annotated[
    bool, typer.Option("--follow", help="Wait for more, whichever process appends it, until Ctrl-C (exit code 130).")
]


class AskedWrongly(TwofoldError):
    """A command was asked for what cannot be; its text says what can."""


_MISUSED = (StoreRefused, CopyRefused, ProjectionUnknown, ProjectionInline, ProjectionCodeMissing, AskedWrongly)
_FULL = (errno.ENOSPC, errno.EDQUOT)
# What moves the cursor or changes the terminal, and what turns the direction of the text behind it.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def at_terminal() -> Actor:
    """Who acts at this terminal: the user of this process, as the system names it."""
    from twofold.auditing import Actor

    try:
        return Actor(getpass.getuser(), "terminal")
    except (OSError, KeyError):  # a user without a name
        return Actor("somebody", "terminal")


def application(purpose: str) -> typer.Typer:
    """An application whose faults of its own show as Python shows them, and that a shell can complete if asked to."""
    return typer.Typer(
        help=purpose,
        no_args_is_help=True,
        context_settings={"max_content_width": 120},
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


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
    except OSError as error:
        if error.errno not in _FULL:
            raise
        complain(f"{error.filename or 'what is printed'} cannot be written: {error.strerror}")
        os._exit(1)  # the interpreter would try to write what is left, and complain again


def confirm(question: str) -> None:
    """Ask on stderr, and go on only after a yes; else exit code 1. Who cannot be asked has not confirmed."""
    from rich.console import Console
    from rich.prompt import Confirm
    from rich.text import Text

    try:
        confirmed = Confirm.ask(Text(printable(question)), console=Console(stderr=True), default=False)
    except EOFError:
        confirmed = False
    if not confirmed:
        complain("not confirmed, so nothing was done")
        raise typer.Exit(1)


def complain(sentence: str) -> None:
    """Say on stderr what is wrong."""
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True).print(Text.assemble(("error: ", "bold red"), printable(sentence)), soft_wrap=True)


def printable(text: str) -> str:
    """The text without what would move the cursor or change the terminal: stored data may come from anyone."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def print_json(line: bytes, *, flush: bool = False) -> None:
    """Print encoded JSON as a line of its own, byte for byte."""
    sys.stdout.buffer.write(line + b"\n")
    if flush:
        sys.stdout.buffer.flush()
