"""A store's file as a whole: copied while others write it, and put in the place of another."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from twofold.errors import StoreRefused
from twofold.stores.sqlite.driver import Connection, translated

OnPages = Callable[[int, int], None]
"""Told how many pages of the file are done, of how many."""

BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a file


def copy_file(source: str, target: str, on_pages: OnPages) -> None:
    """Copy a store's file as it is at one moment, with all that is in it; nobody who writes it has to wait.

    The target must not be there. Raises StoreRefused and what a store raises of its own troubles.
    """
    with translated(), closing(Connection.open(source, read_only=True)) as connection:
        connection.copy_to(target, on_pages)


def give_new_id(path: str) -> None:
    """Make the log in a file another one: positions that come are not those that came in the log it was copied from."""
    with translated(), closing(Connection.open(path)) as connection, connection.transaction():
        connection.run("update log set id = randomblob(16)")


def put_in_place(new: str, old: str) -> None:
    """Give a file that nobody has open the name of another, on stable storage before this returns.

    The other may be missing, or be a store that nobody has open. Raises StoreRefused.
    """
    if Path(old).exists():
        with translated(), closing(Connection.open(old)) as connection:
            if not connection.is_alone():
                raise StoreRefused(f"a process has {old} open: stop it first")
    for ending in BESIDE:
        Path(old + ending).unlink(missing_ok=True)
    with open(new, "rb") as file:
        os.fsync(file.fileno())
    os.replace(new, old)
    folder = os.open(Path(old).parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove(path: str) -> None:
    """Remove a file that is not wanted, with all beside it, if it is there."""
    for ending in ("", *BESIDE):
        Path(path + ending).unlink(missing_ok=True)
