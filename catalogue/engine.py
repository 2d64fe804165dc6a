"""Connections to the catalogue's database, SQLite or PostgreSQL, and its transactions."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from pydantic_core import from_json
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext, IsolationLevel
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import TimeoutError as SQLAlchemyTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel.ext.asyncio.session import AsyncSession

from runtime.errors import StartError

_ASYNC_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}
_SYNC_DRIVERS: Final = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}

_LIMITS: Final = {
    "connect_timeout": "10",
    "tcp_user_timeout": "20000",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
"""When a server counts as gone, in seconds but for `tcp_user_timeout`, unless the URL says otherwise. By itself the driver
waits 130 s for a connection, and for a host that vanished in the middle of a statement two hours."""

_READ_ONLY: Final = "25006"
"""SQLSTATE of a PostgreSQL server that refuses to write, as a standby does."""

# A writer waits this long for another writer before it fails. Writes are short: one that waits longer is in trouble.
_SQLITE_BUSY_SECONDS: Final = 15

_SQLITE_CACHE_KIB: Final = 256
"""Of pages, of each connection. With the 2 MB that SQLite takes of itself, an API and a worker that had run 10,000 steps
held 26 MB more; what is read often the system has in its memory anyway."""

_WRITERS: Final = 10
_TURN_SECONDS: Final = 15
"""How long a writer waits for others of its own process, two of which may each be waiting for Temporal, and how long a
short read may take."""


class DatabaseUrlError(StartError):
    """The catalogue's URL cannot be used; the message is one line."""


def _driver_url(url: str, drivers: dict[str, str]) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise DatabaseUrlError(
            "ROTA_DATABASE_URL: not a database URL; write sqlite:///path/rota.db or postgresql://user@host/database, "
            "several hosts as postgresql://user@/database?host=one:5432&host=two:5432",
        ) from None
    backend = parsed.get_backend_name()
    if backend not in drivers:
        raise DatabaseUrlError(f"ROTA_DATABASE_URL: {backend} is not supported; use sqlite or postgresql")
    if backend == "postgresql":
        parsed = parsed.update_query_dict(_LIMITS | dict(parsed.query))
    return parsed.set(drivername=drivers[backend])


def sync_url(url: str) -> URL:
    """Returns the URL with the driver that migrations use.

    Raises:
        DatabaseUrlError: It is no URL of SQLite or PostgreSQL.
    """
    return _driver_url(url, _SYNC_DRIVERS)


def configure_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry | None = None) -> None:
    """Sets what every connection to a SQLite catalogue needs.

    WAL lets readers go on beside a writer. With synchronous=NORMAL a power cut may lose the last commits, never the
    database's integrity (SQLite's documentation of PRAGMA synchronous).
    """
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={_SQLITE_BUSY_SECONDS * 1000}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        f"cache_size=-{_SQLITE_CACHE_KIB}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _leave_standby(context: ExceptionContext) -> None:
    """Takes a server that does not write for one that is gone: after a failover some time passes until all know it.

    What was tried may then be tried again, on a new connection.
    """
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def _use_explicit_transactions(connection: Any, record: ConnectionPoolEntry) -> None:
    # By itself the driver begins one at the first row that is written: a table made before that is there for good,
    # whatever becomes of the rest.
    connection.isolation_level = None
    configure_sqlite(connection, record)


def _fold_every_letter(connection: Any, _: ConnectionPoolEntry) -> None:
    """Lets SQLite compare in any letter case: its own `lower` knows the letters of English alone."""
    connection.create_function("lower", 1, _folded, deterministic=True)


def _folded(text: str | None) -> str | None:
    return text and text.lower()


def _let_go(failure: ExceptionContext) -> None:
    """Lets the connections go beside one on which a statement failed: they may know the schema of before a migration.

    SQLite reads the schema anew where a name is unknown to it, and not where a statement breaks a rule of the schema that
    it knows: a value for a column that was generated then is refused for as long as the connection lives.
    """
    if getattr(failure.original_exception, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        failure.is_disconnect = True


def _configure_sqlite_engine(engine: Engine, begin: str) -> None:
    event.listen(engine, "handle_error", _let_go)
    event.listen(engine, "connect", _use_explicit_transactions)
    event.listen(engine, "connect", _fold_every_letter)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))


def configure_sqlite_writers(engine: Engine) -> None:
    """Sets up connections to a SQLite catalogue whose transactions lock it from their start."""
    _configure_sqlite_engine(engine, "BEGIN IMMEDIATE")


def _read_json(text: str | bytes) -> Any:
    """Reads what `json.dumps` wrote.

    Python's own reader takes four times as long, a tenth of what an execution of many steps takes to show; it alone reads
    half a character (a lone surrogate) and what is nested two hundred deep.
    """
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text)


Answer = TypeVar("Answer")


async def _in_thread(threads: ThreadPoolExecutor, work: Callable[[], Answer]) -> Answer:
    return await asyncio.get_running_loop().run_in_executor(threads, work)


