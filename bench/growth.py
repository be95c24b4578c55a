"""`python -m bench.growth`: what changes as the log grows, and what does not: latency, start-up, memory, disk.

A log of each size is filled first, with the views of the order service. Then they are measured in turn, round by round:
what the machine does meanwhile falls on all sizes. Each round has its ratio, and the median of them counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import plots
from bench.comparing import a_core
from bench.growth_figures import APPEND_NEW, APPEND_OLD, DISK, MEMORY, POINT_READ, Figure
from bench.growth_orders import fill
from twofold.connect import connect
from twofold.testing.postgres import PostgresServer, start_postgres

LATENCIES, SERVER = "bench.growth_figures:latencies", "bench.growth_figures:server"
MOST_RATIO: Mapping[str, float] = {APPEND_NEW: 1.5, APPEND_OLD: 1.5, POINT_READ: 1.5}
ROUNDS = 3
MOST_MEMORY = 300.0  # MiB
CHUNK = 16 * 2**20  # bytes read at once
SMALLEST = 10_000  # in fewer the largest customer's orders have no place


@dataclass(frozen=True)
class Grown:
    """One kind of figure at all sizes, from the smallest to the largest, in each round."""

    name: str
    rounds: Sequence[Sequence[Figure]]

    @property
    def unit(self) -> str:
        """Of all its figures."""
        return self.rounds[0][0].unit

    @property
    def medians(self) -> list[float]:
        """The median of the rounds, for each size."""
        return [statistics.median(figure.median for figure in of_size) for of_size in zip(*self.rounds, strict=True)]

    @property
    def lates(self) -> list[float]:
        """The same of the 99th percentiles; nothing where there are none."""
        of_sizes = [[figure.late for figure in of_size] for of_size in zip(*self.rounds, strict=True)]
        known = [[late for late in of_size if late is not None] for of_size in of_sizes]
        return [statistics.median(of_size) for of_size in known if of_size]

    @property
    def ratio(self) -> float:
        """How much more it is at the largest size than at the smallest."""
        return statistics.median(row[-1].median / row[0].median for row in self.rounds)


class SqliteFiles:
    """A file for each size."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _file(self, size: int) -> Path:
        return self._folder / f"orders-{size}.db"

    def url(self, size: int) -> str:
        """Where the log of this size is, or is to be."""
        return f"sqlite:///{self._file(size)}"

    def remove(self, size: int) -> None:
        """Remove it, if it is there."""
        for end in ("", "-wal", "-shm"):
            self._file(size).with_name(self._file(size).name + end).unlink(missing_ok=True)

    def make(self, size: int) -> None:
        """Make room for it: a file makes itself."""

    def bytes(self, size: int) -> int:
        """What it takes on disk, while nobody has it open."""
        return self._file(size).stat().st_size

    def warm(self, size: int) -> None:
        """Read it once, so that the system has it in memory as far as there is room: no disk is measured here."""
        with self._file(size).open("rb", buffering=0) as file:
            while file.read(CHUNK):
                pass


