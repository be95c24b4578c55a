"""What all tests of the framework share: a store to test upon, once for each kind."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from twofold.connect import connect
from twofold.store import Store

pytest.register_assert_rewrite("twofold.testing")  # a failed check shows what it compared


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Store]:
    """An open and empty store."""
    url = "memory:" if request.param == "memory" else f"sqlite:///{tmp_path / 'store.db'}"
    async with connect(url) as opened:
        yield opened
