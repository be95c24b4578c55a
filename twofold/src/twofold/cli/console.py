"""The commands `console` (the console of any store, served alone) and `console hash-password`.

What they do is imported when a command is run, so that those who only mount them do not wait for it.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.cli.applications import Program
from twofold.cli.terminal import AskedWrongly

if TYPE_CHECKING:
    from twofold.console.logins import Role

DEFAULT_PORT = 3001


def mount(app: typer.Typer, program: Program) -> None:
    """Add the commands to an application."""
    console = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.add_typer(console, name="console")

    @console.callback(invoke_without_command=True)
    def serve(
        context: typer.Context,
        *,
        store: Annotated[
            str | None, typer.Option(envvar="TWOFOLD_STORE", metavar="URL", help="The store: sqlite:///path.")
        ] = None,
        host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
        port: Annotated[
            int, typer.Option(min=0, max=65_535, metavar="NUMBER", help="The port to listen on.")
        ] = DEFAULT_PORT,
        logins: Annotated[
            str, typer.Option(envvar="TWOFOLD_CONSOLE_LOGINS", metavar="FILE", help="Who may log in.")
        ] = "",
    ) -> None:
        """Serve the console of any store until Ctrl-C.

        On loopback whoever is on this machine may use it; elsewhere it needs a file of logins. Without the
        application's code (`twofold --app shop.app:MODEL console`) it folds nothing.
        """
        if context.invoked_subcommand is not None:
            return
        if store is None:
            raise AskedWrongly("say which store with --store URL")
        from twofold.console.alone import serve_alone

        asyncio.run(serve_alone(program, store, host=host, port=port, logins=logins))

    @console.command("hash-password")
    def hash_password(
        *,
        name: Annotated[str, typer.Argument(metavar="NAME", help="Who is to log in.")],
        role: Annotated[str, typer.Option(metavar="ROLE", help="see, payloads or operate.")] = "see",
    ) -> None:
        """Print a line for the file of logins.

        The password is asked for, or read from standard input.
        """
        from twofold.console.logins import check_name, new_login

        check_name(name)  # before a password is asked for
        may = _role(role)
        asked = sys.stdin.isatty()
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True) if asked else _read()
        if not password:
            raise AskedWrongly("the password must not be empty")
        typer.echo(new_login(name, may, password).line())


def _read() -> str:
    return sys.stdin.readline().rstrip("\n")


def _role(word: str) -> Role:
    from twofold.console.logins import Role

    if word.upper() not in Role.__members__:
        raise AskedWrongly(f"a role is one of {', '.join(role.name.lower() for role in Role)}, not {word}")
    return Role[word.upper()]
