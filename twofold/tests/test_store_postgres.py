"""The PostgreSQL store keeps the store contract."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from pathlib import Path

import pytest

from twofold.store import Store
from twofold.stores.postgres import PostgresStore
from twofold.testing.contract import StoreContract
from twofold.testing.postgres import PostgresServer


class TestPostgresStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _server(self, postgres_server: PostgresServer, postgres_url: str) -> None:
        self._postgres, self._url = postgres_server, postgres_url

    def open(self, place: Path) -> AbstractAsyncContextManager[Store]:
        """A place is a schema of the test's database."""
        schema = f"place_{sha256(str(place).encode()).hexdigest()[:16]}"
        self._postgres.execute(f"create schema if not exists {schema}", url=self._url)
        return PostgresStore(f"{self._url}?search_path={schema}")
