"""How far the log goes, and how far each fold has come in it."""

from __future__ import annotations

from twofold.stores.sqlite.driver import Connection


def head(connection: Connection) -> int:
    """The position of the last event; 0 in an empty log."""
    position: int = connection.get("select coalesce(max(position), 0) from event")
    return position


def checkpoint(connection: Connection, name: str) -> int | None:
    """The position that the fold has reached; None if it never ran."""
    position: int | None = connection.get("select position from checkpoint where name = ?", (name,))
    return position


def save_checkpoint(connection: Connection, name: str, position: int) -> None:
    """Note the position that the fold has reached."""
    connection.run("insert or replace into checkpoint (name, position) values (?, ?)", (name, position))
