"""The embedded default: log, views and answers in one SQLite file."""

from twofold.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
