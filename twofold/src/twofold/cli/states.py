"""The state of a thing at a terminal: after any of its events, what changed between two, and what set each field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import RenderableType
from rich.text import Text

from twofold.cli.applications import Program
from twofold.cli.listing import StreamMissing
from twofold.cli.printing import grid, json_text, print_answer, said, show, table, when
from twofold.cli.streams import inspecting, stream_named
from twofold.cli.terminal import AskedWrongly
from twofold.inspecting.changes import Difference, ExplainedField, Explanation, Kind, difference, explain
from twofold.inspecting.history import state_at
from twofold.inspecting.inspection import Inspection, version_of
from twofold.inspecting.values import leaves, path_text

_COLOURS = {Kind.ADDED: "green", Kind.CHANGED: "yellow", Kind.REMOVED: "red"}


async def show_state(program: Program, url: str, name: str, *, at: int | None, json: bool) -> None:
    """Print the state after a version, or the last one. Raises StreamMissing, AskedWrongly where no code folds it."""
    async with inspecting(program, url) as inspection:
        stream = await stream_named(inspection, name)
        found = await state_at(inspection, stream, at)
        _check(program, stream, known=found.known)
        await _check_reached(inspection, stream, at)
    if json:
        print_answer(found)
        return
    fields = [(path_text(path), json_text(leaf)) for path, leaf in leaves(found.state)]
    show(_head(stream, f"after version {found.version}"), grid(fields), *_trouble(found.trouble))


async def show_difference(program: Program, url: str, name: str, first: int, last: int, *, json: bool) -> None:
    """Print what changed from one version to another. Raises StreamMissing, AskedWrongly where no code folds it."""
    async with inspecting(program, url) as inspection:
        stream = await stream_named(inspection, name)
        found = await difference(inspection, stream, first, last)
        _check(program, stream, known=found.known)
        await _check_reached(inspection, stream, max(first, last))
    if json:
        print_answer(found)
    else:
        show(*_changes(found))


def _changes(found: Difference) -> Sequence[RenderableType]:
    head = _head(found.stream, f"from version {found.from_version} to {found.to_version}")
    if not found.changes:
        return [head, Text("Nothing changed"), *_trouble(found.trouble)]
    rows = table("Field", "Change", "Before", "After")
    for change in found.changes:
        before = Text("-", "dim") if change.kind is Kind.ADDED else json_text(change.before)
        after = Text("-", "dim") if change.kind is Kind.REMOVED else json_text(change.after)
        rows.add_row(said(change.path, "bold"), Text(change.kind, _COLOURS[change.kind]), before, after)
    return [head, rows, *_trouble(found.trouble)]


async def show_explanation(program: Program, url: str, name: str, *, at: int | None, json: bool) -> None:
    """Print which event set each field of the state, and of the rows of views. Raises StreamMissing, AskedWrongly."""
    async with inspecting(program, url) as inspection:
        stream = await stream_named(inspection, name)
        found = await explain(inspection, stream, at)
        _check(program, stream, known=found.known or bool(found.rows))
        await _check_reached(inspection, stream, at)
    if json:
        print_answer(found)
    else:
        show(*_explained(found))


def _explained(found: Explanation) -> Sequence[RenderableType]:
    parts: list[RenderableType] = [_head(found.stream, f"after version {found.version}")]
    if found.known:
        parts.append(_fields(found.fields))
    for row in found.rows:
        parts += [Text(), _head(row.view, f"row {row.key}"), _fields(row.fields), *_trouble(row.trouble)]
    parts += [Text(), _setters([*found.fields, *(field for row in found.rows for field in row.fields)])]
    if found.since:
        parts.append(Text(f"What was set up to version {found.since} is not looked into", "dim"))
    return [*parts, *_trouble(found.trouble)]


def _fields(fields: Sequence[ExplainedField]) -> RenderableType:
    rows = table("Field", "Value", "Version", "Set by", right=("Version",))
    for field in fields:
        by = field.set_by
        version, event = (
            (said("-"), said("from the beginning", "dim")) if by is None else (said(by.version), said(by.type))
        )
        rows.add_row(said(field.path, "bold"), json_text(field.value), version, event)
    return rows


def _setters(explained: Iterable[ExplainedField]) -> RenderableType:
    """The events that set these fields, each once: when, who, and by which message."""
    setters = {field.set_by.version: field.set_by for field in explained if field.set_by is not None}
    rows = table("Version", "Set by", "At", "Actor", "Message", right=("Version",))
    for version in sorted(setters):
        by = setters[version]
        rows.add_row(said(version), said(by.type), when(by.at), said(by.actor or "-"), said(by.message_id, "dim"))
    return rows


def _head(name: str, where: str) -> Text:
    return Text.assemble(said(name, "bold cyan"), "  ", said(where))


def _trouble(trouble: str | None) -> list[Text]:
    return [] if trouble is None else [said(trouble, "red")]


def _check(program: Program, stream: str, *, known: bool) -> None:
    if not known:
        model = program.known_model("a state is folded by the code of its application")
        raise AskedWrongly(f"{model.name} has no code that folds {stream}")


async def _check_reached(inspection: Inspection, stream: str, version: int | None) -> None:
    if version is not None and version > (last := await version_of(inspection.store, stream)):
        raise StreamMissing(f"{stream} has no version {version} yet; it is at version {last}")
