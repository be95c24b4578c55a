"""The way in from a terminal: looks into any store and copies it, whatever application wrote it.

An application's own commands stand on the same helpers: `twofold.cli.terminal` and `twofold.cli.listing`. It mounts
`twofold.cli.projections` with its own views. Each command imports what it needs when it is run, so that `--help` and
`--version` wait for nothing.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli import console
from twofold.cli.projections import mount
from twofold.cli.terminal import AfterOption, FollowFlag, JsonFlag, LimitOption, application, run

if TYPE_CHECKING:
    from twofold.views import Views

app = application("Look into a store: its log, its projections. Look after it. Begin a project.")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"twofold {version('twofold')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command("events")
def print_events(
    *,
    store: Annotated[str, typer.Option(envvar="TWOFOLD_STORE", metavar="URL", help="The store: sqlite:///path.")],
    stream: Annotated[str | None, typer.Option(metavar="NAME", help="Only the events of this stream.")] = None,
    after: AfterOption = 0,
    limit: LimitOption = None,
    follow: FollowFlag = False,
    json: JsonFlag = False,
) -> None:
    """List the events of the log in their order."""
    from twofold.cli.listing import list_events

    asyncio.run(list_events(store, stream=stream, after=after, limit=limit, follow=follow, json=json))


@app.command("copy")
def copy_store(
    *,
    source: Annotated[str, typer.Argument(metavar="FROM", help="The store to copy: sqlite:///path.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The store to copy into; it is made if it is not there.")],
    json: JsonFlag = False,
) -> None:
    """Copy a log into another store, positions and versions kept, then compare the two.

    A copy that broke off goes on where it was when it is run again. FROM may be written meanwhile: the copy ends at the
    head that it had at the beginning, so stop the writers first, or run it again.

    Exit code 1 if the logs differ.
    """
    from twofold.cli.copying import copy_log

    raise typer.Exit(0 if asyncio.run(copy_log(source, target, json=json)) else 1)


@app.command("backup")
def back_up_store(
    *,
    source: Annotated[str, typer.Argument(metavar="STORE", help="The store to keep: sqlite:///path.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file that is made.")],
    force: Annotated[bool, typer.Option("--force", help="Put it in the place of a file that is there.")] = False,
    json: JsonFlag = False,
) -> None:
    """Keep a store in one file while it is in use: as it is at one moment, and checked event by event."""
    from twofold.cli.backup import back_up

    asyncio.run(back_up(source, file, force=force, json=json))


@app.command("restore")
def restore_store(
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `backup` made.")],
    target: Annotated[str, typer.Argument(metavar="STORE", help="The store to make: sqlite:///path.")],
    force: Annotated[
        bool, typer.Option("--force", help="Put it in the place of a SQLite store that is there and not in use.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Make a store of what `backup` kept, and check it event by event."""
    from twofold.cli.backup import restore

    asyncio.run(restore(file, target, force=force, json=json))


@app.command("new")
def new(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The project's name, and its folder's: shop.")],
    json: JsonFlag = False,
) -> None:
    """Make a small project that runs and whose tests pass."""
    from twofold.cli.creating import new_project

    new_project(name, json=json)


def _opening(url: str) -> AbstractAsyncContextManager[Views]:
    from twofold.cli.subscriptions import open_any

    return open_any(url)


mount(app, _opening, with_code=False)
console.mount(app)


def main() -> None:
    """Run the command that the arguments say."""
    run(app)
