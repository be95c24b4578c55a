"""The tables of a store: made where there are none, brought up to date, refused where they are another's."""

from __future__ import annotations

import re
from importlib import resources
from typing import NamedTuple
from uuid import UUID

from twofold.errors import StatementFailed, StoreRefused
from twofold.stores.postgres.driver import Connection
from twofold.stores.postgres.rows import LOCK

SCHEMAS = (("schema.sql",), ("schema_2.sql", "append.sql"), ("schema_3.sql",))  # the n-th bring it to version n
APPLICATION_ID = 0x2F01D  # parts our advisory locks from those of others in the same database


class Log(NamedTuple):
    """The log of a schema: its id, the key of the lock under which it grows, and the channel of its notifications."""

    id: UUID
    lock: int
    channel: str


async def prepare(connection: Connection, *, create: bool = True) -> Log:
    """Make or bring up to date the tables in the first schema of the search path; two processes may try at once.

    Raises StoreRefused if they are not there and `create` is off, are another's, or newer than this code.
    """
    if await _version(connection, create=create) < len(SCHEMAS):  # else nothing is written or locked
        try:
            async with connection.transaction():
                await connection.rows(LOCK, (APPLICATION_ID << 32,))
                for scripts in SCHEMAS[await _version(connection, create=create) :]:
                    for script in scripts:
                        await connection.run_script(text_of(script))
                await connection.run(f"update twofold_schema set version = {len(SCHEMAS)}")  # noqa: S608 - a number
        except StatementFailed as error:
            raise StoreRefused(f"the tables cannot be made: {error}") from error
    ((id, table),) = await connection.rows("select uuid_send(id), 'event'::regclass::oid::bigint from log")
    return Log(UUID(bytes=id), APPLICATION_ID << 32 | table, f"twofold_{table}")


async def _version(connection: Connection, *, create: bool) -> int:
    """The version of the tables that are there; 0 where there are none."""
    ((schema,),) = await connection.rows("select current_schema()::text")
    if schema is None:
        raise StoreRefused("the search path names no schema that is there")
    sql = """
        select relname::text from pg_class join pg_namespace on pg_namespace.oid = relnamespace
        where nspname = $1 and relname = any($2::text[])
    """
    ours = "".join(text_of(script) for scripts in SCHEMAS for script in scripts)
    names = re.findall(r"create table (\w+)", ours)
    there = {name for (name,) in await connection.rows(sql, (schema, names))}
    if "twofold_schema" not in there:
        if there:
            raise StoreRefused(f"the schema {schema} has tables of another application: {', '.join(sorted(there))}")
        if not create:
            raise StoreRefused(f"there is no store in the schema {schema} of this database")
        return 0
    ((version,),) = await connection.rows("select version from twofold_schema")
    found = int(version)
    if found > len(SCHEMAS):
        raise StoreRefused(f"the schema {schema} has version {found}; this code knows versions up to {len(SCHEMAS)}")
    return found


def text_of(script: str) -> str:
    """One of the scripts that stand beside this file."""
    return resources.files(__package__ or "").joinpath(script).read_text("utf-8")
