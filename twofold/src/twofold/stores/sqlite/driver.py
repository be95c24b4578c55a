"""SQLite as we mean it: how a file is opened, how work is run on it, what its errors mean.

The only file that knows the driver, but for `beginnings`. Measured before choosing: the write-ahead log with
synchronous=FULL lost nothing at a power cut; with NORMAL it lost a tenth of what had been acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from importlib import resources
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self

import apsw

from twofold.errors import (
    StatementFailed,
    StoreBusy,
    StoreClosed,
    StoreFailed,
    StoreFull,
    StoreRefused,
    TwofoldError,
)
from twofold.sql import Row
from twofold.stores.sqlite.beginnings import Beginnings

APPLICATION_ID = 0x2F01D  # marks a file as ours, in SQLite's own header field
SCHEMAS = ("schema.sql", "schema_2.sql", "schema_3.sql", "schema_4.sql")  # the n-th brings a file to schema n
BUSY_MILLISECONDS = 5_000  # how long to wait for another process before saying StoreBusy
CACHE_KIBIBYTES = 32_768  # SQLite's default of 2 MiB costs the writer more than anything else
COPIED_PAGES = 4_096  # between two looks at how far a copy has come
STEPS = 100_000  # of a query between two looks at the clock: some milliseconds
JOURNAL_BYTES = 64 * 2**20  # to which a write-ahead log shrinks again that has grown behind a long read

UNBINDABLE = (OverflowError, TypeError, UnicodeEncodeError)  # what apsw raises for a parameter that SQLite cannot take

DriverError = apsw.Error
DuplicateError = apsw.ConstraintError

_DOUBTFUL = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.FullError,
    apsw.IOError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.NoMemError,
    apsw.ProtocolError,
    apsw.ConnectionClosedError,
)


def in_doubt(error: BaseException) -> bool:
    """Whether the error is of the disk or the file, and so of the whole transaction, and not of one statement in it."""
    return isinstance(error, _DOUBTFUL)


def translate(error: BaseException) -> TwofoldError:
    """What a driver's exception means to a caller. In each case the transaction stored nothing."""
    match error:
        case apsw.BusyError() | apsw.LockedError():
            return StoreBusy(f"another process holds the file: {error}")
        case apsw.InterruptError():
            return StoreBusy("a query took longer than it may")
        case apsw.FullError():
            return StoreFull(f"no space is left: {error}")
        case apsw.ConnectionClosedError():
            return StoreClosed("the store is closed")
        case (
            apsw.SQLError()
            | apsw.ConstraintError()
            | apsw.MismatchError()
            | apsw.TooBigError()
            | apsw.RangeError()
            | apsw.BindingsError()
        ):
            return StatementFailed(f"{type(error).__name__}: {error}")
        case _:
            return StoreFailed(f"{type(error).__name__}: {error}")


