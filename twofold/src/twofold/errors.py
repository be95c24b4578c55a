"""Everything that can go wrong, named in the words of the field.

Each error carries the values that a caller needs to act on it; its text is for people. No store lets an exception of
its driver escape: what a driver raises is told here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from uuid import UUID


class TwofoldError(Exception):
    """The root of every error that Twofold raises on purpose."""


# --- messages -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a message.

    `message` is a sentence for a person, `path` leads to the field as a client wrote it (`items[0].price`, empty for
    the whole message), `code` is a stable word for a program (`required`, `type`, `too_long`).
    """

    message: str
    path: str
    code: str


class ValidationFailed(TwofoldError):
    """A message broke its own rules; `faults` holds every broken rule, in the order of the fields."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(fault.message for fault in faults))


class MessageUnknown(TwofoldError):
    """A message was sent for which no handler is registered."""

    def __init__(self, message: type) -> None:
        self.message = message
        super().__init__(f"no handler is registered for {message.__qualname__}")


class HandlerExists(TwofoldError):
    """A second handler was registered for a message; a message has exactly one."""

    def __init__(self, message: type) -> None:
        self.message = message
        super().__init__(f"{message.__qualname__} has a handler already; a message has exactly one")


class HandlersMissing(TwofoldError):
    """Messages without a handler, found when a bus was built."""

    def __init__(self, messages: Sequence[type]) -> None:
        self.messages = tuple(messages)
        names = ", ".join(message.__qualname__ for message in messages)
        super().__init__(f"no handler is registered for: {names}")


class BusBuilt(TwofoldError):
    """A handler was registered after the bus was built; what was checked at start-up must stay true."""

    def __init__(self, message: type) -> None:
        self.message = message
        super().__init__(f"the bus is built: {message.__qualname__} must be registered before")


class TimedOut(TwofoldError):
    """A message was not answered in time. What it began may still take effect: the outcome is unknown."""

    def __init__(self, message: type, seconds: float) -> None:
        self.message = message
        self.seconds = seconds
        super().__init__(f"{message.__qualname__} was not answered within {seconds:g} s; its outcome is unknown")


# --- events ---------------------------------------------------------------------------------------------------------


class EventUnknown(TwofoldError):
    """A stored event has a name, or a newer schema, that this code does not know. It is never skipped in silence."""

    def __init__(self, type: str, schema: int, known: int | None = None) -> None:
        self.type = type
        self.schema = schema
        self.known = known
        reason = "its name is not in the codec's table" if known is None else f"this code knows schemas up to {known}"
        super().__init__(f"the stored event {type} (schema {schema}) cannot be read: {reason}")


class EventUnreadable(TwofoldError):
    """A stored event has a known name, and content that does not fit it."""

    def __init__(self, stream: str, version: int, type: str, reason: str) -> None:
        self.stream = stream
        self.version = version
        self.type = type
        self.reason = reason
        super().__init__(f"event {version} of {stream} ({type}) cannot be read: {reason}")


class EventCorrupt(EventUnreadable):
    """A stored event is not what was written: its checksum differs. It is never folded. `position` is its place."""

    def __init__(self, stream: str, version: int, type: str, position: int) -> None:
        self.position = position
        super().__init__(stream, version, type, "its checksum differs from its content")


class EventTypeMissing(TwofoldError):
    """An event was to be stored whose class is not in the codec's table."""

    def __init__(self, event: type) -> None:
        self.event = event
        super().__init__(f"{event.__qualname__} is not in the codec's table of stored events")


# --- looking into a log ---------------------------------------------------------------------------------------------


class ModelMissing(TwofoldError):
    """What was asked needs the code of the application, and this process has none."""

    def __init__(self) -> None:
        super().__init__("nothing is known here of the application that wrote this log")


class CommandUnknown(TwofoldError):
    """The application has no command of this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"there is no command {name}; there are: {', '.join(known)}")


class CommandInvalid(TwofoldError):
    """The fields given make no command of this name."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"this makes no {name}: {reason}")


class ExportRefused(TwofoldError):
    """A stream cannot be written as a test."""

    def __init__(self, stream: str, reason: str) -> None:
        self.stream = stream
        self.reason = reason
        super().__init__(f"{stream} cannot be written as a test: {reason}")


# --- the log --------------------------------------------------------------------------------------------------------


class Conflict(TwofoldError):
    """The stream is not at the version that was expected; nothing was stored. `actual` is the version that it is at."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        self.stream = stream
        self.expected = expected
        self.actual = actual
        super().__init__(f"{stream} was expected at version {expected} and is at version {actual}")


class EventIdTaken(TwofoldError):
    """Some of the ids of an append are in the log already, but not as that same append; nothing was stored."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        super().__init__(f"an event id of this append to {stream} belongs to another append already")


