"""PostgreSQL as we mean it: how a connection is opened, what is run on it, what its errors mean.

The only file that knows the driver. asyncpg has no type hints that a checker may rely on, so what comes from it is
`Any` here, and has a type when it leaves.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib import import_module
from typing import Any, Self

from twofold.errors import (
    StatementFailed,
    StoreBusy,
    StoreFailed,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
    TwofoldError,
)
from twofold.sql import Row
from twofold.stores.postgres.limits import WRITE, Limits

asyncpg: Any = import_module("asyncpg")

CONNECT_SECONDS = 5.0
LOCK_SECONDS = 5.0  # how long to wait for another process's lock before saying StoreBusy
SILENCE_SECONDS = 10.0  # how much longer than the server may take we wait for its answer: the line may be dead
SCRIPT_SECONDS = 86_400.0  # the same for a script that makes tables, or brings them up to date

OLDEST = 140_000  # the server's version as a number
UNSAFE = {("synchronous_commit", "off"), ("synchronous_commit", "local"), ("fsync", "off"), ("full_page_writes", "off")}
STALE: tuple[type[Exception], ...] = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
RAISED: tuple[type[Exception], ...] = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    ArithmeticError,  # these three: what a parameter can do to an encoder
    TypeError,
    ValueError,
)

Notified = Callable[[int], None]
"""Called with the process id of the server's process that sent a notification."""


class Disconnected(StoreUnavailable):
    """The connection is gone. Unless `sent` is off, the server may have run what it was sent last."""

    def __init__(self, reason: str, *, sent: bool = True) -> None:
        super().__init__(reason)
        self.sent = sent


class Overtaken(StoreBusy):
    """Another transaction was in the way, and this one was rolled back: begun anew, it may well succeed."""


