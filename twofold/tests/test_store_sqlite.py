"""The SQLite store keeps the store contract."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from twofold.store import Store
from twofold.stores.sqlite import SqliteStore
from twofold.testing.contract import StoreContract


class TestSqliteStore(StoreContract):
    def open(self, place: Path) -> AbstractAsyncContextManager[Store]:
        return SqliteStore(place / "store.db")
