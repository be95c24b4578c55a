"""What the console's API is asked and answers, as types; and how it reads what a query says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from twofold.errors import Fault, ValidationFailed
from twofold.http.requests import Parameters
from twofold.inspecting.drawing import Drawing
from twofold.inspecting.finding import Hit
from twofold.inspecting.forms import CommandForm
from twofold.inspecting.rows import ShownRow
from twofold.store import LARGEST

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000

NO_NUL = "^[^\\x00]+$"
"""The pattern of what can name something in a store."""

Text = Annotated[str, Meta(min_length=1, max_length=500, pattern=NO_NUL)]
Version = Annotated[int, Meta(ge=0, le=LARGEST)]


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """A command: its name, and its fields as JSON has them."""

    command: Text
    fields: Mapping[str, Any]


class Try(Asked, frozen=True):
    """A command that is to be tried, on its stream as it is now or was at a version."""

    version: Version | None = None


class SendCommand(Asked, frozen=True):
    """A command that is to be sent. The same key with the same command is the same request."""

    key: Annotated[str, Meta(min_length=1, max_length=255, pattern="^[ -~]+$")] | None = None


class Export(Struct, frozen=True, forbid_unknown_fields=True):
    """A stream that is to be written as a test, up to a version, with a command said then."""

    stream: Text
    version: Version | None = None
    command: Text | None = None
    fields: Mapping[str, Any] = {}


class Sent(Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of a command: its receipt where it has one, and the ids under which it is found."""

    command: str
    stream: str | None
    version: int | None
    position: int | None
    repeated: bool
    message_id: UUID
    key: str


class Categories(Struct, frozen=True):
    """The categories of streams that there are."""

    categories: Sequence[str]


class Rows(Struct, frozen=True):
    """The rows of views that a stream's events are in."""

    rows: Sequence[ShownRow]


class Found(Struct, frozen=True):
    """What a text was found to name."""

    hits: Sequence[Hit]


class Forms(Struct, frozen=True):
    """The commands that can be tried and sent."""

    commands: Sequence[CommandForm]


class Exported(Struct, frozen=True):
    """The source of a test, in Python."""

    source: str


class DrawnModel(Struct, frozen=True):
    """The model as a drawing, and as the text of a Mermaid flowchart."""

    drawing: Drawing
    mermaid: str


# --- what a query says -----------------------------------------------------------------------------------------------


def read_limit(parameters: Parameters) -> int:
    """How many entries a page may have."""
    return parameters.whole("limit", "Limit", default=DEFAULT_LIMIT, least=1, most=MAX_LIMIT)


def read_before(parameters: Parameters) -> int | None:
    """Where to go on: before this position or version."""
    return parameters.whole("before", "Before", default=None, least=0, most=LARGEST)


def read_version(parameters: Parameters, name: str) -> int | None:
    """A version of a stream, if one is named."""
    return parameters.whole(name, name.capitalize(), default=None, least=0, most=LARGEST)


def read_name(parameters: Parameters, name: str) -> str | None:
    """A text that can name something in a store."""
    return parameters.read(name, name.capitalize(), "a text without NUL", lambda each: None if "\0" in each else each)


def read_text(parameters: Parameters, name: str) -> str:
    """A text that must be there, and that can name something in a store."""
    found = read_name(parameters, name)
    if parameters.text(name) is None:
        parameters.check()
        raise ValidationFailed([Fault(f"{name.capitalize()} is missing", name, "required")])
    return found or ""


def time_of(text: str) -> datetime | None:
    """A time, in UTC where it names no zone; None if it is none."""
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def uuid_of(text: str) -> UUID | None:
    """An id; None if it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None
