"""The PostgreSQL store when things go wrong: connections, the server, other transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial

import pytest

from postgres_others import ask, connected, open_transaction, until
from tcp_proxy import ANSWER, REQUEST, proxy_to
from twofold.errors import Conflict, OutcomeUnknown, StatementFailed, StoreBusy, StoreUnavailable
from twofold.events import NewEvent, Receipt
from twofold.messages import Idempotency
from twofold.sql import Fetch, Run, Work
from twofold.store import Store
from twofold.stores.postgres import PostgresStore, driver, limits, pool
from twofold.testing.contract_base import Seen, happened, seen_by, several, whole
from twofold.testing.contract_history import History
from twofold.testing.postgres import PostgresServer, start_postgres

COMMIT = b"Q\0\0\0\x0bcommit\0"  # the whole message: each connection begins with a setting synchronous_commit

# --- the connection breaks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [REQUEST, ANSWER])
@pytest.mark.parametrize("inline", [False, True])
async def test_an_outcome_that_nobody_knows_is_settled_by_the_same_append(
    postgres_url: str, at: str, inline: bool
) -> None:
    async with proxy_to(postgres_url) as proxy, PostgresStore(proxy.url) as store:
        view = await seen_by(store) if inline else None
        await store.append("order-1", several(1), expected=0)
        calls = {f"broken-{n}": several(2) for n in range(3)}
        proxy.cut(COMMIT if inline else b"broken-0", at)
        tasks = [asyncio.create_task(store.append(name, events, expected=0)) for name, events in calls.items()]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome, (stream, events) in zip(outcomes, calls.items(), strict=True):
            assert isinstance(outcome, OutcomeUnknown)
            assert (outcome.stream, outcome.message_id) == (stream, events[0].metadata.message_id)
        stored = {recorded.stream for recorded in await whole(store)}
        for stream, events in calls.items():
            receipt = await store.append(stream, events, expected=0)
            assert (receipt.version, receipt.repeated) == (2, at == ANSWER)
            assert (stream in stored) == (at == ANSWER)
        if view is not None:
            assert await view.positions(store) == [recorded.position for recorded in await whole(store)]


async def test_a_transaction_that_breaks_before_its_end_is_begun_anew(postgres_url: str) -> None:
    async with proxy_to(postgres_url) as proxy, PostgresStore(proxy.url) as store:
        view = await seen_by(store)
        proxy.cut(b"order-1", ANSWER)  # the function has answered, and nothing is committed
        receipt = await store.append("order-1", several(2), expected=0)
        assert (receipt.version, receipt.repeated, proxy.cuts) == (2, False, 1)
        assert await view.positions(store) == [1, 2]


@pytest.mark.parametrize("at", [REQUEST, ANSWER])
async def test_a_work_whose_end_nobody_knows_says_so(postgres_url: str, at: str) -> None:
    async with proxy_to(postgres_url) as proxy, PostgresStore(proxy.url) as store:
        view = Seen(store)
        await store.work(view.create)
        proxy.cut(COMMIT, at)
        with pytest.raises(OutcomeUnknown) as caught:
            await store.work(lambda: view.write(1))
        assert caught.value.message_id is None
        assert await view.positions(store) == ([1] if at == ANSWER else [])


async def test_a_read_whose_connection_breaks_is_asked_again(postgres_url: str) -> None:
    async with proxy_to(postgres_url) as proxy, PostgresStore(proxy.url) as store:
        await store.append("order-1", several(3), expected=0)
        for at in (REQUEST, ANSWER):
            proxy.cut(b"order-1", at)
            assert [recorded.version async for recorded in store.read("order-1")] == [1, 2, 3]
        assert proxy.cuts == 2


async def test_connections_that_all_break_are_replaced(postgres_url: str) -> None:
    async with proxy_to(postgres_url) as proxy, PostgresStore(proxy.url) as store:
        view = await seen_by(store)
        for number in range(3):
            await asyncio.gather(*(store.rows(view.query) for _ in range(8)), store.scan(view.query))
            proxy.hang_up()
            await asyncio.sleep(0.02)
            assert (await store.append(f"order-{number}", several(1), expected=0)).version == 1
            assert len(await view.positions(store)) == number + 1
            assert len(await store.scan(view.query)) == number + 1


async def test_a_server_that_says_nothing_more_is_given_up(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is dead and nobody says so: whether it was stored, nobody knows."""
    monkeypatch.setattr(driver, "SILENCE_SECONDS", 0.3 - limits.STATEMENT_SECONDS)
    async with proxy_to(postgres_url) as proxy, PostgresStore(proxy.url) as store:
        events = several(1)
        proxy.silence(b"mute")
        with pytest.raises(OutcomeUnknown):
            await asyncio.wait_for(store.append("mute", events, expected=0), 5)
        proxy.listen_again()
        assert (await store.append("mute", events, expected=0)).repeated


