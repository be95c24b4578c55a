"""Two sides of one comparison, run in turn: what a machine does meanwhile falls on both.

Each round of a side is a process of its own, pinned to one core where the system allows it, in an empty folder and, if
it asks for one, an empty PostgreSQL database. The first rounds warm up and are thrown away. Rates differ from machine
to machine and from hour to hour; what travels is the ratio, so each round has its own, and the median of them counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from twofold.testing.postgres import PostgresServer

ROUNDS = 5
WARM_UP = 1
CHILD_SECONDS = 600.0


class Unavailable(Exception):
    """A side cannot run here; its message says what is missing."""


@dataclass(frozen=True)
class Side:
    """One side: a function `module:name`, called in a process of its own with a `Place` and these options.

    It is sync or async, and answers how many things it did a second, or, where less is better, what one took.
    """

    name: str
    function: str
    options: Mapping[str, object] = field(default_factory=dict[str, object])
    postgres: bool = False


@dataclass(frozen=True)
class Place:
    """Where a side may work: an empty folder, and the URL of an empty database if it asked for one."""

    folder: Path
    postgres: str = ""


@dataclass(frozen=True)
class Comparison:
    """Some work, done by both sides. `target` is the ratio of ours to theirs that is to be reached."""

    work: str
    ours: Side
    theirs: Side
    target: float
    unit: str = "/s"
    less_is_better: bool = False


@dataclass(frozen=True)
class Measured:
    """What came of a comparison: the figures of each round. A round has a ratio, ours to theirs."""

    work: str
    unit: str
    target: float
    less_is_better: bool
    names: tuple[str, str]
    ours: Sequence[float]
    theirs: Sequence[float]

    @property
    def ratios(self) -> Sequence[float]:
        """Ours to theirs, round by round."""
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def reached(self) -> bool:
        """Whether the target is reached."""
        return self.ratio <= self.target if self.less_is_better else self.ratio >= self.target


async def in_child(side: Side, core: int | None, postgres: PostgresServer | None) -> float:
    """One round of a side in a process of its own. Raises Unavailable, RuntimeError if it fails."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        url = ""
        if side.postgres:
            if postgres is None:
                raise Unavailable("there is no PostgreSQL here")
            url = stack.enter_context(postgres.database())
        asked = {"function": side.function, "options": dict(side.options), "folder": folder, "postgres": url}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.child", json.dumps(asked)),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **({} if core is None else {"BENCH_CORE": str(core)})},
        )
        try:
            async with asyncio.timeout(CHILD_SECONDS):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"{side.name} ({side.function}) ended with {process.returncode}")
    answer = json.loads(output.splitlines()[-1])
    if "unavailable" in answer:
        raise Unavailable(answer["unavailable"])
    figure: float = answer["figure"]
    return figure


async def compare(
    comparison: Comparison,
    *,
    rounds: int = ROUNDS,
    core: int | None = None,
    postgres: PostgresServer | None = None,
) -> Measured:
    """Run both sides in turn. Raises Unavailable where one of them cannot run here."""
    figures: tuple[list[float], list[float]] = ([], [])
    for number in range(WARM_UP + rounds):
        sides = list(zip((comparison.ours, comparison.theirs), figures, strict=True))
        for side, kept in sides if number % 2 else reversed(sides):  # nobody is always the first
            kept.append(await in_child(side, core, postgres))
    ours, theirs = (each[WARM_UP:] for each in figures)
    names = (comparison.ours.name, comparison.theirs.name)
    return Measured(comparison.work, comparison.unit, comparison.target, comparison.less_is_better, names, ours, theirs)


def a_core() -> int | None:
    """The core that sides are pinned to: the last, since the first has most of the system's own work."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return max(os.sched_getaffinity(0))
