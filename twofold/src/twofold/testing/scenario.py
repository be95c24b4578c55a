"""Given, when, then: deciders, projections and processes tested on plain values, without a store.

    Scenario(order).given(CREATED, CONFIRMED).when(CancelOrder("1", "late")).then(OrderCancelled("late"))

What is tested must be pure, and that is tested along: each fold and each decision is made twice and must agree. A
failure is raised, not asserted: its text is the same whether or not pytest rewrites asserts, and with `python -O`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from twofold.decider import Decider
from twofold.messages import Metadata
from twofold.projection import Projection, fold
from twofold.testing.history import History

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")
V = TypeVar("V")
X = TypeVar("X", bound=Exception)

_encode = msgspec.json.Encoder(decimal_format="number").encode  # as twofold.views keeps a row


# --- deciders -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario(Generic[C, S, E]):
    """What happened so far, to a decider's one thing."""

    decider: Decider[C, S, E]
    happened: tuple[E, ...] = ()

    def given(self, *events: E) -> Scenario[C, S, E]:
        """These events have happened, after those given before."""
        return Scenario(self.decider, (*self.happened, *events))

    def when(self, command: C) -> Decision[C, S, E]:
        """The command is said. What comes of it is looked at by one of the `then`s."""
        once, again = self._decide(command), self._decide(command)
        refused_alike = isinstance(once, Exception) and type(once) is type(again)  # two errors are never equal
        if not (refused_alike or once == again):
            raise AssertionError(f"the decider is not pure: asked twice, it answered\n  {once!r}\nand\n  {again!r}")
        return Decision(self, command, once)

    def then_state(self, state: S) -> Scenario[C, S, E]:
        """What happened so far makes this state."""
        folded = self.decider.fold(self.happened)
        if folded != state:
            raise AssertionError(_told(_given(self.happened), ("expected", [state]), ("came", [folded])))
        return self

    def _decide(self, command: C) -> tuple[E, ...] | Exception:
        state = self.decider.fold(self.happened)
        try:
            return tuple(self.decider.decide(command, state))
        except Exception as refusal:
            return refusal


@dataclass(frozen=True)
class Decision(Generic[C, S, E]):
    """What came of a command: events, or the error that refused it. A `then` answers the scenario after it."""

    scenario: Scenario[C, S, E]
    command: C
    outcome: tuple[E, ...] | Exception

    def then(self, *events: E) -> Scenario[C, S, E]:
        """Exactly these events come of it."""
        if isinstance(self.outcome, Exception):
            raise AssertionError(self._told(events or ["nothing"])) from self.outcome
        if self.outcome != events:
            raise AssertionError(self._told(events or ["nothing"]))
        after = self.scenario.given(*events)
        after.decider.fold(after.happened)  # what was decided can be folded
        return after

    def then_nothing(self) -> Scenario[C, S, E]:
        """Nothing comes of it: it has taken effect already."""
        return self.then()

    def then_raises(self, refusal: type[X], **attributes: object) -> X:
        """It is refused with an error of this kind, which has these attributes. Answers it, to be asked further."""
        wanted = f"{refusal.__name__}({', '.join(f'{name}={value!r}' for name, value in attributes.items())})"
        if not isinstance(self.outcome, refusal):
            cause = self.outcome if isinstance(self.outcome, Exception) else None
            raise AssertionError(self._told([wanted])) from cause
        missing = object()
        came = {name: getattr(self.outcome, name, missing) for name in attributes}
        if came != attributes:
            had = ", ".join(f"{name}={'missing' if value is missing else repr(value)}" for name, value in came.items())
            raise AssertionError(self._told([wanted], [f"{type(self.outcome).__name__}({had})"])) from self.outcome
        return self.outcome

    def _told(self, expected: Sequence[object], came: Sequence[object] | None = None) -> str:
        if came is None:
            came = [self.outcome] if isinstance(self.outcome, Exception) else self.outcome or ["nothing"]
        given = _given(self.scenario.happened)
        return _told(given, ("when", [self.command]), ("expected", expected), ("came", came))


