"""All views at one moment: a read transaction, on a connection and a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager

from twofold.sql import Fetch, Row
from twofold.stores.sqlite.checkpoints import checkpoint, head
from twofold.stores.sqlite.driver import Connection, translated


@asynccontextmanager
async def moment_of(path: str) -> AsyncGenerator[SqliteMoment]:
    """This moment of the file."""
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="twofold-sqlite-moment")
    opened = ExitStack()  # the thread's: to open may wait for another process, and goes on if we are cancelled

    def begin() -> Connection:
        connection = Connection.open(path, read_only=True)
        opened.callback(connection.close)
        connection.run("begin")
        head(connection)  # it is the first read that fixes what the transaction sees
        return connection

    try:
        with translated():
            connection = await asyncio.get_running_loop().run_in_executor(thread, begin)
        yield SqliteMoment(connection, thread)
    finally:
        thread.submit(opened.close)  # after what still runs there although its caller has gone
        await asyncio.to_thread(thread.shutdown)


class SqliteMoment:
    """A `Moment`: a read transaction, whose reads run one after the other on a thread."""

    def __init__(self, connection: Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread

    async def checkpoint(self, name: str) -> int | None:
        """See Moment.checkpoint."""
        with translated():
            return await asyncio.get_running_loop().run_in_executor(self._thread, checkpoint, self._connection, name)

    async def scan(self, query: Fetch) -> list[Row]:
        """See Moment.scan."""
        with translated():
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.rows, *query)