class PostgresDatabases:
    """A database for each size, on one server."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    def url(self, size: int) -> str:
        """See SqliteFiles.url."""
        return self._server.url(f"growth_{size}")

    def remove(self, size: int) -> None:
        """See SqliteFiles.remove."""
        self._server.drop_database(self.url(size))

    def make(self, size: int) -> None:
        """See SqliteFiles.make."""
        self._server.create_database(f"growth_{size}")

    def bytes(self, size: int) -> int:
        """See SqliteFiles.bytes."""
        [(number,)] = self._server.execute(f"select pg_database_size('growth_{size}')")
        return int(str(number))

    def warm(self, size: int) -> None:
        """See SqliteFiles.warm."""
        self._server.execute("select sum(length(data)) from event", url=self.url(size))


Stores = SqliteFiles | PostgresDatabases


@contextmanager
def places(kind: str, keep: Path | None) -> Generator[Stores]:
    """Where the logs are, or are to be: in the folder `keep`, or in one that goes away."""
    with ExitStack() as stack:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
        if kind == "postgresql":
            folder = None if keep is None else keep / "postgres"
            yield PostgresDatabases(stack.enter_context(start_postgres(folder)))
        else:
            folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-growth-")))
            yield SqliteFiles(folder.absolute())


async def _filled(url: str, size: int) -> bool:
    """Whether a log that was kept has all its events, and a little more from each time that it was measured."""
    try:
        async with connect(url, create=False) as store:
            return await store.head() >= size * 0.99
    except Exception:  # there is none, in the words of each store and its driver
        return False


def prepare(stores: Stores, size: int) -> Figure:
    """Fill the log of this size, unless it was kept; what it takes on disk."""
    url = stores.url(size)
    if asyncio.run(_filled(url, size)):
        _tell(f"{size:,} events were kept")
    else:
        stores.remove(size)
        stores.make(size)
        _tell(f"filling a log with {size:,} events")
        rate = uvloop.run(fill(url, size))
        _tell(f"filled, {rate:,.0f} events a second, views included")
    return Figure(DISK, "bytes", stores.bytes(size) / asyncio.run(_head(url)))


def measure(stores: Stores, sizes: Sequence[int], rounds: int) -> list[Grown]:
    """All figures, each group of them in a process of its own."""
    grown = [Grown(DISK, [[prepare(stores, size) for size in sizes]])]
    for function in (LATENCIES, SERVER):
        by_round: list[list[list[Figure]]] = []
        for number in range(rounds):
            _tell(f"{function.partition(':')[2]}: round {number + 1} of {rounds}")
            by_round.append([_measured(stores, function, size) for size in sizes])
        for kind, figure in enumerate(by_round[0][0]):
            grown.append(Grown(figure.name, [[figures[kind] for figures in of_round] for of_round in by_round]))
    return grown


def _measured(stores: Stores, function: str, size: int) -> list[Figure]:
    stores.warm(size)
    return _in_child(function, {"url": stores.url(size), "size": size})


async def _head(url: str) -> int:
    async with connect(url, create=False) as store:
        return await store.head()


def _in_child(function: str, options: Mapping[str, object]) -> list[Figure]:
    core = a_core()
    environment = {**os.environ, **({} if core is None else {"BENCH_CORE": str(core)})}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        asked = json.dumps({"function": function, "options": options, "folder": folder, "postgres": ""})
        command = [sys.executable, "-m", "bench.child", asked]
        child = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
    answer = json.loads(child.stdout.splitlines()[-1])
    return [Figure(*figure) for figure in answer["figure"]]


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def table(sizes: Sequence[int], grown: Sequence[Grown]) -> Table:
    """Median / 99th percentile for each size, and the ratio of the largest to the smallest."""
    grid = Table(box=None, pad_edge=False, header_style="dim")
    grid.add_column("Median / 99th percentile")
    for heading in (*(f"{size:,}" for size in sizes), "Ratio", "Target"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for each in grown:
        reached, target = True, ""
        if each.name == MEMORY:
            reached, target = each.medians[-1] < MOST_MEMORY, f"< {MOST_MEMORY:g} MiB"
        elif each.name in MOST_RATIO:
            reached, target = each.ratio <= MOST_RATIO[each.name], f"≤ {MOST_RATIO[each.name]:g}"
        style = "" if not target else "green" if reached else "red"
        grid.add_row(each.name, *_said(each), Text(f"{each.ratio:.2f}", style), target)
    return grid


def _said(grown: Grown) -> list[str]:
    figures = zip(grown.medians, grown.lates, strict=True) if grown.lates else ((one,) for one in grown.medians)
    return [" / ".join(map(_number, figure)) + f" {grown.unit}" for figure in figures]


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def write_json(path: Path, store: str, sizes: Sequence[int], grown: Sequence[Grown]) -> None:
    """Write all figures of all rounds, and what kind of machine they are of."""
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": platform.machine(), "system": platform.system(), "python": platform.python_version()},
        "store": store,
        "sizes": list(sizes),
        "measured": [
            {
                "name": each.name,
                "unit": each.unit,
                "ratio": each.ratio,
                "medians": each.medians,
                "p99s": each.lates,
                "rounds": [[[figure.median, figure.late] for figure in of_round] for of_round in each.rounds],
            }
            for each in grown
        ],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def draw(path: Path, store: str, sizes: Sequence[int], grown: Sequence[Grown]) -> None:
    """Latencies on logarithmic scales, as they lie far apart; the rest from zero."""
    timed = [each for each in grown if each.lates]
    panels = [
        plots.Panel("median, ms", {each.name: each.medians for each in timed}, logarithmic=True),
        plots.Panel("99th percentile, ms", {each.name: each.lates for each in timed}, logarithmic=True),
    ]
    for each in grown:
        if not each.lates:
            most = MOST_MEMORY if each.name == MEMORY else None
            panels.append(plots.Panel(f"{each.name}, {each.unit}", {each.name: each.medians}, most=most))
    plots.curves(path, f"The order service as its log grows, on {store}", sizes, panels)


def _sizes(text: str) -> list[int]:
    sizes = sorted({int(size) for size in text.split(",")})
    if sizes[0] < SMALLEST:
        raise argparse.ArgumentTypeError(f"the smallest size is {SMALLEST:,} events")
    return sizes


def main() -> None:
    """Fill, measure, print a table, and write JSON and a plot."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument(
        "--sizes", type=_sizes, default="10000,1000000", metavar="N,N", help="numbers of events (default: %(default)s)"
    )
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of all sizes (default: %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where logs stay, and are not filled again")
    parser.add_argument("--out", type=Path, default=Path("bench/results"), help="where JSON and plot go")
    given = parser.parse_args()
    with places(given.store, given.keep) as stores:
        grown = measure(stores, given.sizes, given.rounds)
        if given.keep is None:
            for size in given.sizes:
                stores.remove(size)
    Console().print(table(given.sizes, grown))
    given.out.mkdir(parents=True, exist_ok=True)
    write_json(given.out / f"growth-{given.store}.json", given.store, given.sizes, grown)
    draw(given.out / f"growth-{given.store}.svg", given.store, given.sizes, grown)


if __name__ == "__main__":
    main()
