"""What keeps the log of the PostgreSQL store in order: without it, the contract finds the store broken."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from test_contract_finds_faults import fault_of
from twofold.store import Store
from twofold.stores.postgres import PostgresStore, schema
from twofold.testing.contract import StoreContract
from twofold.testing.postgres import PostgresServer

LOCK = "perform pg_advisory_xact_lock(log_lock);"
HEAD = "(select coalesce(max(event.position), 0) from event)"
SEQUENCE = "(select 1000 * nextval('reserved'))"
BELOW = "nothing_comes_in_below_a_position_that_was_read"


class Contract(StoreContract):
    def __init__(self, server: PostgresServer, url: str, name: str) -> None:
        self._server, self._url, self._name, self._places = server, url, name, list[Path]()

    def open(self, place: Path) -> AbstractAsyncContextManager[Store]:
        if place not in self._places:
            self._places.append(place)
            self._server.execute(f"create schema {self._name}_{len(self._places)}", url=self._url)
        return PostgresStore(f"{self._url}?search_path={self._name}_{self._places.index(place) + 1}")


@pytest.mark.parametrize(
    ("mutations", "check"),
    [
        ({}, None),
        ({LOCK: "", HEAD: SEQUENCE}, BELOW),
        ({"when asked.expected <> coalesce(last.version, 0) then 'conflict'": ""}, "a_new_stream_is_at_version_0"),
        ({"and found.in_place then 'repeated'": "then 'repeated'"}, "ids_of_another_append_are_refused"),
    ],
)
async def test_a_log_without_its_order_is_found(
    postgres_server: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mutations: dict[str, str],
    check: str | None,
) -> None:
    text = schema.text_of

    def mutated(script: str) -> str:
        found = text(script)
        for original, mutation in mutations.items():
            assert script != "append.sql" or original in found
            found = found.replace(original, mutation)
        return found if script != "schema.sql" else f"{found}; create sequence reserved;"

    monkeypatch.setattr(schema, "text_of", mutated)
    checks = [check] if check else [BELOW, "a_new_stream_is_at_version_0", "ids_of_another_append_are_refused"]
    with postgres_server.database() as url:
        for number, name in enumerate(checks):
            fault = await fault_of(Contract(postgres_server, url, name[:20]), name, tmp_path / str(number))
            assert isinstance(fault, AssertionError | pytest.fail.Exception) == (check is not None), (
                f"{name}: {fault!r}"
            )
            assert (fault is None) == (check is None)
