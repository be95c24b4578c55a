"""Parked events at a terminal: which there are, why, and what happens next."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from twofold.cli.printing import duration, grid, said, show, table, when
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
    own = [(each, [letter for letter in letters if letter.name == each]) for each, _ in found]
    show(*(_table(each, parked) for each, parked in own if parked))
    if not letters:
        show(said("Nothing is parked" if name is None else f"Nothing of {found[0].name} is parked"))


async def show_letter(opening: Opening, url: str, name: str, position: int, *, json: bool) -> None:
    """Print a parked event as it stands in the log, and why it is parked. Raises LetterUnknown."""
    async with opening(url) as views:
        operator = Operator(views)
        letters = await operator.letters_at(await operator.find(name), position)
        event = await operator.event_at(position)
    if json:
        print_json(msgspec.json.encode(parked_event(event, letters)))
    else:
        show(said(event, "red") if isinstance(event, EventUnreadable) else _event(event))
        for letter in letters:
            show(Text(), _letter(letter))


# --- how it looks ---------------------------------------------------------------------------------------------------


def _table(name: str, letters: Sequence[Letter]) -> RenderableType:
    """A row for each sequence that waits, and one for each letter that was skipped."""
    numbers = ("First", "Events", "Attempts")
    rows = table("Sequence", *numbers, "Next", "Why", right=numbers)
    for sequence, own in groupby(letters, lambda letter: letter.sequence):
        waiting: list[Letter] = []
        for letter in own:
            if letter.skipped is None:
                waiting.append(letter)
            else:
                why = said(letter.skipped)
                rows.add_row(_cyan(sequence), str(letter.position), "1", str(letter.attempts), "skipped", why)
        if waiting:
            first = waiting[0]
            # What cannot be read is parked once in each part of the subscription.
            number = str(len({letter.position for letter in waiting}))
            why = said(first.error, "red")
            rows.add_row(_cyan(sequence), str(first.position), number, str(first.attempts), _next(first), why)
    return Group(said(name, "bold"), rows)


def _cyan(text: str) -> Text:
    return said(text, "cyan")


def _next(letter: Letter) -> str:
    """When a letter is tried again."""
    if letter.skipped is not None:
        return "skipped"
    if letter.retry_at is None:
        return "when asked" if letter.attempts else "after the one before"
    seconds = letter.retry_at / 1e6 - time.time()
    return f"in {duration(seconds)}" if seconds > 0 else "now"


def _event(event: Recorded[bytes]) -> RenderableType:
    metadata = event.metadata
    return grid(
        [
            ("Position", said(event.position)),
            ("Stream", _cyan(event.stream)),
            ("Version", said(event.version)),
            ("Type", said(event.type, "bold").append(f" (schema {event.schema})", "dim")),
            ("Data", said(event.data.decode(errors="replace"))),
            ("At", said(f"{when(metadata.at)}, recorded {when(event.recorded_at)}")),
            ("Correlation", said(metadata.correlation_id)),
            ("Actor", said(metadata.actor or "-")),
        ]
    )


def _letter(letter: Letter) -> RenderableType:
    rows = [
        ("Sequence", _cyan(letter.sequence)),
        ("Parked", said(when(moment(letter.parked_at)))),
        ("Attempts", said(letter.attempts)),
        ("Error", said(letter.error, "red")),
    ]
    if letter.trace is not None:
        rows.append(("Trace", Text("\n".join(printable(line) for line in letter.trace.splitlines()), "dim")))
    if letter.skipped is None:
        rows.append(("Next", said(_next(letter))))
    else:
        rows.append(("Skipped", said(letter.skipped, "yellow")))
        undo = "no: later events of its sequence were folded" if letter.overtaken else "yes"
        rows.append(("Can be undone", said(undo)))
    return grid(rows)
