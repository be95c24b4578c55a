"""A URL becomes a running store. The only file that imports the backends."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from stat import S_ISREG

from twofold.errors import StoreRefused
from twofold.store import Store

SMALLEST = 512  # bytes of a SQLite database: one page. A file of none, and one of one byte, are a new database to it

KINDS = "memory:, sqlite:///path, postgresql://user@host:port/database"


@asynccontextmanager
async def connect(url: str, *, create: bool = True) -> AsyncGenerator[Store]:
    """Open the store that the URL names, and close it at the end.

    - `memory:` keeps all in memory and forgets it.
    - `sqlite:///orders.db` is a file beside the working directory, `sqlite:////var/lib/orders.db` one anywhere.
    - `postgresql://user@host:port/database` is a database that is there; `postgres://` says the same. It needs asyncpg
      (`pip install 'twofold[postgres]'`).

    A store that is not there yet is made, unless `create` is off: who only looks must not leave an empty file behind,
    nor make a store of a file that is none.
    Raises StoreRefused for a URL that means nothing here and for a file that is missing or cannot be used.
    """
    scheme, _, rest = url.partition(":")
    match scheme:
        case "memory" if not rest:
            if not create:
                raise StoreRefused("memory: keeps nothing from one process to the next; name a store that does")
            from twofold.stores.memory import MemoryStore  # imported on demand: who uses one needs no other

            async with MemoryStore() as memory:
                yield memory
        case "sqlite" if rest.startswith("///") and len(rest) > len("///"):
            from twofold.stores.sqlite import SqliteStore

            path = rest.removeprefix("///")
            if not create:
                _must_exist(path)
            async with SqliteStore(path) as sqlite:
                yield sqlite
        case "postgresql" | "postgres" if rest.startswith("//"):
            try:
                from twofold.stores.postgres import PostgresStore
            except ModuleNotFoundError as error:
                if error.name != "asyncpg":
                    raise
                raise StoreRefused("PostgreSQL needs asyncpg: pip install 'twofold[postgres]'") from error

            async with PostgresStore(url, create=create) as postgres:
                yield postgres
        case _:
            raise StoreRefused(f"no store has the URL {url!r}; there are: {KINDS}")


def _must_exist(path: str) -> None:
    """Refuse what SQLite would make a database of; it refuses the rest itself, by the file's header.

    The file is asked for its size and not read: closing a file drops every lock that this process has on it, those of
    a store that is open on it too.
    """
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:  # ValueError: no path has a NUL in it
        raise StoreRefused(f"there is no store at {path}") from error
    if not S_ISREG(status.st_mode):
        raise StoreRefused(f"there is no store at {path}")
    if status.st_size < SMALLEST:
        raise StoreRefused(f"{path} is not a SQLite file")