class AdoptionRefused(TwofoldError):
    """Events of another log do not fit behind this one; nothing was stored."""


class CopyRefused(TwofoldError):
    """A log cannot be copied into this store, whatever is done; nothing was changed."""


class IdempotencyKeyReused(TwofoldError):
    """The idempotency key was used before, for a different request; nothing was stored."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__("the idempotency key was used before for a different request")


class RequestRefused(TwofoldError):
    """The same request, with the same idempotency key, was refused before; `refusal` is the answer it was given."""

    def __init__(self, key: str, refusal: bytes) -> None:
        self.key = key
        self.refusal = refusal
        super().__init__("the same request was refused before")


class OutcomeUnknown(TwofoldError):
    """The store failed while it committed: the events may be stored or not.

    Settle it by appending the same events, with the same ids: that answers the first receipt if they are there. A
    command is settled by sending it again with the same metadata, from whose `message_id` the ids are made, or with
    the same idempotency key. `message_id` is None where what failed was no append.
    """

    def __init__(self, stream: str, reason: str, message_id: UUID | None = None) -> None:
        self.stream = stream
        self.reason = reason
        self.message_id = message_id
        said = "" if message_id is None else f" (message {message_id})"
        super().__init__(f"it is unknown whether the append to {stream}{said} was stored: {reason}")


class StoreUnavailable(TwofoldError):
    """The store cannot take this now, and stored nothing; the same call may succeed later."""


class StoreBusy(StoreUnavailable):
    """Too much waits, or another process holds the store for too long. Nothing was stored; try again."""


class StoreFull(StoreUnavailable):
    """There is no space left on the disk. Nothing was stored; writing works again once there is space."""


class StoreClosed(StoreUnavailable):
    """The store is closed, or was never opened."""


class StoreFailed(TwofoldError):
    """The store met an error that it cannot mend (the disk, the file). It stops writing until it is opened anew."""


class StatementFailed(TwofoldError):
    """A statement of a view or query is wrong; nothing was stored, and the store goes on."""


class StoreRefused(TwofoldError):
    """The store cannot be opened as asked: a bad URL, a foreign file, a newer schema, a setting that is not safe.

    Or it is open already: each opening needs a store of its own.
    """


class ProjectionUnknown(TwofoldError):
    """A projection was named that is not registered."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"there is no projection named {name}; there are: {', '.join(known)}")


class ProjectionInline(TwofoldError):
    """What was asked for can be done to a subscribed projection only, and this one is kept inline."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name} is kept inline: each append folds it in its own transaction, so it cannot stand still while"
            " appends go on, and nothing of it is ever parked; it can be rebuilt"
        )


class ProjectionCodeMissing(TwofoldError):
    """A subscription is to be folded whose projection this application has no code of."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"this code has no {name}, so it cannot fold it; another version of it may")


class LetterUnknown(TwofoldError):
    """A parked event was named that is not there. Its sequence, or its position, may have been left open."""

    def __init__(self, name: str, position: int | None, sequence: str | None = None) -> None:
        self.name = name
        self.position = position
        self.sequence = sequence
        what = "nothing" if position is None else f"event {position}"
        where = name if sequence is None else f"the sequence {sequence} of {name}"
        super().__init__(f"{what} is {'' if position is None else 'not '}parked in {where}")


class LetterRefused(TwofoldError):
    """A parked event is not in a state for what was asked."""

    def __init__(self, name: str, position: int, reason: str) -> None:
        self.name = name
        self.position = position
        self.reason = reason
        super().__init__(f"event {position} {reason}")


class SkipOvertaken(TwofoldError):
    """A skipped letter cannot come back: later events of its sequence were folded since. Rebuild the projection."""

    def __init__(self, name: str, sequence: str, position: int) -> None:
        self.name = name
        self.sequence = sequence
        self.position = position
        super().__init__(f"events of {sequence!r} behind {position} were folded since: rebuild {name} to bring it in")


class ProjectionFailed(TwofoldError):
    """A projection raised while it folded; nothing of that transaction was stored. Its cause is the error it raised."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"the projection {name} failed: {reason}")

    def again(self) -> Self:
        """The same for one more caller: the traceback of an error grows with each who raises it."""
        told = type(self)(self.name, self.reason)
        told.__cause__ = self.__cause__
        return told


class BuildMissing(TwofoldError):
    """There is no build of the view that could be compared or promoted."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} has no build beside it; make one first")


class ProjectionInUse(TwofoldError):
    """A process still runs what was to be removed."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} is still run by a process; end that first")


class LifecycleRefused(TwofoldError):
    """A view cannot change its lifecycle as it stands."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{name} cannot be kept inline: {reason}")


class RebuildOvertaken(TwofoldError):
    """The tables that a build was filling are gone: another rebuild was done first, or it was abandoned."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the build of {name} is gone: another rebuild was done first, or it was abandoned")