# --- the server goes and comes back -----------------------------------------------------------------------------------


async def insist(store: Store, history: History, stream: str, events: Sequence[NewEvent], version: int) -> int:
    """Append until it is known to be stored; the version then."""
    async with asyncio.timeout(30):
        while True:
            try:
                outcome = await history.append(store, stream, events, expected=version)
            except (OutcomeUnknown, StoreUnavailable):
                await asyncio.sleep(0.02)
            else:
                assert not isinstance(outcome, Conflict)
                return outcome.version


@pytest.mark.parametrize("how", ["restart", "kill"])
@pytest.mark.parametrize("inline", [False, True])
async def test_a_server_that_goes_under_load_loses_nothing_and_is_found_again(
    own_postgres: PostgresServer, how: str, inline: bool
) -> None:
    with own_postgres.database() as url:
        async with PostgresStore(url) as store, PostgresStore(url) as reader:
            view = await seen_by(store) if inline else None
            history, gone = History(), asyncio.Event()

            async def write(number: int) -> None:
                version, more = 0, 5
                while more:
                    version = await insist(store, history, f"order-{number}", several(1 + number % 3), version)
                    more -= gone.is_set()

            async def follow() -> None:
                seen = list[int]()
                while not seen or seen[-1] < end:
                    try:
                        await reader.wait_appended(after=seen[-1] if seen else 0)
                        seen += [recorded.position async for recorded in reader.read_all(after=(seen or [0])[-1])]
                    except StoreUnavailable:
                        await asyncio.sleep(0.02)
                assert seen == [recorded.position for recorded in await whole(reader)]

            end = 2**63
            following = asyncio.create_task(follow())
            writing = asyncio.gather(*(write(number) for number in range(12)))
            for _ in range(2):
                await asyncio.sleep(0.3)
                if how == "kill":
                    await asyncio.to_thread(own_postgres.kill)
                    await asyncio.to_thread(own_postgres.start)
                else:
                    await asyncio.to_thread(own_postgres.restart)
            gone.set()
            await writing
            end = (await store.append("end", several(1), expected=0)).position
            await asyncio.wait_for(following, 10)
            log = await whole(reader)
            history.check(log[:-1])
            assert len(history.unknown) > 0
            if view is not None:
                assert await view.positions(store) == [recorded.position for recorded in log]


async def test_a_server_that_is_not_there_is_unavailable_at_once(own_postgres: PostgresServer) -> None:
    with own_postgres.database() as url:
        async with PostgresStore(url) as store:
            view = await seen_by(store)
            own_postgres.stop()
            try:
                for call in (
                    lambda: store.append("order-1", several(1), expected=0),
                    store.head,
                    store.check,
                    lambda: store.rows(view.query),
                    lambda: store.scan(view.query),
                    lambda: store.work(view.create),
                    lambda: store.wait_appended(after=0),
                ):
                    with pytest.raises(StoreUnavailable):
                        await asyncio.wait_for(call(), 3)
                with pytest.raises(StoreUnavailable):
                    await PostgresStore(url).__aenter__()
            finally:
                own_postgres.start()
            assert await store.append("order-1", several(1), expected=0) == Receipt("order-1", 1, 1)
            assert await view.positions(store) == [1]


async def test_a_server_that_takes_no_more_connections_is_busy() -> None:
    few = {"max_connections": "12", "superuser_reserved_connections": "0"}
    with start_postgres(settings=few) as server, server.database() as url:
        async with PostgresStore(url) as store:
            view = await seen_by(store)
            others = list[driver.Connection]()

            async def take_all() -> None:
                while True:
                    others.append(await driver.Connection.open(url))

            with pytest.raises(StoreBusy):
                await take_all()
            await others.pop().close()
            await asyncio.sleep(0.1)
            # One connection must do for all readers.
            rows = await asyncio.gather(*(store.rows(view.query) for _ in range(20)))
            assert rows == [[]] * 20
            assert (await store.append("order-1", several(1), expected=0)).version == 1
            with pytest.raises(StoreBusy):
                await PostgresStore(url).__aenter__()
            for other in others:
                await other.close()
            await store.scan(view.query)


