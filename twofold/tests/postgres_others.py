"""What others do in the same database, for the tests of the PostgreSQL store: they hold locks, and look around."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from twofold.sql import Row
from twofold.stores.postgres.driver import Connection
from twofold.stores.postgres.limits import MOMENT
from twofold.stores.postgres.rows import LOCK
from twofold.stores.postgres.schema import Log, prepare


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[Connection]:
    connection = await Connection.open(url, MOMENT)
    try:
        yield connection
    finally:
        await connection.close()


async def log_of(url: str) -> Log:
    async with connected(url) as connection:
        return await prepare(connection)


@asynccontextmanager
async def open_transaction(url: str, *statements: tuple[str, Sequence[object]]) -> AsyncGenerator[None]:
    """Somebody has begun a transaction, run this, and gone to lunch."""
    async with connected(url) as connection:
        await connection.run("begin")
        for statement, parameters in statements:
            await connection.rows(statement, parameters)
        yield
        await connection.run("rollback")


@asynccontextmanager
async def held(url: str) -> AsyncGenerator[None]:
    """Another process is in the middle of an append, so that whatever is asked meanwhile becomes one group."""
    async with open_transaction(url, (LOCK, ((await log_of(url)).lock,))):
        yield


async def ask(url: str, statement: str, *parameters: object) -> list[Row]:
    async with connected(url) as connection:
        return await connection.rows(statement, parameters)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what must come about."""
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - the server is asked, and has no event to wait for
            await asyncio.sleep(0.01)
