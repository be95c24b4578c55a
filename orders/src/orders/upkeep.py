"""Looking after the views at a terminal: making them anew from the log, and checking them against it.

Both work beside a running service on the same store, and change nothing that a client could see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from twofold.cli.terminal import print_json, printable, progress_bar
from twofold.connect import connect
from twofold.rebuild import Difference, rebuild, verify
from twofold.store import Progress
from twofold.views import Views, identity

from orders.app import VIEWS
from twofold import TwofoldError

SHOWN = 100  # differences that are printed for a person; more say nothing new


class ViewMissing(TwofoldError):
    """A view is to be checked that was never built."""


async def rebuild_views(url: str, names: Sequence[str], *, json: bool) -> None:
    """Make these views anew, or all. Raises StoreRefused, ProjectionUnknown."""
    async with connect(url, create=False) as store:
        views = Views(store, VIEWS)
        for name in [views.view(name).name for name in names] or views.all:
            with progress_bar(f"Rebuilding {name}") as report:
                reached = await rebuild(views, name, lambda progress, report=report: report(*progress))
            if json:
                print_json(msgspec.json.encode({"view": name, "position": reached.position}))
            else:
                Console(highlight=False).print(f"{name} rebuilt up to position {reached.position}")


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
                report(*progress)

            differences = await verify(views, store, scratch, note)
    if json:
        _print_json(differences, reached)
    else:
        _print(differences, reached)
    return not differences


def _print_json(differences: Sequence[Difference], reached: int) -> None:
    """A line for each difference, and one for the outcome."""
    for difference in differences:
        print_json(msgspec.json.encode({name: _plain(value) for name, value in difference._asdict().items()}))
    outcome = {"views": [view.name for view in VIEWS], "position": reached, "differences": len(differences)}
    print_json(msgspec.json.encode(outcome))


def _print(differences: Sequence[Difference], reached: int) -> None:
    console = Console(highlight=False)
    for difference in differences[:SHOWN]:
        console.print(f"[red]{difference.table}[/] {_text(difference.key)}", soft_wrap=True)
        console.print(f"  stored: {_text(difference.stored)}", soft_wrap=True)
        console.print(f"  folded: {_text(difference.folded)}", soft_wrap=True)
    names = ", ".join(view.name for view in VIEWS)
    if differences:
        if len(differences) > SHOWN:
            console.print(f"and {len(differences) - SHOWN} more; --json prints them all")
        console.print(f"[red]{len(differences)} rows differ[/] ({names}; the log up to position {reached})")
    else:
        console.print(f"[green]No difference[/] ({names}; the log up to position {reached})")


def _plain(value: Any) -> Any:
    """A row as JSON can say it: bodies are JSON themselves, in bytes."""
    match value:
        case tuple():
            return [_plain(part) for part in value]
        case bytes():
            return value.decode(errors="replace")
        case _:
            return value


def _text(row: Any) -> str:
    from rich.markup import escape

    return "no row" if row is None else escape(printable(", ".join(str(part) for part in _plain(row))))
