"""A URL becomes a running store. The only file that imports the backends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
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
            meant = re.sub("^sqlite:/*", "", url)
            hint = f"; for a file it is sqlite:///{meant}" if meant and ":" not in meant else ""
            raise StoreRefused(f"no store has the URL {url!r}; there are: {KINDS}{hint}")


def file_of(url: str) -> str | None:
    """The file in which the store that the URL names is kept whole; None where it is kept in no file of ours."""
    scheme, _, rest = url.partition(":")
    return rest.removeprefix("///") if scheme == "sqlite" and rest.startswith("///") else None


async def copy_file(source: str, target: str, on_pages: Callable[[int, int], None]) -> None:
    """Copy a store's file as it is at one moment, with its views and all else; who writes it need not wait.

    The target must not be there. `on_pages` is told how many pages are done, of how many. Raises StoreRefused.
    """
    from twofold.stores.sqlite import files

    _must_exist(source)
    await asyncio.to_thread(files.copy_file, source, target, on_pages)


async def put_in_place(new: str, old: str, *, renewed: bool = False) -> None:
    """Give a store's file the name of another, on stable storage before this returns; the other may be missing.

    With `renewed` its log gets an id of its own: it will not go on as the one that it was copied from. Raises
    StoreRefused where the other is no store, or a process has it open.
    """
    from twofold.stores.sqlite import files

    if renewed:
        await asyncio.to_thread(files.give_new_id, new)
    await asyncio.to_thread(files.put_in_place, new, old)


async def remove_file(path: str) -> None:
    """Remove a store's file, with all that is kept beside it, if it is there."""
    from twofold.stores.sqlite import files

    await asyncio.to_thread(files.remove, path)


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
