"""What changed between two versions, and which event made each field what it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from msgspec import Struct

from twofold.events import Recorded
from twofold.inspecting.events import content_of
from twofold.inspecting.history import decider_of, fold
from twofold.inspecting.inspection import Decoded, Inspection, decoded
from twofold.inspecting.personal import MASK
from twofold.inspecting.values import Path, leaves, path_text, same, value_of
from twofold.model import source_of, table_of
from twofold.table_view import TableView

EXPLAINED = 2_000
"""Events, the last ones, in which what set a field is looked for."""
ROWS = 20
"""The most rows of one view that are explained with a stream."""


class Kind(StrEnum):
    """How a field changed."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


class Change(Struct, frozen=True, rename="camel"):
    """A field of a state, by its path, before and after."""

    path: str
    kind: Kind
    before: Any = None
    after: Any = None


class Difference(Struct, frozen=True, rename="camel"):
    """What is different after version `to` from what was after version `from`. See StateAt for `known`, `trouble`."""

    stream: str
    from_version: int
    to_version: int
    known: bool
    changes: Sequence[Change]
    trouble: str | None = None


class SetBy(Struct, frozen=True, kw_only=True, rename="camel"):
    """The event that made a field what it is, and the message that led to it."""

    version: int
    position: int
    type: str
    message_id: UUID
    actor: str | None
    at: datetime


class ExplainedField(Struct, frozen=True, rename="camel"):
    """A field, its value, and what set it. None: it is so since the beginning, or since before `Explanation.since`."""

    path: str
    value: Any
    set_by: SetBy | None


class ExplainedRow(Struct, frozen=True, rename="camel"):
    """The row that a view makes of this stream under a key, field by field; none where the row has ended."""

    view: str
    key: str
    fields: Sequence[ExplainedField]
    trouble: str | None = None


class Explanation(Struct, frozen=True, kw_only=True, rename="camel"):
    """For each field of the state after `version`, and of the rows of views: which event after `since` set it last."""

    stream: str
    version: int
    since: int
    known: bool
    fields: Sequence[ExplainedField]
    rows: Sequence[ExplainedRow]
    trouble: str | None = None


def differences(before: object, after: object) -> list[Change]:
    """The fields, by path, in which two JSON values differ."""
    return [Change(path_text(path), kind, *values) for path, kind, *values in _differing(before, after)]


def _differing(before: object, after: object) -> Iterator[tuple[Path, Kind, Any, Any]]:
    old, new = dict(leaves(before)), dict(leaves(after))
    for path in dict.fromkeys((*old, *new)):
        if path not in new:
            if not _filled(path, old[path], new):
                yield path, Kind.REMOVED, old[path], None
        elif path not in old:
            if not _filled(path, new[path], old):
                yield path, Kind.ADDED, None, new[path]
        elif not same(old[path], new[path]):
            yield path, Kind.CHANGED, old[path], new[path]


def _filled(path: Path, leaf: object, others: Mapping[Path, Any]) -> bool:
    """Whether a leaf is an empty object or array that has something in it on the other side: that tells it all."""
    return leaf in ({}, []) and any(other[: len(path)] == path for other in others)


def state_changes(inspection: Inspection, before: object, after: object) -> list[Change]:
    """The fields in which two states differ: what is masked has changed all the same."""
    old, new = (dict(leaves(content_of(inspection, state))) for state in (before, after))
    return [
        Change(
            path_text(path),
            kind,
            None if kind is Kind.ADDED else old.get(path, MASK),
            None if kind is Kind.REMOVED else new.get(path, MASK),
        )
        for path, kind, _, _ in _differing(value_of(before), value_of(after))
    ]


async def difference(inspection: Inspection, stream: str, from_version: int, to_version: int) -> Difference:
    """What changed in the state between two versions, in either direction."""
    deciding = decider_of(inspection, stream)
    if deciding is None:
        return Difference(stream, from_version, to_version, known=False, changes=[])
    events, trouble = await decoded(inspection, stream, until=max(from_version, to_version))
    (first, before), _ = fold(inspection, deciding, Decoded(events[:from_version], None))
    (last, after), stopped = fold(inspection, deciding, Decoded(events[:to_version], trouble))
    changes = state_changes(inspection, before, after)
    return Difference(stream, first, last, known=True, changes=changes, trouble=stopped)


