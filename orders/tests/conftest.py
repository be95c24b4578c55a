"""What the tests of the order service share: the service itself, on each kind of store."""

import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx
import pytest

from orders.app import OrderService, open_service
from servers import Server, start


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is empty."""
    return "memory:" if request.param == "memory" else f"sqlite:///{tmp_path / 'orders.db'}"


@pytest.fixture
async def service(url: str) -> AsyncGenerator[OrderService]:
    """The service, open on an empty store."""
    async with open_service(url) as opened:
        yield opened


# --- the service in a process of its own ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """One running service for the tests of a file, which tell their orders apart by customer."""
    folder = tmp_path_factory.mktemp("service")
    with start(f"sqlite:///{folder / 'orders.db'}", folder / "service.log") as running:
        yield running


@pytest.fixture
def server(shared_server: Server) -> Generator[Server]:
    """The running service; where a test fails, pytest shows what the service printed meanwhile."""
    before = len(shared_server.output)
    yield shared_server
    sys.stderr.write(shared_server.output[before:])


@pytest.fixture(scope="module")
def shared_client(shared_server: Server) -> Generator[httpx.Client]:
    """One client for the tests of a file: to make one takes longer than most tests."""
    with httpx.Client(base_url=shared_server.url, timeout=30) as client:
        yield client


@pytest.fixture
def http(server: Server, shared_client: httpx.Client) -> httpx.Client:
    """A client of the running service."""
    assert server.process.poll() is None, "the service has ended"
    return shared_client