def translate(error: BaseException) -> TwofoldError:
    """What a driver's exception means to a caller. In each case but `Disconnected` the transaction stored nothing."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, STALE):
        return Overtaken(f"a table changed: {said}")
    if isinstance(error, OSError | TimeoutError):
        return Disconnected(said)
    code: str | None = getattr(error, "sqlstate", None)
    if code is None:  # it did not get as far as the server: a parameter that is of no such type
        return StatementFailed(said)
    match code[:2], code:
        case _, "08P01":
            return StatementFailed(said)
        case ("08", _) | (_, "57P01" | "57P02" | "57P04" | "57P05" | "25P03"):
            return Disconnected(said)
        case _, "57P03":
            return StoreUnavailable(f"the server is starting or stopping: {said}")
        case _, "25006":
            return StoreUnavailable(f"the server takes no writes: {said}")
        case _, "40P01" | "40001":
            return Overtaken(said)
        case _, "55P03" | "57014" | "53300":
            return StoreBusy(said)
        case _, "53100":
            return StoreFull(f"no space is left: {said}")
        case "53", _:
            return StoreUnavailable(said)
        case ("28", _) | (_, "3D000"):
            return StoreRefused(f"the server refuses us: {said}")
        case ("58" | "F0" | "XX", _):
            return StoreFailed(said)
        case _:
            return StatementFailed(said)


def is_duplicate(error: StatementFailed) -> bool:
    """Whether the statement failed because a row of the same unique key is there."""
    return isinstance(error.__cause__, asyncpg.UniqueViolationError)


class Connection:
    """A session with the durable settings, and the few calls that we make on one. Its errors are ours."""

    def __init__(self, raw: Any, limits: Limits) -> None:
        self._raw = raw
        self._patience = limits.seconds + SILENCE_SECONDS
        self._prepared: dict[str, Any] = {}
        self._doubted = set[str]()
        self.process: int = raw.get_server_pid()
        """The process id of the server's process at the other end."""

    @classmethod
    async def open(cls, url: str, limits: Limits = WRITE) -> Self:
        """Connect, and set what the session must have. Raises StoreRefused or StoreUnavailable."""
        try:
            raw: Any = await asyncpg.connect(url, timeout=CONNECT_SECONDS, command_timeout=CONNECT_SECONDS)
        except RAISED as error:
            if isinstance(error, asyncpg.InterfaceError | TypeError | ValueError):
                raise StoreRefused(f"this URL cannot be used: {error}") from error
            told = translate(error)
            if isinstance(told, Disconnected):  # nothing was sent that could have been stored
                told = StoreUnavailable(f"the server cannot be reached: {type(error).__name__}: {error}")
            raise told from error
        connection = cls(raw, limits)
        try:
            await connection._prepare(limits)
        except BaseException:
            connection.drop()
            raise
        return connection

    async def _prepare(self, limits: Limits) -> None:
        """Refuse a server that would lose what it acknowledged, and set what the session must have."""
        wanted = ("server_version_num", "server_encoding", "synchronous_commit", "fsync", "full_page_writes")
        sql = "select name, current_setting(name) from unnest($1::text[]) as setting (name)"
        found: dict[str, str] = dict(await self.rows(sql, (wanted,)))
        if int(found["server_version_num"]) < OLDEST:
            raise StoreRefused("the server is older than PostgreSQL 14")
        if found["server_encoding"] != "UTF8":
            raise StoreRefused(f"the encoding of the database is {found['server_encoding']}, not UTF8")
        if limits.durable and (unsafe := UNSAFE & set(found.items())):
            said = ", ".join(f"{name} = {value}" for name, value in sorted(unsafe))
            raise StoreRefused(f"what the server acknowledges could be lost: {said}")
        settings = {
            "application_name": f"twofold {limits.name}",
            "default_transaction_isolation": "read committed",
            "default_transaction_read_only": "off",
            "synchronous_commit": "off" if not limits.durable else "on",
            "lock_timeout": _milliseconds(LOCK_SECONDS),
            "statement_timeout": _milliseconds(limits.seconds),
            "idle_in_transaction_session_timeout": _milliseconds(limits.frozen_seconds),
            "jit": "off",  # to compile a plan takes longer than our statements do
        }
        if limits.durable and found["synchronous_commit"] == "remote_apply":  # waits for even more
            del settings["synchronous_commit"]
        sql = "select set_config(name, value, false) from unnest($1::text[], $2::text[]) as setting (name, value)"
        await self.rows(sql, (list(settings), list(settings.values())))
        with suppress(StatementFailed):  # what was cancelled here ends there, where the server's system can tell
            await self.run("set client_connection_check_interval = '2s'")

    @property
    def usable(self) -> bool:
        """Whether it is connected, as far as anybody has noticed."""
        return not self._raw.is_closed()

    async def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of a query."""
        with self._asking():
            try:
                records = await self._raw.fetch(sql, *parameters, timeout=self._patience)
            except asyncpg.DataError as error:
                if not _unsent(error):
                    raise
                await self._raw.reload_schema_state()  # what was known of the statement may be of a table of before
                records = await self._raw.fetch(sql, *parameters, timeout=self._patience)
            return [tuple(record) for record in records]

    async def run(self, sql: str, rows: Sequence[Sequence[object]] = ((),)) -> None:
        """Run a statement once for each row of parameters."""
        if len(rows) > 1:
            await self._run_many(sql, rows)
        elif rows and rows[0]:
            await self.rows(sql, rows[0])
        elif rows:  # as text: nothing of it is kept, and it may be several statements
            with self._asking():
                await self._raw.execute(sql, timeout=self._patience)

    async def run_script(self, script: str) -> None:
        """Run statements that take as long as they are let on the server: a long log is brought up to date once."""
        with self._asking():
            await self._raw.execute(script, timeout=SCRIPT_SECONDS)

    async def _run_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        with self._asking():
            try:
                await self._raw.executemany(sql, rows, timeout=self._patience)
            except asyncpg.DataError as error:
                if not _unsent(error) or sql in self._doubted:
                    self._doubted.discard(sql)
                    raise
                self._doubted.add(sql)
                await self._raw.reload_schema_state()  # as above; but rows before this one may have been sent
                raise Overtaken(f"a table changed, perhaps: {error}") from error

    async def prepare(self, sql: str) -> None:
        """Have the server parse the statement now, unless it has, so that `answer` is one round trip."""
        if sql in self._prepared:
            return
        with self._asking():
            self._prepared[sql] = await self._raw.prepare(sql, timeout=self._patience)

    async def answer(self, sql: str, parameters: Sequence[object]) -> list[Row]:
        """All rows of a prepared statement."""
        with self._asking():
            records = await self._prepared[sql].fetch(*parameters, timeout=self._patience)
            return [tuple(record) for record in records]

    @asynccontextmanager
    async def transaction(self, begin: str = "begin") -> AsyncGenerator[None]:
        """All or none of what is run inside. Raises Disconnected, `sent`, only where the COMMIT was sent."""
        try:
            await self.run(begin)
            yield
        except Disconnected as gone:
            raise Disconnected(str(gone), sent=False) from gone  # without a COMMIT the server rolls back
        except BaseException:
            await self.roll_back()
            raise
        with self._asking():
            said = await self._raw.execute("commit", timeout=self._patience)
        if said != "COMMIT":
            raise StatementFailed("the transaction was rolled back: a statement in it had failed")

    async def roll_back(self) -> None:
        """Undo the transaction that is open. Where that cannot be done, the connection goes and the server does it."""
        try:
            await self.run("rollback")
        except BaseException as error:
            self.drop()
            if not isinstance(error, TwofoldError):
                raise

    async def listen(self, channel: str, notified: Notified, ended: Callable[[], None]) -> None:
        """Call `notified` at each notification, and `ended` once the connection is gone."""

        def heard(_connection: object, process: int, *_: object) -> None:
            notified(process)

        def gone(_connection: object) -> None:
            ended()

        with self._asking():
            self._raw.add_termination_listener(gone)
            await self._raw.add_listener(channel, heard)

    async def close(self) -> None:
        """Take leave of the server."""
        with suppress(*RAISED):
            await self._raw.close(timeout=CONNECT_SECONDS)

    def drop(self) -> None:
        """End it without a word."""
        self._raw.terminate()

    @contextmanager
    def _asking(self) -> Generator[None]:
        """Tell errors in our words; drop the connection where its state is not known any more."""
        if not self.usable:
            raise Disconnected("the connection is closed", sent=False)
        try:
            yield
        except CancelledError:  # the answer may still be on its way
            self.drop()
            raise
        except RAISED as error:
            told = translate(error)
            if "cannot switch to state" in str(error):  # the server took leave, and nobody had looked; nothing is sent
                told = Disconnected(str(error), sent=False)
            elif self._raw.is_closed():
                told = Disconnected(str(error))
            if isinstance(told, Disconnected) or getattr(error, "sqlstate", None) == "25006":  # it is a standby now
                self.drop()
            raise told from error


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms"


def _unsent(error: BaseException) -> bool:
    """Whether a parameter was found wrong before it was sent."""
    return getattr(error, "severity", None) is None
