"""`twofold doctor`: a store that is well, and what is found where something is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from terminals import Terminal
from test_cli_copy import damage
from test_cli_twofold import append
from twofold.cli.diagnosis import LARGEST_WAL, LEAST_FREE, Level, disk, durability, judged
from twofold.cli.doctor import without_password
from twofold.connect import connect
from twofold.overview import State, Status
from twofold.sql import Fetch


async def examined(terminal: Terminal, url: str, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the findings by what was checked."""
    code, printed, complained = await terminal("doctor", "--store", url, "--json", *arguments)
    assert complained == ""
    return code, {line["check"]: line for line in map(json.loads, printed.splitlines())}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_store_that_is_well(
    terminal: Terminal, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    await append(url, "counter-a", b"{}", b"{}")
    code, found = await examined(terminal, url, "--check")
    assert code == 0
    assert {finding["level"] for finding in found.values()} == {"fine"}
    assert found["log"]["found"].startswith("the last event is at position 2, recorded ")
    assert found["events"]["found"] == "all up to position 2 have their checksums"
    assert found["durability"]["found"] in (
        "journal_mode=wal synchronous=full",
        "fsync=on full_page_writes=on synchronous_commit=on",
    )
    code, printed, _ = await terminal("doctor", "--store", url)
    assert (code, printed.splitlines()[-1]) == (0, "Nothing is wrong")


async def test_damage_and_clocks_are_found(terminal: Terminal, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    await append(url, "counter-a", b"{}", b"{}", b"{}")
    damage(tmp_path / "store.db", "update event set data = x'31' where position = 2")
    damage(tmp_path / "store.db", "update event set recorded_at = 4102444800000000 where position = 3")  # in 2100
    damage(tmp_path / "store.db", "insert into checkpoint (name, position) values ('sales_v1', 9)")
    assert (await examined(terminal, url))[0] == 1
    code, found = await examined(terminal, url, "--check")
    assert code == 1
    wrong = {check for check, finding in found.items() if finding["level"] == "wrong"}
    assert wrong == {"log", "events", "projection sales_v1"}
    assert "event 2 of counter-a" in found["events"]["found"]
    assert found["log"]["advice"].endswith(" d from now: set the clock of this machine, or of the one that wrote")
    assert found["projection sales_v1"]["found"] == "it has passed the end of the log: it is at 9"


async def test_what_is_left_open_on_a_server_is_found(
    terminal: Terminal, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twofold.cli.diagnosis.LONGEST_TRANSACTION", 0.0)
    async with connect(postgres_url) as store, store.moment() as moment:
        ((pid,),) = await moment.scan(Fetch("select pg_backend_pid()"))
        code, found = await examined(terminal, postgres_url)
    assert code == 1
    assert f"process {pid} (twofold moment, idle in transaction) has one open" in found["transactions"]["found"]
    assert f"pg_terminate_backend({pid})" in found["transactions"]["advice"]


async def test_a_store_that_cannot_be_opened_is_a_finding(terminal: Terminal) -> None:
    url = "postgresql://ann:secret@127.0.0.1:1/none"
    code, found = await examined(terminal, url)
    assert (code, found["store"]["level"]) == (1, "wrong")
    code, printed, _ = await terminal("doctor", "--store", "sqlite:///typo.db")
    assert (code, "there is no store at typo.db" in printed) == (1, True)


def test_no_password_is_printed() -> None:
    assert without_password("postgresql://ann:secret@host/db") == "postgresql://ann:***@host/db"
    assert (
        without_password("postgresql://host/db?user=ann&password=secret")
        == "postgresql://host/db?user=ann&password=***"
    )
    assert without_password("sqlite:///orders.db") == "sqlite:///orders.db"


def status(state: State, **changes: Any) -> Status:
    return Status("sales_v1", state, False, 5, 9, 4, 1.0, 0, 0, (), None)._replace(**changes)


@pytest.mark.parametrize(
    ("given", "level", "advice"),
    [
        (status(State.FOLLOWING), Level.FINE, None),
        (status(State.FOLLOWING, seconds=61.0), Level.WRONG, "projections --watch"),
        (status(State.FOLLOWING, letters=3, sequences=1), Level.WRONG, "parked retry"),
        (status(State.FAILED, reason="no such column"), Level.WRONG, "projections resume"),
        (status(State.PAUSED, reason="by ann"), Level.NOTE, "projections resume"),
        (status(State.DETACHED), Level.NOTE, "start a process"),
        (status(State.NEW), Level.NOTE, "start a process"),
    ],
)
def test_projections_are_judged(given: Status, level: Level, advice: str | None) -> None:
    (finding,) = judged([given], {})
    assert (finding.check, finding.level) == ("projection sales_v1", level)
    assert (finding.advice is None) if advice is None else advice in (finding.advice or "")


def test_disks_and_servers_are_judged() -> None:
    assert [finding.level for finding in disk(1_000, 10, LEAST_FREE, 0)] == [Level.FINE, Level.FINE]
    assert [finding.level for finding in disk(1_000, 0, LEAST_FREE - 1, LARGEST_WAL + 1)] == [Level.WRONG, Level.NOTE]
    safe = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "remote_apply"}
    assert durability(safe).level is Level.FINE
    assert durability({**safe, "fsync": "off"}).advice == "what was acknowledged can be lost: set fsync to on"
