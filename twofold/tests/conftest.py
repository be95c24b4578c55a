"""What all tests of the framework share: a store to test upon, once for each kind."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from hypothesis import settings

from twofold.connect import connect
from twofold.store import Store

pytest.register_assert_rewrite("twofold.testing")  # a failed check shows what it compared

# Only after that, or pytest could not rewrite them.
from terminals import terminal  # noqa: E402 - see above
from twofold.testing import fixtures  # noqa: E402 - see above

__all__ = ["terminal"]

# A slow machine is no fault of the code: nothing here is a timed test.
settings.register_profile("twofold", deadline=None)
settings.load_profile("twofold")

own_postgres, postgres_server, postgres_url = fixtures.own_postgres, fixtures.postgres_server, fixtures.postgres_url


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
