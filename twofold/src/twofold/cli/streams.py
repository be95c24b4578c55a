"""Streams at a terminal: which there are, what happened in one, and the search for either."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from difflib import get_close_matches

from rich.console import Group, RenderableType
from rich.text import Text

from twofold.cli.applications import Program
from twofold.cli.listing import StreamMissing
from twofold.cli.printing import content, event_row, grid, json_text, print_answer, said, show, table, when
from twofold.cli.terminal import AskedWrongly
from twofold.errors import TwofoldError
from twofold.inspecting import finding
from twofold.inspecting.events import ShownEvent, shown
from twofold.inspecting.finding import Hit, HitKind
from twofold.inspecting.history import History, history
from twofold.inspecting.inspection import Inspection, exists, read_through
from twofold.inspecting.streams import Streams, position_at, streams

SIMILAR = 1_000  # streams, the newest, among which one of a similar name is looked for


class NothingFound(TwofoldError):
    """Nothing is named by what was looked for."""


@asynccontextmanager
async def inspecting(program: Program, url: str) -> AsyncGenerator[Inspection]:
    """A store that is there, to be looked into with what the program knows of it. Raises StoreRefused."""
    async with program.opening(url) as views:
        yield Inspection(views.store, program.model(), views)


async def stream_named(inspection: Inspection, name: str) -> str:
    """The stream of this name, or of the thing with this id. Raises StreamMissing, with what was meant perhaps."""
    model = inspection.model
    names = [name, *(each.category.stream(name) for each in (model.deciding if model is not None else ()))]
    for stream in names:
        if await exists(inspection.store, stream, 1):
            return stream
    known = await streams(inspection, limit=SIMILAR)
    close = get_close_matches(names[-1], [head.stream for head in known.streams], n=3, cutoff=0.7)
    meant = f"; did you mean {' or '.join(close)}?" if close else ""
    raise StreamMissing(f"there is no stream {name}{meant}")


async def list_streams(
    program: Program, url: str, *, category: str | None, before: int | None, at: str | None, limit: int, json: bool
) -> None:
    """Print streams, the newest activity first. Raises StoreRefused, AskedWrongly for a time that is none."""
    async with inspecting(program, url) as inspection:
        if at is not None:
            before = await position_at(inspection.store, _time(at)) + 1
        page = await streams(inspection, category=category, before=before, limit=limit)
    if json:
        print_answer(page)
    else:
        show(*_streams(page))


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise AskedWrongly(f"{text} is no time; say it as in 2026-02-28T14:00 (UTC if it names no zone)") from error
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _streams(page: Streams) -> list[RenderableType]:
    rows = table("Stream", "Version", "Last event", "Recorded", "Position", right=("Version", "Position"))
    for head in page.streams:
        rows.add_row(
            said(head.stream, "cyan"),
            str(head.version),
            said(head.type, "bold"),
            when(head.recorded_at),
            str(head.position),
        )
    shown: list[RenderableType] = [rows] if page.streams else [Text("No streams")]
    return shown if page.before is None else [*shown, Text(f"There may be more: --before {page.before}", "dim")]


async def show_stream(
    program: Program, url: str, name: str, *, version: int | None, after: int, limit: int, json: bool
) -> None:
    """Print the events of a stream with the time between them, or one of them in full. Raises StreamMissing."""
    async with inspecting(program, url) as inspection:
        stream = await stream_named(inspection, name)
        if version is None:
            found = await history(inspection, stream, after=after, limit=limit)
            answer: object = found
            parts = _history(found)
        else:
            event = await _event(inspection, stream, version)
            answer, parts = event, [_whole(event)]
    if json:
        print_answer(answer)
    else:
        show(*parts)


async def _event(inspection: Inspection, stream: str, version: int) -> ShownEvent:
    async for event in read_through(inspection.store, stream, after=version - 1, until=version):
        return shown(inspection, event, whole=True)
    raise StreamMissing(f"there is no version {version} of {stream}")


def _history(found: History) -> list[RenderableType]:
    rows = table("Version", "Recorded", "Gap", "Event", "Actor", "Data", right=("Version", "Gap"))
    for event in found.events:
        rows.add_row(*event_row(event))
    head = Text.assemble(said(found.stream, "bold cyan"), f"  version {found.version}")
    more = [Text(f"There are more: --after {found.after}", "dim")] if found.after is not None else []
    return [head, rows, *more]


def _whole(event: ShownEvent) -> RenderableType:
    rows = [
        ("Stream", said(event.stream, "cyan").append(f"  version {event.version}")),
        ("Position", said("-" if event.position is None else event.position)),
        ("Type", said(event.type, "bold").append(f" (schema {event.schema})", "dim")),
        ("Recorded", said(when(event.recorded_at))),
    ]
    if event.said is not None:
        rows += [
            ("Event id", said(event.id)),
            ("Message", said(event.said.message_id)),
            ("Correlation", said(event.said.correlation_id)),
            ("Caused by", said(event.said.causation_id or "-")),
            ("Actor", said(event.said.actor or "-")),
            ("Said at", said(when(event.said.at))),
        ]
        rows += [(name, said(value)) for name, value in event.said.extra.items()]
    rows.append(("Data", content(event)))
    if event.current is not None:
        rows.append(("Read as", json_text(event.current)))
    return grid(rows)


async def search(program: Program, url: str, text: str, *, json: bool) -> None:
    """Print all that a text names. Raises NothingFound."""
    async with inspecting(program, url) as inspection:
        hits = await finding.find(inspection, text)
    if json:
        for hit in hits:
            print_answer(hit)
    elif hits:
        rows = table("Found", "What", "Look at it with")
        for hit in hits:
            rows.add_row(said(hit.kind, "dim"), said(hit.title), said(_leads_to(hit), "cyan"))
        show(Group(rows))
    if not hits:
        raise NothingFound(f"nothing is named {text!r}")


def _leads_to(hit: Hit) -> str:
    """The command that shows what was found."""
    if hit.kind in (HitKind.MESSAGE, HitKind.CORRELATION):
        return f"trace {hit.correlation_id}"
    if hit.kind is HitKind.TIME:
        return f"events --after {hit.position}"
    if hit.stream is None:
        return "" if hit.position is None else f"events --after {hit.position - 1} --limit 1"
    return f"show {hit.stream}" + ("" if hit.version is None else f" --version {hit.version}")
