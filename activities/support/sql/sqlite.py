"""Scripts on SQLite, by Python's own module."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final, TypeVar

from activities.support.sql.connection import Target
from activities.support.sql.session import Result, Session, SessionContext, SqlError, Stopped, collect, one_line
from activities.support.step_type import StepFailure

_BUSY_SECONDS: Final = 30.0
"""How long a script waits for the lock of another connection."""

_BUSY_POLL_SECONDS: Final = 0.05

_MEMORY: Final = ":memory:"

_PROCESS_WIDE: Final = frozenset(
    {"data_store_directory", "hard_heap_limit", "soft_heap_limit", "temp_store_directory"},
)
"""PRAGMAs that change every SQLite connection of a process: those of the worker's catalogue and of other steps too.
https://www.sqlite.org/pragma.html"""

_T = TypeVar("_T")


class SqliteSession(Session):
    """A script's connection to a database file.

    The transaction takes the lock for writing when it begins: scripts on one file then wait for each other and cannot
    deadlock. SQLite's own wait for a lock cannot be interrupted, so the waiting is done here.
    """

    def __init__(self, target: Target, context: SessionContext) -> None:
        """Opens nothing yet."""
        super().__init__(target, context)
        self._database: sqlite3.Connection | None = None
        self._refusal: str | None = None
        self._writable = True

    def open(self) -> None:
        """Opens the database; a file that does not exist is made, as SQLite does."""
        name = self.target.database or _MEMORY
        path = name if name == _MEMORY else str(self.context.locate(name))
        self._writable = not Path(path).exists() or os.access(path, os.W_OK)
        try:
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise SqlError(f"cannot open {self.target.place}: {error}") from None
        self._database.text_factory = lambda data: data.decode(errors="replace")
        self._database.set_authorizer(self._authorize)

    def begin(self, statement: str | None) -> None:
        """Begins the transaction."""
        usual = "BEGIN IMMEDIATE" if self._writable else "BEGIN"
        self._patiently(lambda database: database.execute(statement or usual))

    def execute(self, statement: str) -> Generator[Result]:
        """Runs one statement."""
        yield self._patiently(lambda database: self._result(database.execute(statement)))

    def commit(self) -> None:
        """Commits, once nobody reads the file in its old state."""
        self._patiently(lambda database: database.execute("COMMIT"))

    def rollback(self) -> None:
        """Rolls back; where that is interrupted, closing does it."""
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.rollback()

    def close(self) -> None:
        """Closes the database."""
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()

    def interrupt(self) -> None:
        """Interrupts the statement that runs."""
        if self._database is not None:
            # It may have been closed a moment ago.
            with contextlib.suppress(sqlite3.Error):
                self._database.interrupt()

    def _result(self, cursor: sqlite3.Cursor) -> Result:
        if cursor.description is None:
            return Result(cursor.rowcount if cursor.rowcount >= 0 else None)
        return collect([column[0] for column in cursor.description], cursor, self.context.stop)

    def _patiently(self, act: Callable[[sqlite3.Connection], _T]) -> _T:
        """Does what may have to wait for a lock; a statement that found the file locked has done nothing yet."""
        if self._database is None:
            raise SqlError("the database is not open")
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                return act(self._database)
            except sqlite3.Error as error:
                code = getattr(error, "sqlite_errorcode", None)
                if not _is_busy(code) or time.monotonic() > deadline:
                    raise self._failure(error, code) from None
            if self.context.stop.wait(_BUSY_POLL_SECONDS):
                raise Stopped

    def _failure(self, error: sqlite3.Error, code: int | None) -> SqlError:
        if self._refusal:
            return SqlError(self._refusal)
        locked = code is not None and _primary(code) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
        return SqlError(one_line(str(error)), retryable=locked)

    def _authorize(self, action: int, name: str | None, *_: str | None) -> int:
        """Lets a script attach only database files that the step itself could name, and change its own connection alone."""
        if action == sqlite3.SQLITE_PRAGMA and name is not None and name.lower() in _PROCESS_WIDE:
            self._refusal = f"PRAGMA {name.lower()} is refused: it would change the whole worker"
            return sqlite3.SQLITE_DENY
        if action != sqlite3.SQLITE_ATTACH or name in {"", _MEMORY}:
            return sqlite3.SQLITE_OK
        if name is None or not Path(name).is_absolute():
            self._refusal = "ATTACH takes the absolute path of a file, as a plain string"
            return sqlite3.SQLITE_DENY
        try:
            self.context.locate(name)
        except StepFailure as refusal:
            self._refusal = str(refusal)
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK


def _primary(code: int) -> int:
    """Returns the primary code of an extended one: its low byte (https://sqlite.org/rescode.html)."""
    return code & 0xFF


def _is_busy(code: int | None) -> bool:
    # A snapshot that is too old to be written on does not get younger by waiting.
    return code is not None and _primary(code) == sqlite3.SQLITE_BUSY and code != sqlite3.SQLITE_BUSY_SNAPSHOT
