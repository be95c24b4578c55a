"""The way in from a terminal: looks into any store, whatever application wrote it.

An application's own commands stand on the same helpers: `twofold.cli.terminal` and `twofold.cli.listing`.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Annotated

import typer

from twofold.cli.listing import list_events
from twofold.cli.terminal import AfterOption, FollowFlag, JsonFlag, LimitOption, application, run

app = application("Look into the log of a store.")


def _version(wanted: bool) -> None:
    if wanted:
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
    asyncio.run(list_events(store, stream=stream, after=after, limit=limit, follow=follow, json=json))


def main() -> None:
    """Run the command that the arguments say."""
    run(app)
