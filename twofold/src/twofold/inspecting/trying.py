"""What a command would do: decided on a stream as it is or was, and nothing appended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from twofold.errors import CommandInvalid, CommandUnknown, Fault, ModelMissing, ValidationFailed
from twofold.inspecting.changes import Change, state_changes
from twofold.inspecting.events import content_of
from twofold.inspecting.history import fold
from twofold.inspecting.inspection import Inspection, decoded
from twofold.inspecting.personal import MASK
from twofold.messages import Metadata
from twofold.model import Deciding
from twofold.store import check_names


class TriedEvent(Struct, frozen=True, rename="camel"):
    """An event that the command would lead to: its stored name and its data."""

    type: str
    data: Any


class Refusal(Struct, frozen=True, rename="camel"):
    """Why a command would be refused: the kind of error, its text, and what is wrong with which field."""

    type: str
    text: str
    faults: Sequence[Fault] = ()


class Trial(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a command would do to the stream at `version`: lead to `events`, none where it has taken effect, or fail."""

    stream: str
    version: int
    command: str
    events: Sequence[TriedEvent]
    refusal: Refusal | None
    before: Any
    after: Any
    changes: Sequence[Change]
    trouble: str | None = None


def command_of(inspection: Inspection, name: str, fields: Mapping[str, Any]) -> tuple[Deciding, Any]:
    """The command of this name with these fields, as JSON has them, and who decides it.

    Raises ModelMissing, CommandUnknown, CommandInvalid.
    """
    if inspection.model is None:
        raise ModelMissing
    found = inspection.model.command(name)
    if found is None:
        raise CommandUnknown(
            name, [each.__name__ for deciding in inspection.model.deciding for each in deciding.commands]
        )
    deciding, kind = found
    try:
        command = _convert(fields, kind)
    except msgspec.ValidationError as error:
        raise CommandInvalid(name, str(error)) from None
    return deciding, command


_convert: Callable[[Mapping[str, Any], type], Any] = msgspec.convert


async def try_command(
    inspection: Inspection, name: str, fields: Mapping[str, Any], *, version: int | None = None
) -> Trial:
    """Decide the command on the stream that it names, as it is now or was at a version. Nothing is appended.

    Raises ModelMissing, CommandUnknown, CommandInvalid.
    """
    deciding, command = command_of(inspection, name, fields)
    category = deciding.category
    try:
        stream = category.stream(category.id_of(command))
        check_names(stream)
    except Exception as error:  # the application's own function, given what nobody has checked
        raise CommandInvalid(name, f"it names no stream: {error}") from None
    (reached, state), trouble = fold(inspection, deciding, await decoded(inspection, stream, until=version))
    events: Sequence[Any] = ()
    said = Metadata.new()
    refusal: Refusal | None = None
    after = state
    try:
        _check(command)
        events = tuple(category.decider.decide(command, state))
        encoded = [category.codec.encode(event, said) for event in events]
        reread = [category.codec.reread(event, stream, reached + n) for n, event in enumerate(encoded, start=1)]
        after = category.decider.fold(reread, state)
    except ValidationFailed as error:
        refusal = Refusal(type(error).__name__, str(error), error.faults)
    except Exception as error:  # the domain's own error is the answer
        refusal, events = Refusal(type(error).__name__, str(error) if inspection.personal else MASK), ()
    names = {row.event: stored for stored, row in category.codec.table.items()}
    return Trial(
        stream=stream,
        version=reached,
        command=name,
        events=[TriedEvent(names[type(event)], content_of(inspection, event)) for event in events],
        refusal=refusal,
        before=content_of(inspection, state),
        after=content_of(inspection, after),
        changes=state_changes(inspection, state, after),
        trouble=trouble,
    )


def _check(command: Any) -> None:
    """Raise ValidationFailed if the command finds faults in itself."""
    ask: Callable[[], Sequence[Fault]] | None = getattr(command, "faults", None)
    faults = ask() if ask is not None else ()
    if faults:
        raise ValidationFailed(faults)
