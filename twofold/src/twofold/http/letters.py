"""What the operator's part of an API says and is told, as types; and how letters and events become them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from twofold.errors import EventUnreadable
from twofold.events import Recorded
from twofold.letters import Letter
from twofold.operating import Retried
from twofold.overview import State, Status
from twofold.store import LARGEST

_LINE = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"  # says something, on one line
Reason = Annotated[str, Meta(min_length=1, max_length=1000, pattern=_LINE)]
Position = Annotated[int, Meta(ge=1, le=LARGEST)]


class ProjectionStatus(Struct, frozen=True, rename="camel"):
    """How a projection stands. `behind` counts events, `seconds` how long the first of them has been waiting.

    `name` is that in the code, if this application has it; `subscription` that in the store, with the version.
    """

    name: str
    subscription: str
    state: State
    reason: str | None
    inline: bool
    position: int
    head: int
    behind: int
    seconds: float
    letters: int
    sequences: int
    owners: Sequence[str]


class Projections(Struct, frozen=True):
    """All projections of the store."""

    projections: Sequence[ProjectionStatus]


class ParkedLetter(Struct, frozen=True, rename="camel"):
    """A parked event as one sequence of a subscription has it. `skipped` is the reason for which it is left out.

    `trace` is where in the code its error was raised: modules, lines and functions, and nothing of the event.
    """

    name: str
    sequence: str
    position: int
    partition: int
    attempts: int
    error: str
    trace: str | None
    parked_at: datetime
    retry_at: datetime | None
    skipped: str | None
    overtaken: bool


class ParkedLetters(Struct, frozen=True):
    """A page of letters, by sequence and position. `cursor` leads to the next page; null on the last."""

    letters: Sequence[ParkedLetter]
    cursor: str | None


class LoggedEvent(Struct, frozen=True, rename="camel"):
    """An event as it stands in the log. `data` is its JSON, or its text where it is none."""

    id: UUID
    stream: str
    version: int
    position: int
    type: str
    schema: int
    data: Any
    recorded_at: datetime


class ParkedEvent(Struct, frozen=True):
    """A parked event with its letters. Where the log cannot read it, `event` is null and `unreadable` says why."""

    event: LoggedEvent | None
    unreadable: str | None
    letters: Sequence[ParkedLetter]


class RetriedSequences(Struct, frozen=True):
    """What became of each sequence."""

    sequences: Sequence[Retried]


class Pause(Struct, forbid_unknown_fields=True):
    """Why a projection is to stand still."""

    reason: Reason


class Nothing(Struct, forbid_unknown_fields=True):
    """There is nothing to say."""


class Retry(Struct, forbid_unknown_fields=True):
    """What is to be tried again: one sequence, or all."""

    sequence: str | UnsetType = UNSET


class Skip(Struct, forbid_unknown_fields=True):
    """Which event is to be left out, and why."""

    sequence: str
    position: Position
    reason: Reason


class UndoSkip(Struct, forbid_unknown_fields=True):
    """Which event is to be taken back."""

    sequence: str
    position: Position


def moment(microseconds: int) -> datetime:
    """A time as the store keeps it, as a date."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def standing(status: Status, name: str) -> ProjectionStatus:
    """How a projection of this name stands, as it is sent."""
    fields: dict[str, Any] = {**status._asdict(), "name": name, "subscription": status.name}
    return ProjectionStatus(**fields)


def told(letter: Letter) -> ParkedLetter:
    """A letter, as it is sent."""
    return ParkedLetter(
        name=letter.name,
        sequence=letter.sequence,
        position=letter.position,
        partition=letter.partition,
        attempts=letter.attempts,
        error=letter.error,
        trace=letter.trace,
        parked_at=moment(letter.parked_at),
        retry_at=None if letter.retry_at is None else moment(letter.retry_at),
        skipped=letter.skipped,
        overtaken=bool(letter.overtaken),
    )


def logged(stored: Recorded[bytes]) -> LoggedEvent:
    """An event, as it is sent."""
    try:
        msgspec.json.decode(stored.data)
        data: Any = msgspec.Raw(stored.data)  # as it stands there, to the last digit
    except (msgspec.DecodeError, UnicodeDecodeError):
        data = stored.data.decode(errors="replace")
    return LoggedEvent(
        id=stored.id,
        stream=stored.stream,
        version=stored.version,
        position=stored.position,
        type=stored.type,
        schema=stored.schema,
        data=data,
        recorded_at=stored.recorded_at,
    )


def parked_event(found: Recorded[bytes] | EventUnreadable, letters: Sequence[Letter]) -> ParkedEvent:
    """A parked event with its letters, as it is sent."""
    shown = [told(letter) for letter in letters]
    if isinstance(found, EventUnreadable):
        return ParkedEvent(None, str(found), shown)
    return ParkedEvent(logged(found), None, shown)


Place = tuple[str, int, int]
_decode_place: Callable[[bytes], Place] = msgspec.json.Decoder(Place).decode


def place(letter: Letter) -> Place:
    """Where a letter stands in the list."""
    return letter.sequence, letter.position, letter.partition


def cursor_of(letter: Letter) -> str:
    """The cursor behind a letter."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place(letter))).decode()


def place_of(cursor: str) -> Place | None:
    """What a cursor says; None if it is none of ours."""
    try:
        return _decode_place(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (binascii.Error, msgspec.MsgspecError, ValueError):
        return None
