"""The store in memory keeps the store contract."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from twofold.store import Store
from twofold.stores.memory import MemoryStore
from twofold.testing.contract import StoreContract


class TestMemoryStore(StoreContract):
    durable = False
    shared = False

    def open(self, place: Path) -> AbstractAsyncContextManager[Store]:
        return MemoryStore()
