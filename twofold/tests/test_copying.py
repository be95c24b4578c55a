"""Logs copied from store to store, and compared."""

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from twofold import copying
from twofold.connect import connect
from twofold.copying import compare, copy
from twofold.errors import AdoptionRefused, CopyRefused, EventCorrupt
from twofold.events import Recorded
from twofold.messages import Idempotency
from twofold.store import Progress, Store
from twofold.stores.memory import MemoryStore
from twofold.stores.sqlite.driver import Connection
from twofold.testing.contract_adoption import adoptable, another_log, asked_by
from twofold.testing.contract_base import happened, several, whole
from twofold.testing.postgres import PostgresServer

PAIRS = ["memory-sqlite", "sqlite-memory"]
ALL_PAIRS = [*PAIRS, "sqlite-sqlite", "sqlite-postgres", "postgres-sqlite", "postgres-postgres"]


@pytest.fixture(params=PAIRS)
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[tuple[str, str]]:
    """The URLs of two stores that are empty."""
    source, _, target = str(request.param).partition("-")
    with ExitStack() as stack:

        def url(kind: str, name: str) -> str:
            if kind == "postgres":
                server: PostgresServer = request.getfixturevalue("postgres_server")
                return stack.enter_context(server.database())
            return "memory:" if kind == "memory" else f"sqlite:///{tmp_path / name}.db"

        yield url(source, "source"), url(target, "target")


@pytest.fixture
async def store(urls: tuple[str, str]) -> AsyncGenerator[Store]:
    """The store that is copied, open and empty."""
    async with connect(urls[0]) as opened:
        yield opened


