"""What a PostgreSQL store makes of a database on opening it, and what it refuses."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from postgres_others import ask, connected, until
from twofold.connect import connect
from twofold.errors import StoreRefused, StoreUnavailable
from twofold.messages import Metadata, ids_of
from twofold.parked import Parked
from twofold.sql import Fetch
from twofold.stores.postgres import PostgresStore, driver, schema
from twofold.stores.postgres.driver import Connection
from twofold.stores.postgres.limits import Limits
from twofold.stores.postgres.rows import LOOKING_BACK
from twofold.stores.rows import row_of
from twofold.testing.contract_adoption import adoptable
from twofold.testing.contract_base import happened, said, several, whole
from twofold.testing.postgres import PostgresServer, start_postgres


async def test_a_url_names_it(postgres_url: str) -> None:
    async with connect(postgres_url) as store:
        await store.append("order-1", several(1), expected=0)
    async with connect(postgres_url.replace("postgresql:", "postgres:"), create=False) as store:
        assert len(await whole(store)) == 1


async def test_many_that_open_it_at_once_make_it_once(postgres_url: str) -> None:
    stores = [PostgresStore(postgres_url) for _ in range(8)]
    await asyncio.gather(*(store.__aenter__() for store in stores))
    assert len({store.id for store in stores}) == 1
    for number, store in enumerate(stores):
        await store.append("order-1", several(1), expected=number)
    await asyncio.gather(*(store.__aexit__(None, None, None) for store in stores))
    assert await ask(postgres_url, "select count(*) from log") == [(1,)]


async def test_two_schemas_of_one_database_are_two_logs(postgres_url: str) -> None:
    await ask(postgres_url, 'create schema "a ""quoted"" one"')
    quoted = f"{postgres_url}?search_path=%22a%20%22%22quoted%22%22%20one%22"
    async with PostgresStore(postgres_url) as one, PostgresStore(quoted) as other:
        await one.append("order-1", several(1), expected=0)
        await other.append("order-1", several(2), expected=0)
        assert (len(await whole(one)), len(await whole(other))) == (1, 2)


async def test_a_database_without_a_store_is_not_made_one_by_who_only_looks(postgres_url: str) -> None:
    with pytest.raises(StoreRefused, match="there is no store"):
        async with connect(postgres_url, create=False):
            pass
    assert await ask(postgres_url, "select count(*) from pg_class where relname = 'event'") == [(0,)]


async def test_tables_of_another_application_are_left_alone(postgres_url: str) -> None:
    await ask(postgres_url, "create table event (number integer)")
    with pytest.raises(StoreRefused, match="tables of another application: event"):
        await PostgresStore(postgres_url).__aenter__()
    assert await ask(postgres_url, "select count(*) from pg_class where relname = 'log'") == [(0,)]


async def test_a_newer_schema_is_refused(postgres_url: str) -> None:
    async with PostgresStore(postgres_url):
        await ask(postgres_url, "update twofold_schema set version = 99")
    with pytest.raises(StoreRefused, match="version 99"):
        await PostgresStore(postgres_url).__aenter__()


async def test_a_script_that_fails_leaves_nothing(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "SCHEMAS", (("schema.sql",), ("schema_2.sql", "append.sql", "schema.sql")))
    with pytest.raises(StoreRefused, match="cannot be made"):
        await PostgresStore(postgres_url).__aenter__()
    monkeypatch.undo()
    async with PostgresStore(postgres_url) as store:
        await store.append("order-1", several(1), expected=0)


async def test_a_store_of_the_first_schema_is_brought_up_to_date_while_others_append_to_it(postgres_url: str) -> None:
    """Processes of the old code go on with the function that they know."""
    outer = said()
    caused, ids = outer.caused(), ids_of(outer.message_id, "order-1")
    old = (Path(__file__).parent / "append_1.sql").read_text("utf-8")
    call = f"select fate from twofold_append({', '.join(f'${n}' for n in range(1, 17))})"  # noqa: S608 - places only

    async def append(connection: Connection, version: int, metadata: Metadata, id: UUID) -> None:
        event = adoptable("order-1", version, 0, metadata=metadata)
        row = row_of(replace(event, id_bytes=id.bytes))
        columns = [[value] for value in (*row[4:8], row[9])]
        asked = [["order-1"], [version - 1], [1], [False], [None], [None]]
        assert await connection.rows(call, (7, row[8], *asked, [1], [1], [id], *columns)) == [("stored",)]

    async with connected(postgres_url) as connection:
        for script in (schema.text_of("schema.sql"), old):
            await connection.run(script)
        await append(connection, 1, outer, next(ids))
        await append(connection, 2, caused, uuid7())
        await append(connection, 3, said(), uuid7())
        async with PostgresStore(postgres_url) as store:
            assert [event.version async for event in store.correlated(outer.correlation_id)] == [1, 2]
            await append(connection, 4, outer, next(ids))
            await store.append("order-1", [happened(metadata=caused)], expected=4)
            await append(connection, 5 + 1, said(), uuid7())
            assert [event.version async for event in store.correlated(outer.correlation_id)] == [1, 2, 4, 5]
            assert [event.version for event in await whole(store)] == [1, 2, 3, 4, 5, 6]
    assert await ask(postgres_url, "select version from twofold_schema") == [(3,)]


async def test_running_processes_of_the_code_before_go_on_parking(postgres_url: str) -> None:
    """What they park has no trace."""
    park = (
        "insert into parked (name, sequence, position, partition, attempts, error, parked_at, overtaken)"
        " values ('seen', $1, $2, 0, 1, 'why', 0, 0)"
    )
    async with connected(postgres_url) as old:
        for scripts in schema.SCHEMAS[:2]:
            for script in scripts:
                await old.run(schema.text_of(script))
        await old.run("update twofold_schema set version = 2")
        await old.rows(park, ("a", 1))
        async with PostgresStore(postgres_url) as store:
            await old.rows(park, ("b", 2))
            letters = await Parked(store).letters("seen")
    assert [(letter.position, letter.trace) for letter in letters] == [(1, None), (2, None)]
    assert await ask(postgres_url, "select version from twofold_schema") == [(3,)]


async def test_a_script_may_take_longer_than_any_other_statement(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log of millions of events is not brought up to date within the time that a statement has."""
    right = schema.text_of

    def text_of(script: str) -> str:
        return right(script) + ("; select pg_sleep(2.5)" if script == "schema_2.sql" else "")

    monkeypatch.setattr(schema, "text_of", text_of)
    monkeypatch.setattr(driver, "SILENCE_SECONDS", 0.0)
    connection = await Connection.open(postgres_url, Limits(seconds=2.0))
    await schema.prepare(connection)
    await connection.close()
    assert await ask(postgres_url, "select version from twofold_schema") == [(len(schema.SCHEMAS),)]


