"""The store in memory keeps the store contract."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from twofold.errors import StoreRefused
from twofold.store import Store
from twofold.stores.memory import MemoryStore
from twofold.testing.contract import StoreContract
from twofold.testing.contract_base import several


class TestMemoryStore(StoreContract):
    durable = False
    shared = False

    def open(self, place: Path) -> AbstractAsyncContextManager[Store]:
        return MemoryStore()


async def test_a_store_that_is_open_cannot_be_opened_again() -> None:
    store = MemoryStore()
    async with store:
        await store.append("order-1", several(1), expected=0)
        with pytest.raises(StoreRefused, match="open already"):
            await store.__aenter__()
        assert await store.head() == 1
