"""A store kept in one checked file, and brought back from it.

A SQLite store is copied page by page at one moment, with its views, checkpoints and answers. The log of any other is
copied into a new file up to the head that it has at the beginning; its views are folded again where it is restored.
Before a copy gets its name every event in it was compared with the one it came from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from twofold.cli.printing import counted, said, show, tell
from twofold.cli.progress import progress_bar, through_log
from twofold.cli.terminal import AskedWrongly
from twofold.connect import connect, copy_file, file_of, put_in_place, remove_file
from twofold.copying import Difference, compare, copy
from twofold.errors import TwofoldError
from twofold.overview import ahead_of_log
from twofold.sql import Fetch
from twofold.store import Store

PARTIAL = ".partial"  # ends the name of a copy that is not checked yet


class CopyDiffers(TwofoldError):
    """A copy is not what it was made from; it was removed."""


class Checked(NamedTuple):
    """What a copy holds, every event of it compared: so many, up to a position."""

    events: int
    position: int


async def back_up(url: str, file: str, *, force: bool, json: bool) -> None:
    """Keep the store in a file. Raises StoreRefused, AskedWrongly, CopyDiffers, EventCorrupt."""
    _check_target(file, force=force, source=url)
    checked, _ = await _copy_into_file(url, file, renewed=False)
    line = {"file": file, "events": checked.events, "position": checked.position, "bytes": _size(file)}
    tell(f"kept in {file}: {_all(checked)}", line, json=json)


async def restore(file: str, url: str, *, force: bool, json: bool) -> None:
    """Bring a store back from a file. Raises StoreRefused, AskedWrongly, CopyRefused, CopyDiffers, EventCorrupt."""
    target = file_of(url)
    if target is not None:
        _check_target(target, force=force, source=f"sqlite:///{file}")
        checked, ahead = await _copy_into_file(f"sqlite:///{file}", target, renewed=True)
    else:
        checked, ahead = await _copy_into_store(file, url)
    line: dict[str, Any] = {"events": checked.events, "position": checked.position, "ahead": ahead}
    tell(f"restored: {_all(checked)}", line, json=json)
    if ahead and not json:
        show(said(_warning(ahead, checked.position), "yellow"))


def _all(checked: Checked) -> str:
    return f"{counted(checked.events, 'event')} up to position {checked.position}, all checked"


def _check_target(path: str, *, force: bool, source: str) -> None:
    target = Path(path)
    if target.exists() and not force:
        raise AskedWrongly(f"{path} is there already; take another name, or --force to put the new one in its place")
    if target.is_dir() or not target.parent.is_dir():
        raise AskedWrongly(f"{path} cannot be a file: {'it' if target.is_dir() else target.parent} is no folder for it")
    known = file_of(source)
    if known is not None and target.exists() and target.samefile(known):
        raise AskedWrongly(f"{path} is what is to be copied; take another name")


async def _copy_into_file(url: str, target: str, *, renewed: bool) -> tuple[Checked, dict[str, int]]:
    """Copy a store into a file that gets its name only when it was compared; and what is ahead of the log in it."""
    partial_copy = target + PARTIAL
    await remove_file(partial_copy)  # of a run that broke off
    try:
        async with connect(url, create=False) as source:
            known = file_of(url)
            with progress_bar("Copying") as report:
                if known is not None:
                    await copy_file(known, partial_copy, report)
                else:
                    async with connect(f"sqlite:///{partial_copy}") as copied:
                        await copy(source, copied, through_log(report))
            async with connect(f"sqlite:///{partial_copy}", create=False) as copied:
                await _check_file(copied, target)
                checked = await _compared(source, copied, await copied.head())
                ahead = await ahead_of_log(copied)
        await put_in_place(partial_copy, target, renewed=renewed)
    finally:
        await remove_file(partial_copy)
    return checked, ahead


async def _copy_into_store(file: str, url: str) -> tuple[Checked, dict[str, int]]:
    """Copy the log in a file into a store that is empty, or has the beginning of that log."""
    async with connect(f"sqlite:///{file}", create=False) as source, connect(url) as target:
        await _check_file(source, file)
        with progress_bar("Copying") as report:
            done = await copy(source, target, through_log(report))
        return await _compared(source, target, done.position), await ahead_of_log(target)


async def _check_file(store: Store, name: str) -> None:
    async with store.moment() as moment:  # whose reads may take as long as they do
        ((found,), *_) = await moment.scan(Fetch("pragma integrity_check(1)"))
    if found != "ok":
        raise CopyDiffers(f"the file of {name} is damaged: {found}")


async def _compared(source: Store, target: Store, until: int) -> Checked:
    with progress_bar("Comparing") as report:
        same, difference = await compare(source, target, until=until, on_progress=through_log(report))
    if difference is not None:
        raise CopyDiffers(_told(difference))
    return Checked(same, until)


def _size(path: str) -> int:
    return Path(path).stat().st_size


def _told(difference: Difference) -> str:
    fields = f" in {', '.join(difference.fields)}" if difference.fields else ""
    return f"the copy differs at position {difference.position}{fields}; nothing was kept"


def _warning(ahead: dict[str, int], head: int) -> str:
    names = ", ".join(f"{name} (at {position})" for name, position in ahead.items())
    return (
        f"Ahead of the log, which ends at {head}: {names}. They were folded from another log: empty and fold them anew "
        "(`projections reset`, or `rebuild` for inline views) before anything is appended"
    )
