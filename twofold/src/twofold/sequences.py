"""What a subscription drives: events in sequences, and what became of each.

A sequence is what must stay in order: the row that an event concerns, the stream that it belongs to. Sequences are
independent of each other, so they may be shared out between processes, and one that fails stops no other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from traceback import walk_tb
from typing import Any, NamedTuple, Protocol, Self
from zlib import crc32

from twofold.errors import OutcomeUnknown, ProjectionFailed, StoreFailed, StoreUnavailable
from twofold.events import Recorded
from twofold.sql import Work

FRAMES = 20  # of an error that are kept, the innermost
CAUSES = 3  # errors of which they are kept: what was raised, and what it came of
LONGEST_TRACE = 4096  # characters
ASTRAY = -1  # the position of a part that has folded events which the log no longer has
PAST_THE_END = (
    "it has folded events that the log no longer has, as after a restore from an older backup; empty it with "
    "`projections reset`, or `rebuild` it"
)


class ClaimLost(Exception):
    """Another process has taken the part over, or the subscription was set back: stop, and store nothing."""


class Paused(Exception):
    """Somebody has paused the subscription."""


class GivenUp(Exception):
    """The part cannot go on with this code; its message tells a person why."""


class Part(NamedTuple):
    """An event, decoded, as one of the sequences that it concerns sees it."""

    sequence: str
    event: Recorded[Any]


class Failure(NamedTuple):
    """Where a sequence failed, why, and where in the code. What stands before that position was folded."""

    position: int
    error: str
    trace: str

    @classmethod
    def of(cls, position: int, error: BaseException) -> Self:
        """The event at this position failed with this error."""
        return cls(position, describe(error), trace_of(error))

    @property
    def place(self) -> str:
        """The kind of the error and where it was raised: what may be said where nobody may see events."""
        kind, *frames = self.trace.partition("\ncaused by")[0].splitlines()
        return f"{kind} at {frames[-1].strip()}" if frames else kind


Failures = dict[str, Failure]
"""The sequences that failed in a fold."""


class Subscriber(Protocol):
    """What a subscription runs: a fold with a checkpoint of its own."""

    @property
    def name(self) -> str:
        """Under what name its checkpoint is kept."""
        ...

    def parts(self, stored: Recorded[bytes], /) -> Sequence[Part]:
        """The event's parts, one for each sequence; none if it does not concern this fold.

        Raises EventUnknown if the codec does not know it, EventUnreadable if its content does not fit.
        """
        ...

    def fold(self, parts: Sequence[Part], failures: Failures, /) -> Work[None]:
        """Fold the parts, which come in the order of positions.

        A sequence that fails goes into `failures`, is folded up to its failure, and lets the others go on. What cannot
        be laid to one sequence is raised, and nothing is folded then.
        """
        ...


def stream_sequence(stream: str) -> str:
    """The sequence under which an event is parked that cannot be read, and with it the rest of its stream."""
    return f"stream {stream}"


def partition_of(sequence: str, partitions: int) -> int:
    """The partition that a sequence belongs to, in every process the same."""
    return crc32(sequence.encode("utf-8", "surrogatepass")) % partitions


def describe(error: BaseException) -> str:
    """An error in a line for a person."""
    return f"{type(error).__name__}: {error}"[:2000].replace("\0", "\N{REPLACEMENT CHARACTER}")


def trace_of(error: BaseException) -> str:
    """Where in the code an error was raised: its frames, the innermost last, and those of the errors that it came of.

    Modules, lines and functions only. What a source line, a variable or the text of an error says may be of an event.
    """
    lines: list[str] = []
    each = error
    for _ in range(CAUSES):
        lines.append(f"caused by {type(each).__name__}" if lines else type(error).__name__)
        for frame, line in deque(walk_tb(each.__traceback__), FRAMES):
            lines.append(f"  {frame.f_globals.get('__name__', '?')}:{line} in {frame.f_code.co_qualname}")
        cause = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
        if cause is None:
            break
        each = cause
    return "\n".join(lines)[:LONGEST_TRACE]


def kind_of(described: str) -> str:
    """The kind of an error that was described: what stands before its text, which may quote an event."""
    return described.partition(":")[0][:100]


def outlined(error: Exception) -> str:
    """What is wrong, for who may not see what is in events: of a fold that failed, its name and the kind of error."""
    if isinstance(error, ProjectionFailed):
        return f"the projection {error.name} failed: {kind_of(error.reason)}"
    return str(error)


def is_poison(error: Exception) -> bool:
    """Whether the events, or the code that folds them, are at fault, and not the store or the claim on the part."""
    return not isinstance(error, (StoreUnavailable, StoreFailed, OutcomeUnknown, ClaimLost, Paused, GivenUp))
