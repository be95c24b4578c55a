"""Looking after the views at a terminal: built anew from the log and swapped in, checked, compared, removed.

All of it works beside a running service on the same store, and on the views as that keeps them: inline or subscribed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import msgspec
from rich.text import Text

from twofold import TwofoldError, rebuild
from twofold.auditing import Outcome, recorded
from twofold.cli.applications import Program
from twofold.cli.printing import counted, show, tell
from twofold.cli.progress import progress_bar, through_log
from twofold.cli.terminal import at_terminal, print_json, printable
from twofold.connect import connect
from twofold.errors import BuildMissing, RebuildOvertaken
from twofold.sql import Row
from twofold.store import Progress
from twofold.verify import Difference, ViewMissing, compare, verify
from twofold.views import Views

SHOWN = 100  # differences that are printed for a person; more say nothing new


class NotNow(TwofoldError):
    """What was asked for cannot be done as things stand; the text says what to do first."""


def _opened(program: Program, url: str) -> AbstractAsyncContextManager[Views]:
    """The store with its views. Raises AskedWrongly where nobody has their code."""
    program.known_model("views are folded by their code")
    return program.opening(url)


# --- builds ---------------------------------------------------------------------------------------------------------


async def rebuild_views(program: Program, url: str, names: Sequence[str], *, resume: bool, json: bool) -> None:
    """Make these views anew, or all. Raises StoreRefused, ProjectionUnknown, RebuildOvertaken."""
    async with _opened(program, url) as views:
        for name in [views.view(name).name for name in names] or views.all:
            with progress_bar(f"Rebuilding {name}") as report:
                async with _recorded(views, "rebuild", name):
                    reached = await rebuild.rebuild(views, name, through_log(report), resume=resume)
            line = {"view": name, "position": reached.position}
            tell(f"{name} rebuilt up to position {reached.position}", line, json=json)


async def build_view(program: Program, url: str, name: str, *, anew: bool, json: bool) -> None:
    """Build a view beside the one in use. Raises StoreRefused, ProjectionUnknown, NotNow."""
    async with _opened(program, url) as views:
        try:
            with progress_bar(f"Building {name}") as report:
                async with _recorded(views, "build", name):
                    reached = await rebuild.build(views, name, through_log(report), anew=anew)
        except RebuildOvertaken as error:
            raise NotNow(f"the build of {name} was promoted or removed meanwhile") from error
    next_steps = f"`{program.name} compare {name}`, then `{program.name} promote {name}`"
    done = f"{name} is built up to position {reached.position}; {next_steps}"
    tell(done, {"view": name, "position": reached.position}, json=json)


async def promote_view(program: Program, url: str, name: str, *, json: bool) -> None:
    """Swap the build of a view in. Raises StoreRefused, ProjectionUnknown, NotNow, RebuildOvertaken."""
    async with _opened(program, url) as views:
        try:
            with progress_bar(f"Promoting {name}") as report:
                async with _recorded(views, "promote", name):
                    reached = await rebuild.promote(views, name, through_log(report))
        except BuildMissing as error:
            raise _no_build(program, name) from error
    removes = f"`{program.name} drop {name}` removes the old"
    done = f"the build of {name} is in use, from position {reached.position} on; {removes}"
    tell(done, {"view": name, "position": reached.position}, json=json)


async def drop_view(program: Program, url: str, name: str, *, json: bool) -> None:
    """Remove what a view has left behind. Raises StoreRefused, ProjectionUnknown, ProjectionInUse."""
    async with _opened(program, url) as views, _recorded(views, "drop", name):
        dropped = await rebuild.drop(views, name)
    done = f"removed: {', '.join(dropped)}" if dropped else f"{name} has left nothing behind"
    tell(done, {"view": name, "dropped": dropped}, json=json)


async def abandon_view(program: Program, url: str, name: str, *, json: bool) -> None:
    """Remove the build of a view. Raises StoreRefused, ProjectionUnknown, NotNow."""
    async with _opened(program, url) as views, _recorded(views, "abandon", name):
        if not await rebuild.abandon(views, name):
            raise _no_build(program, name)
    tell(f"the build of {name} is removed", {"view": name, "abandoned": True}, json=json)


def _recorded(views: Views, what: str, name: str) -> AbstractAsyncContextManager[Outcome]:
    """The action around which this is, as what the user of this terminal did."""
    return recorded(views.store, at_terminal(), what, projection=views.view(name).name)


def _no_build(program: Program, name: str) -> NotNow:
    return NotNow(f"{name} has no build beside it; make one with `{program.name} build {name}`")


# --- differences ----------------------------------------------------------------------------------------------------


async def verify_views(program: Program, url: str, *, json: bool) -> bool:
    """Check all views; whether they agree with the log. Raises StoreRefused, NotNow."""
    reached = 0
    async with _opened(program, url) as views, connect("memory:") as scratch:
        with progress_bar("Folding the log afresh") as report:

            def note(progress: Progress) -> None:
                nonlocal reached
                reached = max(reached, progress.position)
                report(progress.position, progress.head)

            try:
                differences = await verify(views, views.store, scratch, note)
            except ViewMissing as error:
                raise NotNow(f"{error}; build it with `{program.name} rebuild`") from error
    if json:
        _print_json(list(views.all), differences, reached)
    else:
        _print(list(views.all), differences, reached, ("stored", "folded"))
    return not differences


async def compare_views(program: Program, url: str, name: str, *, version: int | None, json: bool) -> bool:
    """Compare the build of a view with what is in use; whether they agree. Raises StoreRefused, NotNow."""
    reached = 0
    async with _opened(program, url) as views:
        with progress_bar(f"Bringing the build of {name} up to date") as report:

            def note(progress: Progress) -> None:
                nonlocal reached
                reached = max(reached, progress.position)
                report(progress.position, progress.head)

            try:
                differences = await compare(views, name, note, version=version)
            except BuildMissing as error:
                raise _no_build(program, name) from error
            except ViewMissing as error:
                raise NotNow(f"{error}; `--version N` compares with an older version") from error
    if json:
        _print_json([name], differences, reached)
    else:
        _print([name], differences, reached, ("in use", "built"))
    return not differences


def _print_json(names: Sequence[str], differences: Sequence[Difference], reached: int) -> None:
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
    outcome = {"views": names, "position": reached, "differences": len(differences)}
    print_json(msgspec.json.encode(outcome))


def _print(names: Sequence[str], differences: Sequence[Difference], reached: int, sides: tuple[str, str]) -> None:
    for difference in differences[:SHOWN]:
        show(Text.assemble((difference.table, "red"), " ", _text(difference.key)))
        for side, row in zip(sides, (difference.stored, difference.folded), strict=True):
            show(Text(f"  {side}: {_text(row)}"))
    if len(differences) > SHOWN:
        show(Text(f"and {len(differences) - SHOWN} more; --json prints them all"))
    found = (counted(len(differences), "difference"), "red") if differences else ("No difference", "green")
    show(Text.assemble(found, f" ({', '.join(names)}; the log up to position {reached})"))


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
