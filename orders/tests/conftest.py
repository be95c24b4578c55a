"""What the tests of the order service share: the service itself, on each kind of store."""

import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from hypothesis import settings

import browsers
from orders.app import OrderService, open_service
from twofold import Command, CommandBus, Metadata, Receipt
from twofold.messages import R

pytest.register_assert_rewrite("twofold.testing")  # a failed check shows what it compared

# Only after that, or pytest could not rewrite them.
from servers import Server, start  # noqa: E402 - see above
from twofold.testing import fixtures  # noqa: E402 - see above
from twofold.testing.postgres import PostgresServer  # noqa: E402 - see above

# A slow machine is no fault of the code: nothing here is a timed test.
settings.register_profile("twofold", deadline=None)
settings.load_profile("twofold")

own_postgres, postgres_server, postgres_url = fixtures.own_postgres, fixtures.postgres_server, fixtures.postgres_url
chromium, open_window, window = browsers.chromium, browsers.open_window, browsers.window


STORES = ("memory", "sqlite", "postgres")


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is empty."""
    match request.param:
        case "memory":
            return "memory:"
        case "sqlite":
            return f"sqlite:///{tmp_path / 'orders.db'}"
        case _:
            found: str = request.getfixturevalue("postgres_url")
            return found


@pytest.fixture
async def service(url: str) -> AsyncGenerator[OrderService]:
    """The service, open on an empty store. Who executes a command reads what it wrote, as a client of HTTP does."""
    async with open_service(url) as opened:
        yield replace(opened, commands=PatientBus(opened))


class PatientBus(CommandBus):
    """The service's own bus, which waits after each command until the views have it."""

    def __init__(self, service: OrderService) -> None:
        self.__dict__.update(vars(service.commands))
        self._service = service

    async def execute(self, command: Command[R], metadata: Metadata | None = None) -> R:
        """See CommandBus.execute."""
        answer = await self._service.commands.execute(command, metadata)
        if isinstance(answer, Receipt):
            await self._service.watermarks.wait(self._service.views.all, answer.position, 10)
        return answer


# --- the service in a process of its own ----------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shared_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """One running service for the tests of a file, which tell their orders apart by customer."""
    folder = tmp_path_factory.mktemp("service")
    with ExitStack() as stack:
        if request.param == "sqlite":
            store = f"sqlite:///{folder / 'orders.db'}"
        else:
            postgres: PostgresServer = request.getfixturevalue("postgres_server")
            store = stack.enter_context(postgres.database())
        yield stack.enter_context(start(store, folder / "service.log"))


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