async def explain(inspection: Inspection, stream: str, version: int | None = None) -> Explanation:
    """Why the state after an event of the stream, or after the last one, is as it is."""
    deciding = decider_of(inspection, stream)
    events, trouble = await decoded(inspection, stream, until=version)
    since = max(len(events) - EXPLAINED, 0)
    fields: list[ExplainedField] = []
    if deciding is not None:
        decider = deciding.category.decider

        def states() -> Iterator[tuple[Recorded[Any], Any]]:
            state = decider.initial
            for event in events:
                state = decider.evolve(state, event.data)
                yield event, state

        fields, stopped = _explained(inspection, decider.initial, states(), since)
        trouble = stopped or trouble
    return Explanation(
        stream=stream,
        version=len(events),
        since=since,
        known=deciding is not None,
        fields=fields,
        rows=_rows(inspection, events, since),
        trouble=trouble,
    )


Setters = dict[Path, tuple[Any, Recorded[Any] | None]]


def _explained(
    inspection: Inspection, initial: object, states: Iterator[tuple[Recorded[Any], Any]], since: int
) -> tuple[list[ExplainedField], str | None]:
    """What set each leaf of the last of these states, and why there are not more of them."""
    last, trouble = initial, None
    setters: Setters | None = None
    try:
        for event, state in states:
            if event.version > since:
                if setters is None:
                    setters = _as_they_were(last)
                if state is not last:
                    setters = _after(setters, event, state)
            last = state
    except Exception as error:  # the application's own fold: whatever it raises is what is to be shown
        trouble = f"the fold stops: {inspection.told(error)}"
    known = _as_they_were(last) if setters is None else setters
    return [
        ExplainedField(path_text(path), leaf, _set_by(_setter(known, path)))
        for path, leaf in leaves(content_of(inspection, last))
    ], trouble


def _as_they_were(state: object) -> Setters:
    return {path: (leaf, None) for path, leaf in leaves(value_of(state))}


def _after(before: Setters, event: Recorded[Any], state: object) -> Setters:
    """The setters after an event: of what is as it was before they stay, all else it has set."""
    return {
        path: known if (known := before.get(path)) is not None and same(known[0], leaf) else (leaf, event)
        for path, leaf in leaves(value_of(state))
    }


def _setter(setters: Setters, path: Path) -> Recorded[Any] | None:
    """What set the field; of one that is masked with all that is in it, the last that set anything in there."""
    if path in setters:
        return setters[path][1]
    inside = [event for other, (_, event) in setters.items() if other[: len(path)] == path and event is not None]
    return max(inside, key=lambda event: event.version, default=None)


def _set_by(event: Recorded[Any] | None) -> SetBy | None:
    if event is None:
        return None
    said = event.metadata
    return SetBy(
        version=event.version,
        position=event.position,
        type=event.type,
        message_id=said.message_id,
        actor=said.actor,
        at=said.at,
    )


def _rows(inspection: Inspection, events: Sequence[Recorded[Any]], since: int) -> list[ExplainedRow]:
    """The rows that views make of these events, explained."""
    found: list[ExplainedRow] = []
    for view in inspection.model.views if inspection.model is not None and events else ():
        source, table = source_of(view), table_of(view)
        if source is not None and table is not None and events[0].category in source.categories:
            for key, concerned in keyed(table, events).items():
                fields, trouble = _explained(inspection, None, _states_of(table, concerned), since)
                ended = len(fields) == 1 and not fields[0].path and fields[0].value is None
                found.append(ExplainedRow(table.name, key, [] if ended else fields, trouble))
    return found


def _states_of(view: TableView[Any, Any], events: Sequence[Recorded[Any]]) -> Iterator[tuple[Recorded[Any], Any]]:
    row: Any = None
    for event in events:
        row = view.projection.evolve(row, event)
        yield event, row


def keyed(view: TableView[Any, Any], events: Sequence[Recorded[Any]]) -> dict[str, list[Recorded[Any]]]:
    """The events by the key of the row that they concern, of the first `ROWS` keys; see `keys_of`."""
    by_key: dict[str, list[Recorded[Any]]] = {}
    for event in events:
        for key in keys_of(view, event):
            if key in by_key or len(by_key) < ROWS:
                by_key.setdefault(key, []).append(event)
    return by_key


def keys_of(view: TableView[Any, Any], event: Recorded[Any]) -> Sequence[str]:
    """The keys of the rows that an event concerns. None where the view cannot tell: then it was parked."""
    try:
        return view.projection.keys(event)
    except Exception:  # the application's own function: whatever it raises, others are to be shown
        return ()
