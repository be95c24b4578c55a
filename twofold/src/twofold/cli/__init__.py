"""The way in from a terminal: looks into any store and copies it, whatever application wrote it.

With `--app MODULE:MODEL` it knows the code of an application; an application's own command line mounts the same
commands. Each command imports what it needs when it is run, so that `--help` and `--version` wait for nothing.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Annotated

import typer

from twofold.cli import building, console, looking, projections
from twofold.cli.applications import Chosen, Program
from twofold.cli.terminal import JsonFlag, application, run

chosen = Chosen()
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
    application: Annotated[
        str | None,
        typer.Option(
            "--app",
            envvar="TWOFOLD_APP",
            metavar="MODULE:MODEL",
            help="The model of the application whose log it is: shop.app:MODEL.",
        ),
    ] = None,
) -> None:
    """Take the options that stand before a command."""
    chosen.name = application


@app.command("new")
def new(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The project's name, and its folder's: shop.")],
    json: JsonFlag = False,
) -> None:
    """Make a small project that runs and whose tests pass."""
    from twofold.cli.creating import new_project

    new_project(name, json=json)


def mount(application: typer.Typer, program: Program, *, without: Collection[str] = ()) -> None:
    """Add all commands that look into a store and look after its views, but for those `without` it has of its own."""
    looking.mount(application, program, without=without)
    projections.mount(application, program)
    building.mount(application, program)


program = Program("twofold", chosen.opening, chosen.model)
mount(app, program)
console.mount(app, program)


@app.command("copy")
def copy_store(
    *,
    source: Annotated[str, typer.Argument(metavar="FROM", help="The store to copy: sqlite:///path.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The store to copy into; it is made if it is not there.")],
    json: JsonFlag = False,
) -> None:
    """Copy a log into another store, then compare the two.

    Positions and versions are kept. A copy that broke off goes on where it was when it is run again. FROM may be
    written meanwhile: the copy ends at the head that it had at the beginning, so stop the writers first, or run it
    again.

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
    """Keep a store in one checked file while it is in use.

    It is copied as it is at one moment, and compared event by event.
    """
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
    """Make a store of what `backup` kept, and check it."""
    from twofold.cli.backup import restore

    asyncio.run(restore(file, target, force=force, json=json))


def main() -> None:
    """Run the command that the arguments say."""
    run(app)
