"""What all tests of the framework share: a store to test upon, once for each kind."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from hypothesis import settings

from twofold.connect import connect
from twofold.store import Store

pytest.register_assert_rewrite("twofold.testing")  # a failed check shows what it compared

# Only after that, or pytest could not rewrite them.
from twofold.testing.postgres import VARIABLE, PostgresServer, PostgresUnavailable, start_postgres  # noqa: E402

# A slow machine is no fault of the code: nothing here is a timed test.
settings.register_profile("twofold", deadline=None)
settings.load_profile("twofold")


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store."""
    match request.param:
        case "memory":
            return "memory:"
        case "sqlite":
            return f"sqlite:///{tmp_path / 'store.db'}"
        case _:
            found: str = request.getfixturevalue("postgres_url")
            return found


@pytest.fixture
async def store(store_url: str) -> AsyncGenerator[Store]:
    """An open and empty store."""
    async with connect(store_url) as opened:
        yield opened


# --- a PostgreSQL server ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_server() -> Generator[PostgresServer]:
    """A server for all tests, which nobody stops; what asks for it is skipped where there is none."""
    try:
        server = start_postgres()
    except PostgresUnavailable as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Generator[str]:
    """The URL of an empty database."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def own_postgres() -> Generator[PostgresServer]:
    """A server that a test may stop and kill. It leaves it running."""
    try:
        server = start_postgres()
    except PostgresUnavailable as error:
        pytest.skip(str(error))
    with server:
        if server.elsewhere:
            pytest.skip(f"{VARIABLE} names a server that is not ours to stop")
        yield server
