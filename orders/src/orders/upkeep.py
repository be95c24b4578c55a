"""Looking after the views at a terminal: making them anew from the log, and checking them against it.

Both work beside a running service on the same store, and change nothing that a client could see.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
from rich.console import Console
from rich.text import Text

from orders.app import VIEWS
from twofold import TwofoldError
from twofold.cli.terminal import Report, print_json, printable, progress_bar
from twofold.connect import connect
from twofold.rebuild import Difference, rebuild, verify
from twofold.sql import Row
from twofold.store import Progress
from twofold.views import Views, identity

SHOWN = 100  # differences that are printed for a person; more say nothing new


class ViewMissing(TwofoldError):
    """A view is to be checked that was never built."""


async def rebuild_views(url: str, names: Sequence[str], *, json: bool) -> None:
    """Make these views anew, or all. Raises StoreRefused, ProjectionUnknown."""
    async with connect(url, create=False) as store:
        views = Views(store, VIEWS)
        for name in [views.view(name).name for name in names] or views.all:
            with progress_bar(f"Rebuilding {name}") as report:
                reached = await rebuild(views, name, partial(_report, report))
            if json:
                print_json(msgspec.json.encode({"view": name, "position": reached.position}))
            else:
                Console(highlight=False).print(f"{name} rebuilt up to position {reached.position}")


def _report(report: Report, progress: Progress) -> None:
    report(progress.position, progress.head)


async def verify_views(url: str, *, json: bool) -> bool:
    """Check all views; whether they agree with the log. Raises StoreRefused, ViewMissing."""
    reached = 0
    async with connect(url, create=False) as store, connect("memory:") as scratch:
        views = Views(store, VIEWS)
        for view in views.all.values():
            if await store.checkpoint(identity(view)) is None:
                raise ViewMissing(f"the view {view.name} was never built; build it with `orders rebuild {view.name}`")
        with progress_bar("Folding the log afresh") as report:

            def note(progress: Progress) -> None:
                nonlocal reached
                reached = max(reached, progress.position)
                _report(report, progress)

            differences = await verify(views, store, scratch, note)
    if json:
        _print_json(differences, reached)
    else:
        _print(differences, reached)
    return not differences


def _print_json(differences: Sequence[Difference], reached: int) -> None:
    """A line for each difference, and one for the outcome."""
    for difference in differences:
        line = {
            "view": difference.view,
            "table": str(difference.table),  # SQLAlchemy's names are a kind of text of their own
            "key": _plain(difference.key),
            "stored": _plain(difference.stored),
            "folded": _plain(difference.folded),
        }
        print_json(msgspec.json.encode(line))
    outcome = {"views": [view.name for view in VIEWS], "position": reached, "differences": len(differences)}
    print_json(msgspec.json.encode(outcome))


def _print(differences: Sequence[Difference], reached: int) -> None:
    console = Console(highlight=False)
    for difference in differences[:SHOWN]:
        console.print(Text.assemble((difference.table, "red"), " ", _text(difference.key)), soft_wrap=True)
        console.print(Text(f"  stored: {_text(difference.stored)}"), soft_wrap=True)
        console.print(Text(f"  folded: {_text(difference.folded)}"), soft_wrap=True)
    if len(differences) > SHOWN:
        console.print(f"and {len(differences) - SHOWN} more; --json prints them all")
    found = (f"{len(differences)} rows differ", "red") if differences else ("No difference", "green")
    names = ", ".join(view.name for view in VIEWS)
    console.print(Text.assemble(found, f" ({names}; the log up to position {reached})"), soft_wrap=True)


def _plain(row: Row | None) -> list[object] | None:
    """A row as JSON can say it."""
    return None if row is None else [_value(value) for value in row]


def _value(value: object) -> object:
    match value:
        case bytes():
            return value.decode(errors="replace")  # a body, JSON itself
        case _:
            return value


def _text(row: Row | None) -> str:
    values = _plain(row)
    return "no row" if values is None else printable(", ".join(str(value) for value in values))
