"""What commands share that show something: text that is only text, JSON with exact numbers, tables without lines.

At a terminal a table is as wide as that: cells are folded, and none is cut, because half a number is a wrong one.
Anywhere else it is as wide as its content: who reads a pipe wants a row on a line.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from twofold.cli.terminal import print_json, printable

if TYPE_CHECKING:
    from twofold.inspecting.events import ShownEvent

WIDEST = 100_000  # columns of what is no terminal

_BLANKS = re.compile(" +$", re.MULTILINE)
_encode = msgspec.json.Encoder(decimal_format="number").encode


def print_answer(answer: object, *, flush: bool = False) -> None:
    """Print an answer as a line of JSON, as the API of the console has it."""
    print_json(_encode(answer), flush=flush)


def tell(sentence: str, line: object, *, json: bool) -> None:
    """Say what was done: to a person in a sentence, to a program as a line of JSON."""
    if json:
        print_answer(line)
    else:
        show(said(sentence))


def show(*parts: RenderableType) -> None:
    """Print for a person."""
    console = Console(highlight=False)
    if console.is_terminal:
        _print(console, parts)
        return
    if "COLUMNS" not in os.environ:
        console.width = WIDEST
    with console.capture() as captured:
        _print(console, parts)
    sys.stdout.write(_BLANKS.sub("", captured.get()))
    sys.stdout.flush()  # here, where a reader that has gone is still taken care of


def _print(console: Console, parts: Sequence[RenderableType]) -> None:
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))


def counted(number: int, one: str) -> str:
    """So many of something: 1 event, 2 events."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def duration(seconds: float) -> str:
    """A span of time for a person, in the unit that suits it."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, length, until in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def said(text: object, style: str = "") -> Text:
    """Any text as nothing but text: its markup and control characters do nothing."""
    return Text(printable(str(text)), style)


def json_text(value: Any, style: str = "") -> Text:
    """A value as JSON on one line."""
    return said(_encode(value).decode(), style)


def when(at: datetime | None) -> str:
    """A time, in UTC."""
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def table(*headings: str, right: Sequence[str] = ()) -> Table:
    """A table without lines; where there is no room for it, the widest columns are folded first."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        made.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    return made


def grid(rows: Sequence[tuple[str, Text]]) -> Table:
    """Names and values below each other."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, value)
    return made


def event_row(event: ShownEvent) -> tuple[Text, ...]:
    """An event of a stream as a row: version, time, the gap before it, type, actor, data."""
    gap = "" if event.gap is None else f"+{duration(max(event.gap, 0))}"
    actor = "" if event.said is None else event.said.actor or ""
    return (
        said(event.version),
        said(when(event.recorded_at)),
        said(gap, "dim"),
        _type(event),
        said(actor),
        content(event),
    )


def _type(event: ShownEvent) -> Text:
    return said(event.type, "bold red" if event.trouble else "bold")


def content(event: ShownEvent) -> Text:
    """The data of an event, and what is wrong with it."""
    text = json_text(event.data) if event.position is not None and event.id is not None else Text()
    if event.shortened:
        text.append(f" … {event.size} bytes", "dim")
    if event.trouble is not None:
        text.append_text(said(f" {event.trouble}", "red"))
    return text