@pytest.mark.parametrize("statement", LOOKING_BACK, ids=LOOKING_BACK._fields)
async def test_looking_back_never_looks_at_the_whole_log(postgres_url: str, statement: str) -> None:
    """Not even by a plan that is made before the parameters are known."""
    async with PostgresStore(postgres_url) as store:
        for _ in range(5):
            await store.append("order-1", several(1000), expected=None)
        async with connected(postgres_url) as connection:
            await connection.run("analyze event")
            await connection.run("set plan_cache_mode = force_generic_plan")
            await connection.run(f"prepare looking as {statement}")
            count = max(int(number) for number in re.findall(r"\$(\d)", statement))
            explain = f"explain execute looking ({', '.join(['null'] * count)})"
            plan = "\n".join(row[0] for row in await connection.rows(explain))
    assert "Seq Scan" not in plan, plan
    assert "Index" in plan


@pytest.mark.parametrize("setting", ["synchronous_commit=off", "synchronous_commit=local"])
async def test_a_url_that_risks_what_is_acknowledged_is_refused(postgres_url: str, setting: str) -> None:
    with pytest.raises(StoreRefused, match="could be lost"):
        await PostgresStore(f"{postgres_url}?{setting}").__aenter__()


async def test_so_is_a_database_that_does(postgres_server: PostgresServer, postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    postgres_server.execute(f"alter database {name} set synchronous_commit = off")
    with pytest.raises(StoreRefused, match="synchronous_commit = off"):
        await PostgresStore(postgres_url).__aenter__()
    postgres_server.execute(f"alter database {name} set synchronous_commit = remote_apply")
    async with PostgresStore(postgres_url) as store:
        await store.append("order-1", several(1), expected=0)


async def test_settings_of_a_database_change_nothing(postgres_url: str) -> None:
    """Each of these would make appends wrong, or stop them."""
    name = postgres_url.rpartition("/")[2]
    for setting in (
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = on",
        "statement_timeout = 300",
        "lock_timeout = 1",
        "client_encoding = 'LATIN1'",
        "bytea_output = 'escape'",
        "DateStyle = 'German'",
        "search_path = public",
    ):
        await ask(postgres_url, f"alter database {name} set {setting}")
    async with PostgresStore(postgres_url) as store, PostgresStore(postgres_url) as other:
        appends = (
            opened.append("\u5bff-\u00e9", several(1), expected=None) for opened in (store, other) for _ in range(20)
        )
        await asyncio.gather(*appends, store.rows(Fetch("select pg_sleep(0.4)")))
        assert [recorded.version for recorded in await whole(store)] == list(range(1, 41))


async def test_a_server_that_does_not_sync_is_refused() -> None:
    unsafe = {"fsync": "off"}
    with (
        start_postgres(settings=unsafe) as server,
        server.database() as url,
        pytest.raises(StoreRefused, match="fsync = off"),
    ):
        await PostgresStore(url).__aenter__()


async def test_a_database_of_another_encoding_is_refused(postgres_server: PostgresServer) -> None:
    postgres_server.execute("create database latin encoding 'LATIN1' locale 'C' template template0")
    try:
        with pytest.raises(StoreRefused, match="LATIN1"):
            await PostgresStore(postgres_server.url("latin")).__aenter__()
    finally:
        postgres_server.drop_database(postgres_server.url("latin"))


async def test_what_the_server_does_not_have_is_refused(postgres_server: PostgresServer, postgres_url: str) -> None:
    with pytest.raises(StoreRefused, match="nowhere"):
        await PostgresStore(postgres_server.url("nowhere")).__aenter__()
    with pytest.raises(StoreRefused, match="search path"):
        await PostgresStore(f"{postgres_url}?search_path=nowhere").__aenter__()


@pytest.mark.parametrize("url", ["postgresql://", "postgresql://:x", "postgresql://host:port/name", "postgresql:/name"])
async def test_a_url_that_says_nothing_reaches_nobody(url: str) -> None:
    with pytest.raises((StoreRefused, StoreUnavailable)):
        async with connect(url):
            pass


async def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await PostgresStore("postgresql://somebody@127.0.0.1:9/orders").__aenter__()


async def test_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("twofold.stores.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StoreRefused, match=r"pip install 'twofold\[postgres\]'"):
        async with connect("postgresql://somebody@127.0.0.1:9/orders"):
            pass


async def test_one_object_is_opened_once(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:
        with pytest.raises(StoreRefused, match="open already"):
            await store.__aenter__()
        await store.append("order-1", several(1), expected=0)


async def test_closing_leaves_no_connection(postgres_url: str) -> None:
    for _ in range(3):
        async with PostgresStore(postgres_url) as store:
            await asyncio.gather(*(store.append(f"order-{n}", several(1), expected=None) for n in range(20)))
            await asyncio.gather(*(store.head() for _ in range(20)))
    count = """
        select count(*) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
    """

    async def nobody_is_there() -> bool:
        return await ask(postgres_url, count) == [(0,)]

    await until(nobody_is_there)