@pytest.fixture
async def target(urls: tuple[str, str]) -> AsyncGenerator[Store]:
    """The store that is copied into, open and empty."""
    async with connect(urls[1]) as opened:
        yield opened


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of three events."""
    monkeypatch.setattr(copying, "PAGE", 3)


class TakesAnything(MemoryStore):
    """Has in it what no store would take."""

    async def adopt(self, events: Sequence[Recorded[bytes]]) -> None:
        self._keep(events)


def ignored(progress: Progress) -> None:
    """Where nobody watches."""


async def compared(source: Store, target: Store) -> tuple[int, copying.Difference | None]:
    return await compare(source, target, until=await source.head(), on_progress=ignored)


@pytest.mark.parametrize("urls", ALL_PAIRS, indirect=True)
@pytest.mark.usefixtures("small_pages")
async def test_a_log_is_copied_as_it_is(store: Store, target: Store) -> None:
    await store.adopt(another_log())
    asked = Idempotency("key", "request")
    metadata = asked_by(asked)
    events = [happened(bytes(range(256)), metadata=metadata) for _ in range(5)]
    receipt = await store.append("a", events, expected=4, idempotency=asked)
    log = await whole(store)
    seen: list[Progress] = []
    assert await copy(store, target, seen.append) == (len(log), receipt.position)
    assert await whole(target) == log
    assert [progress.position for progress in seen] == [0, *(log[n].position for n in (2, 5, 8, 11))]
    assert {progress.head for progress in seen} == {receipt.position}
    assert await compared(store, target) == (len(log), None)
    assert await target.append("a", several(1), expected=9, idempotency=asked) == replace(receipt, repeated=True)
    assert target.id != store.id


async def test_an_empty_log_is_copied_too(store: Store, target: Store) -> None:
    assert await copy(store, target, ignored) == (0, 0)
    assert await compared(store, target) == (0, None)


@pytest.mark.parametrize("urls", ALL_PAIRS, indirect=True)
@pytest.mark.usefixtures("small_pages")
async def test_what_was_copied_is_not_copied_again(store: Store, target: Store) -> None:
    await store.adopt(another_log())
    assert (await copy(store, target, ignored)).events == 7
    assert (await copy(store, target, ignored)).events == 0
    await store.append("a", several(2), expected=None)
    assert await copy(store, target, ignored) == (2, await store.head())
    assert await whole(target) == await whole(store)


async def test_what_is_appended_meanwhile_is_left_to_the_next_copy(
    store: Store, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "PAGE", 1)
    await store.append("order-1", several(3), expected=0)
    adopt = target.adopt

    async def adopt_and_append(events: Sequence[Recorded[bytes]]) -> None:
        await adopt(events)
        await store.append("order-1", several(1), expected=None)

    monkeypatch.setattr(target, "adopt", adopt_and_append)
    assert await copy(store, target, ignored) == (3, 3)
    monkeypatch.undo()
    assert await compare(store, target, until=3, on_progress=ignored) == (3, None)
    assert await copy(store, target, ignored) == (3, 6)
    assert await compared(store, target) == (6, None)


async def test_pages_are_bounded_by_their_bytes(store: Store, target: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PAGE_BYTES", 1000)
    await store.append("order-1", [happened(bytes(400)) for _ in range(7)], expected=0)
    seen: list[Progress] = []
    await copy(store, target, seen.append)
    assert [progress.position for progress in seen] == [0, 3, 6, 7]


# --- refused ----------------------------------------------------------------------------------------------------------


async def test_a_log_is_not_copied_into_itself(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    async with connect(url) as store, connect(url) as again:
        await store.append("order-1", several(1), expected=0)
        with pytest.raises(CopyRefused, match="the same log"):
            await copy(store, again, ignored)


async def test_a_store_with_other_events_is_not_copied_into(store: Store, target: Store) -> None:
    await store.append("order-1", several(3), expected=0)
    await target.adopt([adoptable("order-1", 1, 1)])
    before = await whole(target)
    with pytest.raises(CopyRefused, match="events that are not in the other") as caught:
        await copy(store, target, ignored)
    assert "version 1 of order-1, position 1" in str(caught.value)
    assert await whole(target) == before


async def test_a_copy_that_went_its_own_way_is_not_copied_into(store: Store, target: Store) -> None:
    await store.append("order-1", several(3), expected=0)
    await copy(store, target, ignored)
    await target.append("order-1", several(1), expected=3)
    await store.append("order-1", several(5), expected=3)
    with pytest.raises(CopyRefused, match="version 4 of order-1"):
        await copy(store, target, ignored)


async def test_an_event_at_another_position_is_no_copy(store: Store, target: Store) -> None:
    await store.append("order-1", several(3), expected=0)
    (first, *_) = await whole(store)
    await target.adopt([replace(first, position=2)])
    with pytest.raises(CopyRefused, match="position 2"):
        await copy(store, target, ignored)


async def test_an_event_that_no_store_takes_is_told(store: Store) -> None:
    async with TakesAnything() as old:  # as one from before such names were refused
        await old.adopt([adoptable("order-1", 1, 1), adoptable("order-\0", 1, 2)])
        with pytest.raises(AdoptionRefused, match=r"version 1 of order-\0 cannot be kept there: .* NUL"):
            await copy(old, store, ignored)
    assert await whole(store) == []


# --- compared ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", copying.FIELDS)
async def test_a_difference_in_any_field_is_found(store: Store, field: str) -> None:
    log = another_log()
    await store.adopt(log)
    other = adoptable("z", 9, log[3].position + 1)
    value = {"type": "Else", "schema": 2, "recorded_at": other.recorded_at.replace(year=1999)}.get(
        field, getattr(other, field)
    )
    async with TakesAnything() as damaged:
        fields: dict[str, Any] = {name: getattr(log[3], name) for name in copying.FIELDS}
        fields[field] = value
        await damaged.adopt([*log[:3], Recorded.of(**fields), *log[4:]])
        same, difference = await compare(store, damaged, until=await store.head(), on_progress=ignored)
    assert (same, difference is not None) == (3, True)
    assert difference is not None
    assert (difference.position, list(difference.fields)) == (9, [field])


async def test_an_event_too_few_or_too_many_is_found(store: Store, target: Store) -> None:
    log = another_log()
    await store.adopt(log)
    await target.adopt(log[:-1])
    same, difference = await compared(store, target)
    assert (same, difference) == (6, copying.Difference(log[-1].position, log[-1], None, ()))
    assert await compare(target, store, until=log[-2].position, on_progress=ignored) == (6, None)
    _, difference = await compare(target, store, until=log[-1].position, on_progress=ignored)
    assert difference == copying.Difference(log[-1].position, None, log[-1], ())


async def test_a_corrupt_event_is_told(tmp_path: Path, target: Store) -> None:
    path = tmp_path / "damaged.db"
    async with connect(f"sqlite:///{path}") as source:
        await source.append("order-1", several(3), expected=0)
        file = Connection(str(path))
        file.run("update event set data = x'31' where version = 2")
        file.close()
        with pytest.raises(EventCorrupt) as caught:
            await copy(source, target, ignored)
        assert (caught.value.stream, caught.value.version) == ("order-1", 2)
        assert await whole(target) == []
