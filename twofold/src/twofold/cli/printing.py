"""What commands share that show a log: text that is only text, JSON with exact numbers, tables without lines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from twofold.cli.statuses import duration
from twofold.cli.terminal import print_json, printable
from twofold.inspecting.events import ShownEvent

_encode = msgspec.json.Encoder(decimal_format="number").encode


def print_answer(answer: object, *, flush: bool = False) -> None:
    """Print an answer as a line of JSON, as the API of the console has it."""
    print_json(_encode(answer), flush=flush)


def show(*parts: RenderableType) -> None:
    """Print for a person."""
    console = Console(highlight=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))


def said(text: object, style: str = "") -> Text:
    """Any text as nothing but text: its markup and control characters do nothing."""
    return Text(printable(str(text)), style)


def json_text(value: Any, style: str = "") -> Text:
    """A value as JSON on one line."""
    return said(_encode(value).decode(), style)


def when(at: datetime | None) -> str:
    """A time, in UTC."""
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def table(*headings: str, right: Sequence[str] = (), fold: Sequence[str] = ()) -> Table:
    """A table without lines; columns are as wide as they must be, or folded."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        made.add_column(
            heading,
            justify="right" if heading in right else "left",
            no_wrap=heading not in fold,
            overflow="fold",
        )
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