class translated:  # noqa: N801 - it is used like a function
    """Tell a driver's exception in our words. A text that is none any more is met while a row is read.

    A class, as a generator's context would take as long as a point read.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if isinstance(error, (apsw.Error, UnicodeDecodeError)):
            raise translate(error) from error


class Connection:
    """A connection with the durable settings, and the few calls that we make on one.

    Its methods raise the driver's errors; who calls them from outside a transaction wraps them in `translated`.
    """

    def __init__(self, path: str) -> None:
        self._raw: Any = apsw.Connection(path)  # Any: the stubs name types that Python 3.11 lacks
        self._beginnings = Beginnings(self._raw)

    @classmethod
    def open(cls, path: str, *, read_only: bool = False) -> Self:
        """Open a file; create it and its schema unless `read_only`.

        Raises StoreRefused if the file is not ours, is newer than this code, or cannot be made durable.
        """
        try:
            connection = cls(path)
            try:
                connection._prepare(path, read_only=read_only)
            except BaseException:
                connection.close()
                raise
        except apsw.NotADBError as error:
            raise StoreRefused(f"{path} is not a SQLite file") from error
        except (apsw.CantOpenError, apsw.ReadOnlyError) as error:
            raise StoreRefused(f"{path} cannot be opened for writing: {error}") from error
        except apsw.Error as error:
            raise translate(error) from error
        return connection

    def _prepare(self, path: str, *, read_only: bool) -> None:
        raw = self._raw
        raw.set_busy_timeout(BUSY_MILLISECONDS)
        self.run("begin")
        version = self._schema(path)  # before anything is changed: the journal mode stays in a file, perhaps another's
        self.run("rollback")
        mode = self._write_ahead()
        if mode != "wal":
            raise StoreRefused(f"{path}: there can be no write-ahead log here (journal mode {mode})")
        raw.pragma("synchronous", "full")
        raw.pragma("cache_size", -CACHE_KIBIBYTES)
        if read_only:
            raw.pragma("query_only", True)
            return
        raw.pragma("journal_size_limit", JOURNAL_BYTES)
        if version < len(SCHEMAS):  # else nothing is written: a store opens on a full disk, too
            self._migrate(path)

    def _write_ahead(self) -> str:
        """Ask for the write-ahead log. Where two do so at once in a new file, SQLite says busy without waiting."""
        end = monotonic() + BUSY_MILLISECONDS / 1000
        while True:
            try:
                mode: str = self._raw.pragma("journal_mode", "wal")
            except apsw.BusyError:
                if monotonic() > end:
                    raise
                sleep(0.01)
            else:
                return mode

    def _schema(self, path: str) -> int:
        """The version of the file's schema, 0 in an empty file. Ask inside a transaction: the answer is of one moment.

        Raises StoreRefused if the file is another application's, or newer than this code.
        """
        version: int = self._raw.pragma("user_version")
        owner = self._raw.pragma("application_id")
        if owner != APPLICATION_ID and (owner or version or self.get("select count(*) from sqlite_schema")):
            raise StoreRefused(f"{path} is a SQLite file of another application")
        if version > len(SCHEMAS):
            raise StoreRefused(f"{path} has schema {version}; this code knows schemas up to {len(SCHEMAS)}")
        return version

    def _migrate(self, path: str) -> None:
        """Create the schema, or bring it up to date, in one transaction: two processes may try at once."""
        raw = self._raw
        with self.transaction():
            for script in SCHEMAS[self._schema(path) :]:
                self.run_script(script)
            raw.pragma("application_id", APPLICATION_ID)
            raw.pragma("user_version", len(SCHEMAS))

    @property
    def data_version(self) -> int:
        """Another number after each commit of another connection. Ask inside a transaction."""
        version: int = self._raw.data_version()
        return version

    def run(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run a statement that answers nothing."""
        self._raw.execute(sql, parameters)

    def run_script(self, name: str) -> None:
        """Run one of the scripts that stand beside this file."""
        self.run(resources.files(__package__ or "").joinpath(name).read_text("utf-8"))

    def run_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement once for each row of parameters."""
        try:
            self._raw.executemany(sql, rows)
        except UNBINDABLE as error:
            raise apsw.BindingsError(str(error)) from error

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of a query."""
        try:
            rows: list[Row] = self._raw.execute(sql, parameters).fetchall()
        except UNBINDABLE as error:
            raise apsw.BindingsError(str(error)) from error
        if self._beginnings.unlisted:
            self._beginnings.list_words()
        return rows

    def rows_within(self, seconds: float, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of a query, which is broken off when its time is over."""
        end = monotonic() + seconds
        self._raw.set_progress_handler(lambda: monotonic() > end, STEPS)
        try:
            return self.rows(sql, parameters)
        finally:
            self._raw.set_progress_handler(None)

    def get(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        """The first row, or its only value; None if there is no row."""
        return self._raw.execute(sql, parameters).get

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All or none of what is run inside, holding the lock for writing from the beginning."""
        self.run("begin immediate")
        try:
            yield
            self.run("commit")
        except BaseException:
            self.roll_back()
            raise

    def roll_back(self) -> None:
        """Undo the transaction, if there still is one.

        After a full disk or an I/O error SQLite has rolled back already, and a second ROLLBACK would raise.
        """
        if self._raw.in_transaction:
            self.run("rollback")

    def copy(self) -> Connection:
        """The whole database as it is now, in memory."""
        copy = Connection(":memory:")
        with copy._raw.backup("main", self._raw, "main") as backup:
            backup.step()
        return copy

    def copy_to(self, path: str, on_pages: Callable[[int, int], None]) -> None:
        """The whole database as it is now, in a file that is made. Others may write meanwhile: a read transaction is
        kept open, or each page that they change would begin the copy anew."""
        self.run("begin")
        self.get("select count(*) from sqlite_schema")  # it is the first read that fixes what the transaction sees
        copy = Connection(path)
        try:
            with copy._raw.backup("main", self._raw, "main") as backup:
                while not backup.done:
                    backup.step(COPIED_PAGES)
                    on_pages(backup.page_count - backup.remaining, backup.page_count)
        finally:
            copy.close()
            self.roll_back()

    def is_alone(self) -> bool:
        """Whether nobody else has the file open: only then can it leave the write-ahead log, which a store returns to
        when it opens the file."""
        try:
            mode: str = self._raw.pragma("journal_mode", "delete")
        except apsw.BusyError:
            return False
        return mode == "delete"

    def close(self) -> None:
        """Close it; the last one to be closed folds the write-ahead log into the file."""
        self._raw.close()