# --- other transactions are in the way --------------------------------------------------------------------------------


async def test_two_works_that_lock_each_other_out_are_both_done(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store, PostgresStore(postgres_url) as other:
        await store.work(tally)
        first_locked = {1: asyncio.Event(), 2: asyncio.Event()}
        begun = {1: 0, 2: 0}

        def both(first: int, then: int) -> Work[None]:
            begun[first] += 1
            yield Run("update tally set number = number + 1 where name = $1", [(first,)])
            first_locked[first].set()
            for _ in range(100):
                if first_locked[then].is_set():
                    break
                yield Fetch("select pg_sleep(0.01)")
            yield Run("update tally set number = number + 1 where name = $1", [(then,)])

        await asyncio.gather(store.work(lambda: both(1, 2)), other.work(lambda: both(2, 1)))
        assert await store.rows(Fetch("select name, number from tally order by name")) == [(1, 2), (2, 2)]
        assert sum(begun.values()) == 3, "there was no deadlock"


async def test_a_work_that_cannot_be_serialized_is_begun_anew_and_not_for_ever(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "BACK_OFF_SECONDS", 0.0001)
    async with PostgresStore(postgres_url) as store:
        await store.work(tally)
        attempts = 0

        def count(spoiled: int) -> Work[None]:
            nonlocal attempts
            attempts += 1
            yield Run("set transaction isolation level repeatable read")
            ((number,),) = yield Fetch("select number from tally where name = 1")
            if attempts <= spoiled:
                # Another transaction changes the row in between: dblink is not there, so by another connection.
                spoil.set()
                for _ in range(200):
                    if spoilt.is_set():
                        break
                    yield Fetch("select pg_sleep(0.005)")
                spoilt.clear()
            yield Run("update tally set number = $1 where name = 1", [(number + 10,)])

        async def others() -> None:
            async with connected(postgres_url) as connection:
                while True:
                    await spoil.wait()
                    spoil.clear()
                    await connection.run("update tally set number = number + 1 where name = 1")
                    spoilt.set()

        spoil, spoilt = asyncio.Event(), asyncio.Event()
        spoiling = asyncio.create_task(others())
        await store.work(lambda: count(3))
        assert (attempts, await store.rows(Fetch("select number from tally where name = 1"))) == (4, [(13,)])
        attempts = 0
        with pytest.raises(StoreBusy):
            await store.work(lambda: count(1000))
        assert attempts == pool.ATTEMPTS
        spoiling.cancel()


def tally() -> Work[None]:
    yield Run("create table tally (name integer primary key, number integer not null)")
    yield Run("insert into tally values (1, 0), (2, 0)")


async def test_a_transaction_that_is_left_open_elsewhere_stops_nobody(postgres_url: str) -> None:
    snapshot = ("select count(*) from event", ())
    async with PostgresStore(postgres_url) as store, PostgresStore(postgres_url) as reader:
        view = await seen_by(store)
        await store.append("order-1", several(1), expected=0)
        async with open_transaction(postgres_url, snapshot, ("select txid_current()", ())):
            waiting = asyncio.create_task(reader.wait_appended(after=1))
            await store.append("order-1", several(1), expected=1)
            await asyncio.wait_for(waiting, 5)
            assert len(await whole(reader)) == 2
            assert await view.positions(reader) == [1, 2]
            assert (await store.advance("seen", view.fold, limit=10)).position == 2


async def test_what_somebody_keeps_locked_is_busy_and_no_more(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "LOCK_SECONDS", 0.2)
    async with PostgresStore(postgres_url) as store, PostgresStore(postgres_url) as without:
        view = await seen_by(store)
        async with open_transaction(postgres_url, ("select 1 from checkpoint for update", ())):
            for call in (
                lambda: store.append("order-1", several(1), expected=0),
                lambda: store.reset("seen", view.create),
                lambda: store.promote("seen", view.fold, to="other", swap=view.create),
            ):
                with pytest.raises(StoreBusy):
                    await asyncio.wait_for(call(), 3)
            await without.append("order-2", several(1), expected=0)  # it keeps no view, and needs nothing of that
            with pytest.raises(StoreBusy):
                await asyncio.wait_for(store.advance("seen", view.fold, limit=1), 3)
            assert len(await whole(store)) == 1
        await store.append("order-1", several(1), expected=0)
        assert await view.positions(store) == [1, 2]


async def test_a_checkpoint_that_goes_while_it_is_waited_for_is_made_anew(postgres_url: str) -> None:
    """Who held it was promoting the build: it gave the checkpoint to the view."""
    async with PostgresStore(postgres_url) as store:
        view = await seen_by(store)

        def begun(position: int | None) -> Work[int | None]:
            yield from view.create()
            return 7 if position is None else 8

        calls: Sequence[Callable[[], Coroutine[None, None, None]]] = (
            partial(store.reset, "seen", view.create),
            partial(store.replace_checkpoint, "seen", begun),
        )
        for begin in calls:
            async with connected(postgres_url) as other:
                await other.run("begin")
                await other.rows("select 1 from checkpoint for update")
                beginning = asyncio.create_task(begin())
                await until(partial(somebody_waits, postgres_url))
                await other.run("delete from checkpoint")
                await other.run("commit")
            await asyncio.wait_for(beginning, 5)
            assert await store.checkpoint("seen") in (0, 7)


async def somebody_waits(url: str) -> bool:
    waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    return bool(await ask(url, waiting))


async def test_a_process_that_stops_in_the_middle_of_an_append_is_cut_off(postgres_url: str) -> None:
    """Or it would hold the lock for as long as it is stopped."""
    connection = await driver.Connection.open(postgres_url, limits.Limits(frozen_seconds=0.5))
    async with PostgresStore(postgres_url) as store:
        ((key,),) = await ask(postgres_url, "select (192541::bigint << 32) | 'event'::regclass::oid::bigint")
        await connection.run("begin")
        await connection.rows("select pg_advisory_xact_lock($1)", (key,))
        waiting = asyncio.create_task(store.append("order-1", several(1), expected=0))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await asyncio.wait_for(waiting, 3)
        with pytest.raises(StoreUnavailable):
            await connection.rows("select 1")


async def test_a_request_that_is_refused_while_it_is_accepted_has_one_answer(postgres_url: str) -> None:
    """The refusal is written when the append has looked for the key already."""
    asked = Idempotency("key", "request")
    insert = "insert into idempotency (key, fingerprint, refusal, recorded_at) values ('key', 'request', 'no', 0)"
    async with PostgresStore(postgres_url) as store, connected(postgres_url) as connection:
        await connection.run("begin")
        await connection.run(insert)
        append = asyncio.create_task(store.append("order-1", several(1), expected=0, idempotency=asked))
        await asyncio.sleep(0.1)
        assert not append.done()
        await connection.run("commit")
        with pytest.raises(Exception, match="refused before"):
            await append
        assert await whole(store) == []


# --- what is wrong with a statement -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("select $1::integer", ("one",)),
        ("select $1::integer", (2**40,)),
        ("select $1::bigint", (2**70,)),
        ("select $1::text", (1,)),
        ("select $1::text", ("a\0b",)),
        ("select $1::text", ("a\ud800",)),
        ("select $1::bytea", ("text",)),
        ("select $1::text[]", ("text",)),
        ("select $1::uuid", ("not one",)),
        ("select $1::timestamptz", ("yesterday",)),
        ("select $1::integer", ()),
        ("select $1::integer", (1, 2)),
        ("select 1", (1,)),
        ("select 1 / $1::integer", (0,)),
        ("select 1; select 2", (1,)),
    ],
)
async def test_a_parameter_that_cannot_be_is_the_fault_of_the_statement(
    postgres_url: str, sql: str, parameters: Sequence[object]
) -> None:
    async with PostgresStore(postgres_url) as store:

        def work() -> Work[None]:
            yield Run("create table never (number integer)")
            yield Fetch(sql, parameters)
            yield Run(sql, [parameters, parameters])

        with pytest.raises(StatementFailed):
            await store.work(work)
        with pytest.raises(StatementFailed):
            await store.rows(Fetch(sql, parameters))
        assert await store.rows(Fetch("select to_regclass('never')::text")) == [(None,)]
        await store.append("order-1", [happened()], expected=0)


async def test_a_server_that_takes_no_writes_is_unavailable(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:

        def work() -> Work[None]:
            yield Run("set transaction read only")
            yield Run("create table never (number integer)")

        with pytest.raises(StoreUnavailable):
            await store.work(work)


async def test_a_cancelled_read_leaves_its_connection_to_nobody(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:
        for _ in range(3):
            reads = [asyncio.create_task(store.rows(Fetch("select pg_sleep(5)"))) for _ in range(6)]
            await asyncio.sleep(0.1)
            for read in reads:
                read.cancel()
            await asyncio.gather(*reads, return_exceptions=True)
        assert await asyncio.wait_for(store.head(), 3) == 0
