"""What belongs together, at a terminal: all that came of one request, and the parts of an application."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import typer
from rich.console import RenderableType
from rich.text import Text
from rich.tree import Tree

from twofold.cli.applications import Program
from twofold.cli.printing import content, counted, duration, print_answer, said, show, table, when
from twofold.cli.streams import NothingFound, inspecting
from twofold.cli.terminal import AskedWrongly, printable
from twofold.inspecting.correlation import Correlated, ShownMessage, correlation
from twofold.inspecting.drawing import Drawing, NodeKind, drawing, mermaid
from twofold.inspecting.inspection import Inspection


async def trace(program: Program, url: str, text: str, *, after: int, json: bool) -> None:
    """Print the tree of a correlation, named by its id, or by a message's or an event's in it. Raises NothingFound."""
    try:
        id = UUID(text)
    except ValueError as error:
        raise AskedWrongly(f"{text} is no id; `search` finds what else a text names") from error
    async with inspecting(program, url) as inspection:
        found = await correlation(inspection, await _correlation_of(inspection, id), after=after)
    if not found.messages and not found.troubles:
        raise NothingFound(
            f"nothing in this log came of {id}: it is the id of no correlation, message or event; `search` finds what "
            "else it may be"
        )
    if json:
        print_answer(found)
    else:
        show(*_traced(found))


async def _correlation_of(inspection: Inspection, id: UUID) -> UUID:
    """The correlation of this id, or the one that the event or the message of this id belongs to."""
    async for _ in inspection.store.correlated(id, limit=1):
        return id
    event = await inspection.store.find(id)
    if event is not None:
        return event.metadata.correlation_id
    async for event in inspection.store.of_message(id, limit=1):
        return event.metadata.correlation_id
    return id


def _traced(found: Correlated) -> list[RenderableType]:
    span = (
        f"{counted(found.events, 'event')} of {counted(len(found.messages), 'message')} in "
        f"{counted(len(found.streams), 'stream')}"
    )
    root = Tree(Text.assemble(said(found.id, "bold"), f"  {span}, {duration(found.seconds)}"), guide_style="dim")
    branches: dict[int, Tree] = {-1: root}
    for message in found.messages:
        branch = branches.get(message.depth - 1, root).add(_message(message))
        branches[message.depth] = branch
        for event in message.events:
            branch.add(
                Text.assemble(
                    said(event.stream, "cyan"), f" {event.version}  ", said(event.type, "bold"), "  ", content(event)
                )
            )
    more = [Text(f"There are more: --after {found.after}", "dim")] if found.after is not None else []
    return [root, *(said(trouble, "red") for trouble in found.troubles), *more]


def _message(message: ShownMessage) -> Text:
    text = Text.assemble(("message ", "dim"), said(message.id), f"  {when(message.at)}")
    if message.seconds is not None:
        text.append(f"  +{duration(max(message.seconds, 0))}", "yellow")
    if message.actor is not None:
        text.append_text(said(f"  by {message.actor}"))
    if message.parent is None and message.cause is not None:
        text.append_text(said(f"  caused by {message.cause}, which is not in this log", "dim"))
    return text


async def show_model(program: Program, url: str, *, as_mermaid: bool, json: bool) -> None:
    """Print what the application is made of, and how often each event is in the end of the log."""
    async with inspecting(program, url) as inspection:
        found = await drawing(inspection)
    if json:
        print_answer(found)
    elif as_mermaid:
        typer.echo(mermaid(found), nl=False)
    else:
        show(*_drawn(found))


def _drawn(found: Drawing) -> Sequence[RenderableType]:
    names = {node.id: printable(node.name) for node in found.nodes}
    rows = table("Part", "Name", "Leads to", "Events", right=("Events",))
    for node in found.nodes:
        targets = [names[edge.target] for edge in found.edges if edge.source == node.id]
        style = "bold" if node.kind is NodeKind.EVENT else ""
        rows.add_row(
            Text(node.kind, "dim"),
            Text(names[node.id], style),
            Text(", ".join(targets)),
            "" if node.count is None else str(node.count),
        )
    head = said(found.name or "Nothing is known of the application; these are its events", "bold cyan")
    return [head, rows, Text(f"Events are counted among the last {found.counted}", "dim")]
