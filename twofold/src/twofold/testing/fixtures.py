"""pytest fixtures that give tests a real PostgreSQL. Import them in a conftest.py to use them.

What asks for a server is skipped where there is none, with the reason.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import pytest

from twofold.testing.postgres import VARIABLE, PostgresServer, PostgresUnavailable, start_postgres

__all__ = ["own_postgres", "postgres_server", "postgres_url"]


@contextmanager
def _started() -> Generator[PostgresServer]:
    try:
        server = start_postgres()
    except PostgresUnavailable as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Generator[PostgresServer]:
    """A server for all tests, which nobody stops."""
    with _started() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Generator[str]:
    """The URL of an empty database."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def own_postgres() -> Generator[PostgresServer]:
    """A server that a test may stop and kill. It leaves it running."""
    with _started() as server:
        if server.elsewhere:
            pytest.skip(f"{VARIABLE} names a server that is not ours to stop")
        yield server
