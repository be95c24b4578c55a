"""The commands that look into a log, for `twofold` and for any application.

What they do is imported when a command is run, so that those who only mount them wait for nothing.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Annotated, Any, TypeVar

import typer

from twofold.cli.applications import Program
from twofold.cli.projections import StoreOption
from twofold.cli.terminal import AfterOption, AskedWrongly, FollowFlag, JsonFlag, LimitOption

C = TypeVar("C", bound=Callable[..., None])
Adding = Callable[[str], Callable[[C], C]]

StreamArgument = Annotated[
    str, typer.Argument(metavar="STREAM", help="The stream; with the application's code the id alone will do.")
]
AtOption = Annotated[
    int | None, typer.Option("--at", min=0, metavar="N", help="After this version.", show_default="the last one")
]
MoreOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, metavar="N", help="At most so many.")]


def mount(app: typer.Typer, program: Program, *, without: Collection[str] = ()) -> None:
    """Add the commands to an application, but for those `without` which it has its own."""
    default: Any = ... if program.store is None else program.store  # Typer's sign for what must be given

    def command(name: str) -> Callable[[C], C]:
        return (lambda function: function) if name in without else app.command(name)

    _add_streams(command, program, default)
    _add_states(command, program, default)
    _add_relations(command, program, default)
    _add_audit(command, default)
    _add_tail(command, default)
    _add_top(command, program, default)
    _add_doctor(command, program, default)


def _add_streams(command: Adding[Any], program: Program, default: Any) -> None:
    @command("events")
    def events(
        *,
        stream: Annotated[
            str | None, typer.Option(metavar="NAME", help="Only the events of this stream.", show_default=False)
        ] = None,
        after: AfterOption = 0,
        limit: LimitOption = None,
        follow: FollowFlag = False,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """List the events of the log in their order."""
        from twofold.cli.listing import list_events

        asyncio.run(list_events(store, stream=stream, after=after, limit=limit, follow=follow, json=json))

    @command("streams")
    def streams(
        *,
        category: Annotated[
            str | None, typer.Option(metavar="NAME", help="Only streams of this category.", show_default=False)
        ] = None,
        before: Annotated[
            int | None,
            typer.Option(min=0, metavar="P", help="Only those quiet since this position.", show_default=False),
        ] = None,
        at: Annotated[
            str | None, typer.Option(metavar="TIME", help="Only those quiet since this time.", show_default=False)
        ] = None,
        limit: MoreOption = 20,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """List streams, the newest activity first."""
        from twofold.cli.streams import list_streams

        asyncio.run(list_streams(program, store, category=category, before=before, at=at, limit=limit, json=json))

    @command("show")
    def show(
        *,
        stream: StreamArgument,
        version: Annotated[
            int | None,
            typer.Option(min=1, metavar="N", help="Only this event, with all that is known of it.", show_default=False),
        ] = None,
        after: Annotated[int, typer.Option(min=0, metavar="N", help="Only events after this version.")] = 0,
        limit: MoreOption = 100,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """Show what happened in a stream, event by event.

        Between two events stands how long it was quiet.
        """
        from twofold.cli.streams import show_stream

        asyncio.run(show_stream(program, store, stream, version=version, after=after, limit=limit, json=json))

    @command("search")
    def search(
        *,
        text: Annotated[
            str, typer.Argument(metavar="TEXT", help="A stream, an id of any kind, a position, a time, a key, words.")
        ],
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """Find what a text names. Exit code 1 if it is nothing."""
        from twofold.cli.streams import search as find

        asyncio.run(find(program, store, text, json=json))


def _add_states(command: Adding[Any], program: Program, default: Any) -> None:
    @command("state")
    def state(
        *, stream: StreamArgument, at: AtOption = None, store: StoreOption = default, json: JsonFlag = False
    ) -> None:
        """Show the state that commands are decided on."""
        from twofold.cli.states import show_state

        asyncio.run(show_state(program, store, stream, at=at, json=json))

    @command("diff")
    def diff(
        *,
        stream: StreamArgument,
        first: Annotated[int, typer.Argument(metavar="M", min=0, help="The version before.")],
        last: Annotated[int, typer.Argument(metavar="N", min=0, help="The version after.")],
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """Show what changed in the state from one version to another."""
        from twofold.cli.states import show_difference

        asyncio.run(show_difference(program, store, stream, first, last, json=json))

    @command("explain")
    def explain(
        *, stream: StreamArgument, at: AtOption = None, store: StoreOption = default, json: JsonFlag = False
    ) -> None:
        """Show which event set each field, and who was behind it.

        The fields are those of the state, and of the rows that views make of the stream.
        """
        from twofold.cli.states import show_explanation

        asyncio.run(show_explanation(program, store, stream, at=at, json=json))


def _add_relations(command: Adding[Any], program: Program, default: Any) -> None:
    @command("trace")
    def trace(
        *,
        correlation: Annotated[
            str, typer.Argument(metavar="CORRELATION", help="Its id, or that of any message or event in it.")
        ],
        after: Annotated[int, typer.Option(min=0, metavar="P", help="Only events after this position.")] = 0,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """Show all that came of one request, as a tree."""
        from twofold.cli import relations

        asyncio.run(relations.trace(program, store, correlation, after=after, json=json))

    @command("model")
    def model(
        *,
        mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flowchart.")] = False,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """Show what the application is made of.

        Commands, deciders, events, views and queries, and how often each event is in the end of the log.
        """
        from twofold.cli.relations import show_model

        asyncio.run(show_model(program, store, as_mermaid=mermaid, json=json))


def _add_audit(command: Adding[Any], default: Any) -> None:
    @command("audit")
    def audit(
        *,
        before: Annotated[
            int | None,
            typer.Option(min=1, metavar="N", help="Only those recorded before this one.", show_default=False),
        ] = None,
        limit: MoreOption = 20,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """List what operators did, the last action first.

        By the console, the API or a terminal: who, when, why, and what came of it.
        """
        from twofold.cli.audits import list_actions

        asyncio.run(list_actions(store, before=before, limit=limit, json=json))


def _add_tail(command: Adding[Any], default: Any) -> None:
    @command("tail")
    def tail(
        *,
        category: Annotated[str | None, typer.Option(metavar="NAME", help="Only this category.")] = None,
        stream: Annotated[str | None, typer.Option(metavar="NAME", help="Only this stream.")] = None,
        type: Annotated[str | None, typer.Option(metavar="NAME", help="Only events of this type.")] = None,
        actor: Annotated[str | None, typer.Option(metavar="NAME", help="Only what this actor did.")] = None,
        after: Annotated[
            int | None, typer.Option(min=0, metavar="P", help="From this position on.", show_default="the head")
        ] = None,
        rate: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many events a second.")] = 20,
        limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="End after so many.")] = None,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """Show events as they come, until Ctrl-C.

        Where more come in a second than `--rate` says, it is told how many were left out.
        """
        from twofold.cli import tailing

        wanted = tailing.Wanted(category, stream, type, actor)
        asyncio.run(tailing.tail(store, wanted=wanted, after=after, rate=rate, limit=limit, json=json))


def _add_top(command: Adding[Any], program: Program, default: Any) -> None:
    @command("top")
    def top(*, store: StoreOption = default) -> None:
        """Show a live screen of a store until q is pressed."""
        try:
            from twofold.cli.top import run_top
        except ModuleNotFoundError as error:
            if error.name != "textual":
                raise
            raise AskedWrongly("top needs textual: pip install 'twofold[top]'") from error

        asyncio.run(run_top(program, store))


def _add_doctor(command: Adding[Any], program: Program, default: Any) -> None:
    @command("doctor")
    def doctor(
        *,
        check: Annotated[
            bool, typer.Option("--check", help="Read all of it: the database, and each event with its checksum.")
        ] = False,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """Say whether anything is wrong with a store, and what to do.

        Exit code 1 if something is wrong.
        """
        from twofold.cli.doctor import examine

        raise typer.Exit(0 if asyncio.run(examine(program, store, check=check, json=json)) else 1)