# --- projections ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ProjectionScenario(Generic[E, V]):
    """What happened so far, to a projection. Each `then` also proves that every way to fold it comes to the same."""

    projection: Projection[E, V]
    history: History[E] = field(default_factory=History[E])

    def given(self, *events: E, stream: str = "thing-1", metadata: Metadata | None = None) -> ProjectionScenario[E, V]:
        """These events have happened in the stream. Versions, positions and, unless given, metadata are filled in."""
        return ProjectionScenario(self.projection, self.history.then(*events, stream=stream, metadata=metadata))

    def then(self, key: str, view: V | None) -> ProjectionScenario[E, V]:
        """The row under this key is this view; with None, there is no such row."""
        came = self.rows().get(key)
        if came != view:
            expected, shown = [f"{key}: {view!r}"], [f"{key}: {came!r}"]
            raise AssertionError(_told(self._given(), ("expected", expected), ("came", shown)))
        return self

    def then_rows(self, rows: Mapping[str, V]) -> ProjectionScenario[E, V]:
        """Exactly these rows are there."""
        came = self.rows()
        if came != rows:
            raise AssertionError(_told(self._given(), ("expected", _lines(rows)), ("came", _lines(came))))
        return self

    def rows(self) -> dict[str, V]:
        """All rows, after checking that the projection is a pure fold: over all at once, twice, and in two batches.

        Between two batches the rows are written down and read again, as a store does.
        """
        projection, events = self.projection, self.history.events
        rows = fold(projection, events)
        self._agree(rows, fold(projection, events), "a second time")
        for half in range(len(events)):
            stored = {key: self._stored(view) for key, view in fold(projection, events[:half]).items()}
            self._agree(rows, fold(projection, events[half:], stored), f"in two batches, parted after event {half}")
        return rows

    def _agree(self, rows: Mapping[str, V], others: Mapping[str, V], how: str) -> None:
        if rows != others:
            raise AssertionError(
                f"the projection {self.projection.name} is not a pure fold: folded {how}, it comes to something else"
                + _told(self._given(), ("at once", _lines(rows)), ("then", _lines(others)))
            )

    def _stored(self, view: V) -> V:
        return msgspec.json.decode(_encode(view), type=self.projection.view)

    def _given(self) -> tuple[str, Sequence[object]]:
        return _given([f"{e.stream} {e.version}: {e.data!r}" for e in self.history.events])


# --- processes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ProcessScenario(Generic[S, E, C]):
    """What happened so far, to a fold that reacts: `evolve` as in a decider, and `react`, which answers an event.

    `react` is given the state that the event has led to already.
    """

    initial: S
    evolve: Callable[[S, E], S]
    react: Callable[[S, E], Sequence[C]]
    happened: tuple[E, ...] = ()

    def given(self, *events: E) -> ProcessScenario[S, E, C]:
        """These events have happened, and what was to be done about them is done."""
        return ProcessScenario(self.initial, self.evolve, self.react, (*self.happened, *events))

    def when(self, event: E) -> Reaction[S, E, C]:
        """This event happens. What is done about it is looked at by `then`."""
        after = self.given(event)
        once, again = after._reaction(), after._reaction()
        if once != again:
            raise AssertionError(f"the process is not pure: asked twice, it said\n  {once!r}\nand\n  {again!r}")
        return Reaction(self, event, once)

    def _reaction(self) -> tuple[C, ...]:
        state = self.initial
        for event in self.happened:
            state = self.evolve(state, event)
        return tuple(self.react(state, self.happened[-1]))


@dataclass(frozen=True)
class Reaction(Generic[S, E, C]):
    """The commands that came of an event. A `then` answers the scenario after it."""

    scenario: ProcessScenario[S, E, C]
    event: E
    commands: tuple[C, ...]

    def then(self, *commands: C) -> ProcessScenario[S, E, C]:
        """Exactly these commands come of it."""
        if self.commands != commands:
            expected, came = commands or ["nothing"], self.commands or ["nothing"]
            given = _given(self.scenario.happened)
            raise AssertionError(_told(given, ("when", [self.event]), ("expected", expected), ("came", came)))
        return self.scenario.given(self.event)

    def then_nothing(self) -> ProcessScenario[S, E, C]:
        """Nothing is done about it."""
        return self.then()


# --- how a failure reads --------------------------------------------------------------------------------------------


def _given(happened: Sequence[object]) -> tuple[str, Sequence[object]]:
    return ("given", happened or ["nothing"])


def _lines(rows: Mapping[str, object]) -> Sequence[object]:
    return [f"{key}: {view!r}" for key, view in rows.items()] or ["no rows"]


def _told(*parts: tuple[str, Sequence[object]]) -> str:
    """Each part under its name, a value a line."""
    lines = [""]
    for name, values in parts:
        for number, value in enumerate(values):
            text = value if isinstance(value, str) else repr(value)
            lines.append(f"{name if number == 0 else '':<10}{text}")
    return "\n".join(lines)
