"""Parked events at a terminal: which there are, why, and what happens next."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from twofold.cli.statuses import duration
from twofold.cli.subscriptions import Opening
from twofold.cli.terminal import print_json, printable
from twofold.errors import EventUnreadable
from twofold.events import Recorded
from twofold.http.letters import moment, parked_event, told
from twofold.operating import Found, Operator
from twofold.parked import Letter


async def list_letters(opening: Opening, url: str, name: str | None, *, json: bool) -> None:
    """Print the letters of a subscription, or of all, by sequence. Raises StoreRefused, ProjectionUnknown."""
    async with opening(url) as views:
        operator = Operator(views)
        found = (
            [await operator.find(name)] if name is not None else [Found(each, None) for each in await operator.names()]
        )
        letters = [letter for each in found for letter in await operator.letters(each)]
    if json:
        for letter in letters:
            print_json(msgspec.json.encode(told(letter)))
        return
    console = Console(highlight=False)
    for each, _ in found:
        own = [letter for letter in letters if letter.name == each]
        if own:
            console.print(_table(each, own))
    if not letters:
        console.print(Text("Nothing is parked" if name is None else f"Nothing of {printable(found[0].name)} is parked"))


async def show_letter(opening: Opening, url: str, name: str, position: int, *, json: bool) -> None:
    """Print a parked event as it stands in the log, and why it is parked. Raises LetterUnknown."""
    async with opening(url) as views:
        operator = Operator(views)
        letters = await operator.letters_at(await operator.find(name), position)
        event = await operator.event_at(position)
    if json:
        print_json(msgspec.json.encode(parked_event(event, letters)))
    else:
        console = Console(highlight=False)
        console.print(Text(printable(str(event)), "red") if isinstance(event, EventUnreadable) else _event(event))
        for letter in letters:
            console.print()
            console.print(_letter(letter))


# --- how it looks ---------------------------------------------------------------------------------------------------


def _table(name: str, letters: Sequence[Letter]) -> RenderableType:
    """A row for each sequence that waits, and one for each letter that was skipped."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("Sequence", overflow="fold")
    for heading in ("First", "Events", "Attempts"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Next", no_wrap=True)
    table.add_column("Why", overflow="fold", ratio=1)
    for sequence, own in groupby(letters, lambda letter: letter.sequence):
        waiting: list[Letter] = []
        for letter in own:
            if letter.skipped is None:
                waiting.append(letter)
            else:
                why = Text(printable(letter.skipped))
                table.add_row(_cyan(sequence), str(letter.position), "1", str(letter.attempts), "skipped", why)
        if waiting:
            first = waiting[0]
            # What cannot be read is parked once in each part of the subscription.
            number = str(len({letter.position for letter in waiting}))
            why = Text(printable(first.error), "red")
            table.add_row(_cyan(sequence), str(first.position), number, str(first.attempts), _next(first), why)
    return Group(Text(printable(name), "bold"), table)


def _cyan(text: str) -> Text:
    return Text(printable(text), "cyan")


def _next(letter: Letter) -> str:
    """When a letter is tried again."""
    if letter.skipped is not None:
        return "skipped"
    if letter.retry_at is None:
        return "when asked" if letter.attempts else "after the one before"
    seconds = letter.retry_at / 1e6 - time.time()
    return f"in {duration(seconds)}" if seconds > 0 else "now"


def _grid(rows: Sequence[tuple[str, Text]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, value)
    return grid


def _event(event: Recorded[bytes]) -> Table:
    metadata = event.metadata
    return _grid(
        [
            ("Position", Text(str(event.position))),
            ("Stream", Text(printable(event.stream), "cyan")),
            ("Version", Text(str(event.version))),
            ("Type", Text(printable(event.type), "bold").append(f" (schema {event.schema})", "dim")),
            ("Data", Text(printable(event.data.decode(errors="replace")))),
            ("At", Text(f"{metadata.at:%Y-%m-%d %H:%M:%S}, recorded {event.recorded_at:%Y-%m-%d %H:%M:%S}")),
            ("Correlation", Text(str(metadata.correlation_id))),
            ("Actor", Text(printable(metadata.actor or "-"))),
        ]
    )


def _letter(letter: Letter) -> Table:
    rows = [
        ("Sequence", _cyan(letter.sequence)),
        ("Parked", Text(f"{moment(letter.parked_at):%Y-%m-%d %H:%M:%S}")),
        ("Attempts", Text(str(letter.attempts))),
        ("Error", Text(printable(letter.error), "red")),
    ]
    if letter.trace is not None:
        rows.append(("Trace", Text("\n".join(printable(line) for line in letter.trace.splitlines()), "dim")))
    if letter.skipped is None:
        rows.append(("Next", Text(_next(letter))))
    else:
        rows.append(("Skipped", Text(printable(letter.skipped), "yellow")))
        undo = "no: later events of its sequence were folded" if letter.overtaken else "yes"
        rows.append(("Can be undone", Text(undo)))
    return _grid(rows)