class Catalogue:
    """The catalogue's database: one for each process."""

    def __init__(self, url: str) -> None:
        """Takes the URL of a SQLite file or a PostgreSQL database; connects at the first transaction.

        Raises:
            DatabaseUrlError: It is no URL of SQLite or PostgreSQL.
        """
        # hide_parameters: what is written may be secret, and an error that is logged would show it.
        parsed = _driver_url(url, _ASYNC_DRIVERS)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        # Writers have connections of their own: readers do not wait behind those that wait for each other. What a reader
        # reads is of one moment, however many statements it takes; WAL mode sees to that for SQLite.
        # Prepared, a query would be planned once for any schedule: for one with three executions as for one with a
        # hundred thousand.
        reading = self._options("REPEATABLE READ", prepare_threshold=None)
        self._readers = create_async_engine(parsed, **reading)
        self._short_readers = create_engine(sync_url(url), **reading)
        # A transaction that reads first and writes later cannot wait for another writer in WAL mode, it fails at once:
        # one that will write says so at its start. In PostgreSQL it waits at a row, and reads on from what it then finds.
        writing = self._options("READ COMMITTED")
        self._writers = create_async_engine(parsed, **writing)
        self._short_writers = create_engine(sync_url(url), **writing)
        if self.is_sqlite:
            for engine in (self._readers.sync_engine, self._short_readers):
                _configure_sqlite_engine(engine, "BEGIN")
            for engine in (self._writers.sync_engine, self._short_writers):
                configure_sqlite_writers(engine)
        else:
            for engine in (self._writers.sync_engine, self._short_writers):
                event.listen(engine, "handle_error", _leave_standby)
        self._write_turns = asyncio.Semaphore(1 if self.is_sqlite else _WRITERS)
        # Threads of its own: one that waits for a database that is away goes on waiting when nobody waits for it any more,
        # and those of the event loop are for others, such as steps.
        # Writers may wait for each other, all of them; readers go on beside them.
        self._reading = ThreadPoolExecutor(thread_name_prefix="catalogue-read")
        self._writing = ThreadPoolExecutor(_WRITERS, thread_name_prefix="catalogue-write")

    def _options(self, isolation_level: IsolationLevel, **connect_args: Any) -> dict[str, Any]:
        """Returns what connections are made with: the level and what psycopg's `connect` takes are PostgreSQL's."""
        options: dict[str, Any] = {"pool_size": _WRITERS, "hide_parameters": True, "json_deserializer": _read_json}
        if not self.is_sqlite:
            options |= {"pool_pre_ping": True, "isolation_level": isolation_level, "connect_args": connect_args}
        return options

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session that only reads."""
        async with AsyncSession(self._readers, expire_on_commit=False) as session:
            yield session

    async def read_short(self, work: Callable[[Connection], Answer]) -> Answer:
        """Runs a short piece of work that only reads, in one transaction and one thread, and returns its answer.

        For what is asked again and again: an asynchronous session on SQLite goes to a thread and back four times a
        statement.

        Args:
            work: Executes Core statements on the connection that it is given; it must not block on anything else.

        Raises:
            sqlalchemy.exc.TimeoutError: The database, or the threads that wait for it, took too long.
        """

        def run() -> Answer:
            with self._short_readers.connect() as connection:
                return work(connection)

        try:
            async with asyncio.timeout(_TURN_SECONDS):
                return await _in_thread(self._reading, run)
        except TimeoutError:
            raise SQLAlchemyTimeoutError(f"no answer within {_TURN_SECONDS} s") from None

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A session whose changes are committed together at its end, or none of them where an exception leaves it.

        Raises:
            sqlalchemy.exc.TimeoutError: Other writers of this process left no turn for too long.
        """
        async with (
            self._write_turn(),
            AsyncSession(self._writers, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @asynccontextmanager
    async def _write_turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await self._write_turns.acquire()
        except TimeoutError:
            raise SQLAlchemyTimeoutError(f"no turn to write within {_TURN_SECONDS} s") from None
        try:
            yield
        finally:
            self._write_turns.release()

    async def write_short(self, work: Callable[[Connection], Answer]) -> Answer:
        """Runs a short piece of work in one transaction and one thread, and returns its answer.

        For the writes that every step waits for: an asynchronous session cost 4 ms of CPU a step, as `read_short` says.

        Args:
            work: Executes Core statements on the connection that it is given; it must not block on anything else.

        Raises:
            sqlalchemy.exc.TimeoutError: Other writers of this process left no turn for too long.
        """

        def run() -> Answer:
            with self._short_writers.begin() as connection:
                return work(connection)

        async with self._write_turn():
            return await _in_thread(self._writing, run)

    async def close(self) -> None:
        """Closes every connection."""
        await self._readers.dispose()
        await self._writers.dispose()
        await asyncio.to_thread(self._short_readers.dispose)
        await asyncio.to_thread(self._short_writers.dispose)
        self._reading.shutdown(wait=False)
        self._writing.shutdown(wait=False)
