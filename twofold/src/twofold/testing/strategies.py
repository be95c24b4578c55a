"""Hypothesis strategies for what can have happened.

Events drawn one by one are rarely a history: most orders of them are ones that no decider would let happen. So a
history is drawn by letting a decider decide on drawn commands. Needs the extra `twofold[testing]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from hypothesis import strategies as st

from twofold.decider import Decider
from twofold.testing.history import History

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


def histories(
    decider: Decider[C, S, E],
    commands: st.SearchStrategy[C],
    *,
    refusals: type[Exception] | tuple[type[Exception], ...],
    max_commands: int = 20,
) -> st.SearchStrategy[Sequence[E]]:
    """Histories of one thing, such as these commands can lead to.

    A command that is refused with one of `refusals` is passed over. Any other error is a fault of the decider, and
    escapes.
    """

    def happened(said: Sequence[C]) -> Sequence[E]:
        state, events = decider.initial, list[E]()
        for command in said:
            try:
                decided = decider.decide(command, state)
            except refusals:
                continue
            events.extend(decided)
            state = decider.fold(decided, state)
        return events

    return st.lists(commands, max_size=max_commands).map(happened)


def recorded_histories(
    events: st.SearchStrategy[Sequence[E]], *, stream: str = "thing-1", holes: bool = True
) -> st.SearchStrategy[History[E]]:
    """Those histories as one stream of a log: see `logs`."""
    return logs({stream: events}, holes=holes)


@st.composite
def logs(draw: st.DrawFn, streams: Mapping[str, st.SearchStrategy[Sequence[E]]], *, holes: bool = True) -> History[E]:
    """A log of these streams, each with a history of its own, in any order that keeps each stream's.

    Positions rise, with `holes` between them: a store promises no more than that.
    """
    left = {stream: list(draw(events)) for stream, events in streams.items()}
    history: History[E] = History()
    while waiting := [stream for stream, events in left.items() if events]:
        stream = draw(st.sampled_from(waiting))
        skipped = draw(st.integers(0, 3)) if holes else 0
        history = history.then(left[stream].pop(0), stream=stream, skipped=skipped)
    return history
