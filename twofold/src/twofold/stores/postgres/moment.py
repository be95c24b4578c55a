"""All views at one moment: a transaction that sees what was committed when it began, and nothing since."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from twofold.errors import StatementFailed, StoreUnavailable
from twofold.sql import Fetch, Row
from twofold.stores.postgres import rows as sql
from twofold.stores.postgres.driver import Connection
from twofold.stores.postgres.limits import MOMENT
from twofold.stores.postgres.pool import opened

# Names are looked up as they are now, and rows are seen as they were: in a table that was put in another's place since,
# there are none, or some. What was read is locked, and keeps its name; so this tells whether it had that name then.
RENAMED = """
    select lock.relation::regclass::text from pg_locks as lock left join pg_class as seen on seen.oid = lock.relation
    where lock.pid = pg_backend_pid() and lock.locktype = 'relation'
    and quote_ident(seen.relname) is distinct from lock.relation::regclass::text
    limit 1
"""


@asynccontextmanager
async def moment_of(url: str) -> AsyncGenerator[PostgresMoment]:
    """This moment, on a connection of its own."""
    connection = await opened(url, MOMENT)
    try:
        await connection.run("begin isolation level repeatable read read only")
        await connection.rows("select 1")  # it is the first read that fixes what the transaction sees
        await connection.run(f"savepoint {PostgresMoment.START}")
        yield PostgresMoment(connection)
    finally:
        await connection.close()


class PostgresMoment:
    """A `Moment`: a read transaction, whose reads run one after the other."""

    START = "start"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()

    async def checkpoint(self, name: str) -> int | None:
        """See Moment.checkpoint."""
        rows = await self.scan(Fetch(sql.CHECKPOINT, (name,)))
        return int(rows[0][0]) if rows else None

    async def scan(self, query: Fetch) -> list[Row]:
        """See Moment.scan. Raises StoreUnavailable where a table has taken the place of another since."""
        async with self._turn:
            try:
                rows = await self._connection.rows(query.sql, query.parameters)
                if await self._connection.rows(RENAMED):
                    raise StoreUnavailable("a view was swapped after this moment had begun: begin another")
                return rows
            except StatementFailed:  # else the transaction would be over
                await self._connection.run(f"rollback to {self.START}")
                raise
