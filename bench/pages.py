"""`python -m bench.pages`: how long each page of the console and of the order desk takes to answer, over a large log.

Pages are asked for by HTTP, one at a time, each time about something else, picked at random from the whole log. Those
of a store that was kept (`--keep`) are measured on what `python -m bench.growth` has filled, and the other way around.
"""

from __future__ import annotations

import argparse
import http.client
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.growth import places, prepare
from bench.growth_orders import CITIES, LARGEST_CUSTOMER, PRODUCTS, Orders, customer_id
from bench.starting import start, stop

TARGET = 200.0  # ms, at the median
TIMES, WARM_UP = 20, 3
SECONDS = 60.0  # for an answer


class Took(NamedTuple):
    """How long a page took, in milliseconds, each time that it was asked for."""

    page: str
    times: Sequence[float]


class Site:
    """A running service, asked for pages over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)

    def get(self, path: str) -> str:
        """The page, wherever that leads. Raises RuntimeError if there is none."""
        while True:
            self._connection.request("GET", path)
            answer = self._connection.getresponse()
            page = answer.read().decode()
            if answer.status == 200:
                return page
            if answer.status != 303:
                raise RuntimeError(f"GET {path} was answered {answer.status}")
            path = answer.getheader("location", "")

    def took(self, path: str) -> float:
        """The milliseconds until the whole page is there."""
        began = time.perf_counter()
        self.get(path)
        return (time.perf_counter() - began) * 1000


def paths(site: Site, size: int, chance: random.Random) -> Mapping[str, Callable[[], str]]:
    """What makes a path to each page, another one each time."""
    known = Orders(size)

    def order() -> str:
        return known.id(chance.randrange(known.count))

    def stream() -> str:
        return f"order-{order()}"

    def position() -> int:
        return chance.randrange(size * 9 // 10) + 1

    def day() -> str:
        return f"{known.at(chance.randrange(known.count)):%Y-%m-%d}"

    def customer() -> str:
        return customer_id(chance.randrange(5_000))

    def city() -> str:
        return quote(chance.choice(CITIES))

    def product() -> str:
        return quote(chance.choice(PRODUCTS).partition(" ")[2])

    correlations = [
        found[1]
        for _ in range(TIMES)
        if (found := re.search(r'correlation\?id=([^"&]+)', site.get(f"/console/event?position={position()}")))
    ]
    console: dict[str, Callable[[], str]] = {
        "overview": lambda: "",
        "search: an order": lambda: f"/search?q={order()}",
        "search: a position": lambda: f"/search?q={position()}",
        "search: a word": lambda: f"/search?q={product()}",
        "streams": lambda: "/streams",
        "streams of a category": lambda: "/streams?category=order",
        "streams before a position": lambda: f"/streams?before={position()}",
        "streams before a time": lambda: f"/streams?time={day()}T12:00:00",
        "stream: state": lambda: f"/stream?name={stream()}&show=state",
        "stream: explain": lambda: f"/stream?name={stream()}&show=explain",
        "stream: rows": lambda: f"/stream?name={stream()}&show=rows",
        "stream: commands": lambda: f"/stream?name={stream()}&show=commands",
        "stream: test": lambda: f"/stream?name={stream()}&show=test",
        "event": lambda: f"/event?position={position()}",
        "correlation": lambda: f"/correlation?id={chance.choice(correlations)}",
        "projections": lambda: "/projections",
        "projection": lambda: "/projections/show?name=order_details",
        "stepper": lambda: f"/projections/step?name=sales&stream={stream()}&at=1",
        "parked": lambda: "/parked",
        "live tail": lambda: "/live",
        "commands": lambda: "/commands",
        "command": lambda: "/commands/form?command=CreateOrder",
        "model": lambda: "/model",
        "audit": lambda: "/audit",
    }
    desk: dict[str, Callable[[], str]] = {
        "orders": lambda: "/",
        "order": lambda: f"/desk/orders/{order()}",
        "dashboard": lambda: "/desk/dashboard",
        "new order": lambda: "/desk/new",
        "orders of a status": lambda: f"/?status={chance.choice(('pending', 'delivered', 'cancelled'))}",
        "orders of a customer": lambda: f"/?customer={customer()}",
        "orders of the largest customer": lambda: f"/?customer={LARGEST_CUSTOMER}",
        "orders of a day": lambda: f"/?from={(d := day())}&to={d}",
        "orders between amounts": lambda: f"/?min={(least := chance.randrange(3_000))}&max={least + 5}",
        "orders by amount": lambda: "/?sort=highest",
        "orders of a status and amounts": lambda: f"/?status=cancelled&min={3_000 + chance.randrange(5_000)}",
        "orders: a rare word": lambda: f"/?q={customer()}",
        "orders: a common word": lambda: f"/?q={city()}",
        "orders: two common words": lambda: f"/?q={city()}+{product()}",
        "orders: a common word, the oldest": lambda: f"/?q={city()}&sort=oldest",
        "orders: a common word, the highest": lambda: f"/?q={city()}&sort=highest",
        "orders: a common word, a status": lambda: f"/?q={city()}&status=cancelled",
        "orders: a common word, a day": lambda: f"/?q={city()}&from={(d := day())}&to={d}",
        "orders: no such word": lambda: "/?q=nowhere",
    }
    return {
        **{f"console: {name}": _below("/console", path) for name, path in console.items()},
        **{f"desk: {name}": path for name, path in desk.items()},
    }


def _below(root: str, path: Callable[[], str]) -> Callable[[], str]:
    return lambda: root + path()


def measure(url: str, size: int, times: int, only: str) -> list[Took]:
    """Each page whose name has `only` in it, from a service of its own over that store."""
    with tempfile.TemporaryDirectory(prefix="bench-pages-") as folder:
        command = [sys.executable, "-m", "orders", "serve", "--store", url]
        process, port = start(command, Path(folder))
        try:
            site = Site(port)
            took: list[Took] = []
            for page, path in paths(site, size, random.Random(size)).items():
                if only in page:
                    took.append(Took(page, [site.took(path()) for _ in range(WARM_UP + times)][WARM_UP:]))
                    print(f"{page}: {statistics.median(took[-1].times):.1f} ms", file=sys.stderr, flush=True)
            return took
        finally:
            stop(process)


def table(took: Sequence[Took]) -> Table:
    """The median and the longest of each page."""
    grid = Table(box=None, pad_edge=False, header_style="dim")
    grid.add_column("Page")
    grid.add_column("Median, ms", justify="right")
    grid.add_column("Longest, ms", justify="right")
    for page, times in took:
        median = statistics.median(times)
        grid.add_row(page, Text(f"{median:.1f}", "green" if median <= TARGET else "red"), f"{max(times):.1f}")
    return grid


def main() -> None:
    """Fill a log unless it was kept, ask for all pages, print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__)
    parser.add_argument("--size", type=int, default=1_000_000, help="number of events (default: %(default)s)")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--times", type=int, default=TIMES, help="that each page is asked for (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="pages with this in their names")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where logs stay, and are not filled again")
    given = parser.parse_args()
    with places(given.store, given.keep) as stores:
        prepare(stores, given.size)
        took = measure(stores.url(given.size), given.size, given.times, given.only)
    Console().print(table(took))


if __name__ == "__main__":
    main()
