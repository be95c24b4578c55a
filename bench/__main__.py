"""`make bench`: Twofold beside what else does the same work; all of it, or what is named.

Nothing here is a test: figures are for people, who know what else their machine is doing.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import plots, reports
from bench.comparing import ROUNDS, Comparison, Measured, Unavailable, a_core, compare
from bench.slow_disk import slow_down
from twofold.testing.postgres import PostgresServer, PostgresUnavailable, start_postgres

GROUPS = ("library", "service", "starting")


def comparisons(group: str) -> Sequence[Comparison]:
    """What a group compares."""
    found: Sequence[Comparison] = importlib.import_module(f"bench.{group}").COMPARISONS
    return found


async def measure(asked: Sequence[Comparison], rounds: int, slow_disk: int) -> tuple[list[Measured], dict[str, str]]:
    """Run all; what cannot run here comes back with its reason."""
    measured: list[Measured] = []
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        postgres: PostgresServer | None = None
        if any(side.postgres for each in asked for side in (each.ours, each.theirs)):
            try:
                postgres = stack.enter_context(start_postgres())
            except PostgresUnavailable:
                postgres = None  # each comparison that needs it says so
            if postgres is not None and postgres.elsewhere and slow_disk:
                sys.exit("a PostgreSQL that runs already has the disk that it has: unset TWOFOLD_TEST_POSTGRES")
        for each in asked:
            print(f"{each.work} ...", flush=True)
            try:
                measured.append(await compare(each, rounds=rounds, core=a_core(), postgres=postgres))
            except (Unavailable, RuntimeError) as error:  # the others are worth having all the same
                missing[each.work] = str(error)
    return measured, missing


def main() -> None:
    """Measure, print a table, and write JSON and a plot."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"some of: {', '.join(GROUPS)}; default: all")
    parser.add_argument("--only", metavar="TEXT", default="", help="only works whose name has this text")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"after the warm-up (default: {ROUNDS})")
    parser.add_argument("--out", type=Path, default=Path("bench/results"), help="where JSON and plot go")
    parser.add_argument(
        "--slow-disk", type=int, metavar="MICROSECONDS", default=0, help="that every sync takes longer, on both sides"
    )
    given = parser.parse_args()
    groups: Sequence[str] = given.groups or GROUPS
    if unknown := set(groups) - set(GROUPS):
        parser.error(f"there is no group {', '.join(sorted(unknown))}; there are: {', '.join(GROUPS)}")
    asked = [each for group in groups for each in comparisons(group) if given.only in each.work]
    with tempfile.TemporaryDirectory(prefix="bench-disk-") as folder:
        if given.slow_disk:
            slow_down(given.slow_disk, Path(folder))
        measured, missing = asyncio.run(measure(asked, given.rounds, given.slow_disk))
    reports.show(measured, missing)
    given.out.mkdir(parents=True, exist_ok=True)
    reports.write_json(given.out / "comparisons.json", measured, missing)
    plots.ratios(given.out / "comparisons.svg", measured)


if __name__ == "__main__":
    main()
