"""The PostgreSQL that tests are given: whose it is, what outlives its death, and that it does not outlive ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pytest

from twofold.testing.postgres import VARIABLE, PostgresServer, PostgresUnavailable, start_postgres
from twofold.testing.postgres_programs import find_programs

PATIENCE = 60.0

# Where there is none of our own, all of this is skipped.
pytestmark = pytest.mark.usefixtures("own_postgres")


@pytest.fixture
def folder() -> Generator[Path]:
    """A folder that the server can reach whoever it runs as; those of pytest are closed to others."""
    with tempfile.TemporaryDirectory(prefix="twofold-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def server(own_postgres: PostgresServer) -> PostgresServer:
    """A server that may be stopped; it runs when a test gets it."""
    return own_postgres


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s"
        time.sleep(0.02)


# --- what it is like --------------------------------------------------------------------------------------------------


def test_it_is_durable_and_of_this_machine_alone(server: PostgresServer) -> None:
    names = ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "unix_socket_directories")
    assert [server.execute(f"show {name}") for name in names] == [
        [("on",)],
        [("on",)],
        [("on",)],
        [("127.0.0.1",)],
        [("",)],
    ]


def test_it_does_not_run_as_root(server: PostgresServer) -> None:
    [(folder,)] = server.execute("show data_directory")
    assert Path(str(folder)).stat().st_uid != 0  # a server refuses data that are not its own


def test_a_database_is_empty_and_speaks_unicode(postgres_server: PostgresServer, postgres_url: str) -> None:
    assert postgres_server.execute("select from pg_tables where schemaname = 'public'", url=postgres_url) == []
    assert postgres_server.execute("show server_encoding", url=postgres_url) == [("UTF8",)]


def test_databases_are_apart_and_are_dropped(server: PostgresServer) -> None:
    with server.database() as one, server.database() as other:
        server.execute("create table thing (id int)", url=one)
        assert server.execute("select to_regclass('thing')", url=other) == [(None,)]
    left = "select from pg_database where datname like 'twofold%'"
    assert server.execute(left) == []


def test_settings_are_the_servers(folder: Path) -> None:
    with start_postgres(folder / "data", settings={"max_connections": "17"}) as server:
        assert server.execute("show max_connections") == [("17",)]


def test_it_runs_where_others_may_not_read_the_programs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = folder / "hidden"
    hidden.mkdir(mode=0o700)
    (hidden / "postgres").symlink_to(find_programs().folder.parent)
    monkeypatch.setenv(VARIABLE, str(hidden / "postgres" / "bin"))
    with start_postgres() as server:
        assert server.execute("select 1") == [(1,)]


def test_an_old_one_is_refused(folder: Path) -> None:
    for name in ("initdb", "postgres"):
        (folder / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 13.4'\n")
        (folder / name).chmod(0o755)
    with pytest.raises(PostgresUnavailable, match="14 or newer is needed, found: 13 in"):
        find_programs(folder)


def test_one_that_was_named_is_not_ours_to_stop(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, server.url("postgres") + "?application_name=named")
    with start_postgres() as named:
        assert named.elsewhere
        with named.database() as url:
            assert named.execute("show application_name", url=url) == [("named",)]
        for forbidden in (named.stop, named.kill, named.restart, named.start):
            with pytest.raises(PostgresUnavailable, match=f"{VARIABLE} names a server"):
                forbidden()
    assert server.execute("select 1") == [(1,)]


# --- its death --------------------------------------------------------------------------------------------------------


def test_what_was_committed_is_there_after_a_kill_and_a_restart(server: PostgresServer) -> None:
    with server.database() as url:
        server.execute("create table kept (number serial)", url=url)
        for number in range(5):
            server.execute("insert into kept default values returning number", url=url)
            before = server.pid
            (server.kill, server.stop)[number % 2]()
            assert not is_alive(before)
            server.start()
            assert server.pid != before
        assert server.execute("select count(*) from kept", url=url) == [(5,)]
    assert "was not properly shut down; automatic recovery" in server.log


def test_it_ends_with_the_process_that_started_it() -> None:
    program = (
        "import json, time; from twofold.testing.postgres import start_postgres; server = start_postgres();"
        "print(json.dumps([server.pid, server.execute('show data_directory')]), flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid, [[data]] = json.loads(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    wait_until(lambda: not is_alive(pid))
    wait_until(lambda: not Path(data).parent.exists())


# --- beside a command -------------------------------------------------------------------------------------------------


def beside(folder: Path, *command: str) -> Sequence[str]:
    return (sys.executable, "-m", "twofold.testing.postgres", str(folder / "kept"), "--", sys.executable, *command)


def test_a_command_finds_what_the_one_before_it_left(folder: Path) -> None:
    program = (
        "import asyncio, asyncpg, os, sys\n"
        "async def main():\n"
        "    connection = await asyncpg.connect(os.environ['TWOFOLD_STORE'])\n"
        "    await connection.execute('create table if not exists run (number serial)')\n"
        "    await connection.execute('insert into run default values')\n"
        "    count = await connection.fetchval('select count(*) from run')\n"
        "    await connection.close()\n"
        "    return count\n"
        "sys.exit(asyncio.run(main()))\n"
    )
    codes = [subprocess.run(beside(folder, "-c", program), check=False).returncode for _ in range(3)]
    assert codes == [1, 2, 3]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_command_once(folder: Path, number: signal.Signals) -> None:
    program = (
        "import signal, sys, time; got = []\n"
        f"signal.signal({int(number)}, lambda number, _: got.append(number))\n"
        "print('ready', flush=True); time.sleep(0.01)\n"
        "while not got: time.sleep(0.01)\n"
        "time.sleep(0.2); sys.exit(len(got) + 40)\n"
    )
    with subprocess.Popen(beside(folder, "-c", program), stdout=subprocess.PIPE, start_new_session=True) as running:
        assert running.stdout
        assert running.stdout.readline() == b"ready\n"
        os.killpg(running.pid, number)  # as a terminal does it
        assert running.wait(PATIENCE) == 41
    assert not (folder / "kept" / "data" / "postmaster.pid").exists()
