"""Scripts on SQL Server, by pymssql (FreeTDS)."""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Generator, Iterator
from typing import Final

from pymssql import _mssql

from activities.support.sql.connection import Target
from activities.support.sql.session import (
    ConnectionLostError,
    Result,
    Session,
    SessionContext,
    SqlError,
    collect,
    connect_seconds,
    flag,
    one_line,
    wait_ready,
)

_PORT: Final = 1433

_TDS_VERSION: Final = "7.4"
"""Without a version FreeTDS tries one after the other, each up to the limit for connecting. A server that is older than
this one (SQL Server 2012) answers with its own."""

_CONNECTION_LIMIT: Final = 10_000
"""FreeTDS allows a process 25 by default; how many steps run at a time is the worker's business."""

_RETRYABLE: Final = frozenset({1204, 1205, 1222, 3960, 3961, 10928, 10929, 40197, 40501, 40613, 49918, 49919, 49920})
"""Out of locks, deadlock, lock timeout, conflicts of snapshot isolation, and what Azure SQL calls transient.
https://learn.microsoft.com/azure/azure-sql/database/troubleshoot-common-errors-issues"""

_DB_LIBRARY_ERRORS: Final = range(20000, 21000)
"""FreeTDS's own: the connection failed, or broke."""

_DB_LIBRARY_TEXT: Final = "DB-Lib error message"

_INFORMATION: Final = 10
"""The highest severity of messages that are no errors: PRINT, RAISERROR up to 10."""

_SETTINGS: Final = "SET XACT_ABORT ON; SET NOCOUNT OFF"
"""With XACT_ABORT any error ends the batch; without, T-SQL goes on after most of them."""


class SqlServerSession(Session):
    """A script's connection to a SQL Server.

    Every batch is sent as it stands. A stop sends the server an attention while the answer to a batch is awaited; once
    results come FreeTDS cannot be interrupted, and the connection is cut after the grace period. Either way the server
    ends the batch and rolls back. Connecting cannot be interrupted; it ends by its own limit.
    """

    def __init__(self, target: Target, context: SessionContext) -> None:
        """Connects to nothing yet."""
        super().__init__(target, context)
        self._connection: _mssql.MSSQLConnection | None = None
        # How long to wait for the server: until a stop, or, once the script has failed, until a deadline.
        self._stop: threading.Event | None = context.stop
        self._deadline: float | None = None
        # Held while the socket is shut down: it is not closed meanwhile, and its number given to another.
        self._lock = threading.Lock()
        self._descriptor: int | None = None

    def open(self) -> None:
        """Connects."""
        _waiting.session = self
        try:
            self._connection = self._connect()
        except _mssql.MSSQLException as error:
            raise ConnectionLostError(f"cannot connect to {self.target.place}: {_message(error)}") from None
        self._connection.set_msghandler(self._say)
        self._command(_SETTINGS)

    def begin(self, statement: str | None) -> None:
        """Begins the transaction; in T-SQL a script's own transactions nest in it."""
        self._command(statement or "BEGIN TRANSACTION")

    def execute(self, statement: str) -> Generator[Result]:
        """Runs one batch."""
        yield from self._results(statement)
        state = self._number("SELECT XACT_STATE()")
        if state == 0:
            raise SqlError("the batch ended the script's transaction; what it committed, or did after that, stays")
        if state < 0:
            raise SqlError("an error that the batch caught has left the transaction unfit to be committed")

    def commit(self) -> None:
        """Commits."""
        if self._number("SELECT @@TRANCOUNT") != 1:
            raise SqlError("the script leaves a transaction of its own open: a COMMIT is missing")
        self._command("COMMIT TRANSACTION")

    def rollback(self) -> None:
        """Stops the batch that runs, and rolls back."""
        if self._connection is None:
            return
        self._stop, self._deadline = None, time.monotonic() + self.context.grace
        with contextlib.suppress(_mssql.MSSQLException, SqlError, TimeoutError):
            self._connection.cancel()
            self._command("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")

    def close(self) -> None:
        """Closes the connection; the server then rolls back what is open."""
        _waiting.session = None
        with self._lock:
            self._descriptor = None
        if self._connection is not None:
            self._connection.close()

    def drop(self) -> None:
        """Shuts the socket down: whatever reads from it ends."""
        with self._lock:
            if self._descriptor is None:
                return
            wire = socket.socket(fileno=self._descriptor)
            try:
                wire.shutdown(socket.SHUT_RDWR)
            except OSError:
                # The server was faster.
                pass
            finally:
                wire.detach()

    def wait(self, descriptor: int) -> None:
        """Waits for the answer to a batch that was sent.

        Raises:
            Stopped: A stop was asked for.
            TimeoutError: The server did not answer the rollback.
        """
        with self._lock:
            self._descriptor = descriptor
        # While it connects, pymssql would not let go of a connection that an exception has left.
        stop = self._stop if self._connection is not None else None
        wait_ready(descriptor, selectors.EVENT_READ, stop=stop, deadline=self._deadline)

    @property
    def _opened(self) -> _mssql.MSSQLConnection:
        if self._connection is None:
            raise SqlError("the connection is not open")
        return self._connection

    def _connect(self) -> _mssql.MSSQLConnection:
        target, options = self.target, self.target.options
        encryption = self._encryption()
        login = options.get("authentication", _PASSWORD_LOGIN).replace(" ", "").lower()
        if flag(target, "integrated_security") or login != _PASSWORD_LOGIN:
            raise SqlError("connection string: only logins of SQL Server are supported: give User Id and Password")
        if not target.user:
            raise SqlError("connection string: SQL Server needs User Id and Password")
        host = target.host or ""
        _mssql.login_timeout = round(connect_seconds(target))
        return _mssql.MSSQLConnection(
            # The name of an instance is looked up only where no port is given, as SqlClient does.
            server=host.partition("\\")[0] if target.port else host,
            port=str(target.port or _PORT),
            user=target.user,
            password=target.password or "",
            database=target.database or "",
            appname=options.get("appname", "rota"),
            tds_version=options.get("tds_version", _TDS_VERSION),
            encryption=encryption,
            read_only=options.get("application_intent", "").lower() == "readonly",
        )

    def _encryption(self) -> str | None:
        wish = self.target.options.get("encrypt", "").lower()
        if wish in {"", "optional", "false", "no"}:
            return None
        if wish not in {"mandatory", "true", "yes"}:
            raise SqlError("connection string: Encrypt is Mandatory or Optional; Strict is not supported")
        if not flag(self.target, "trust_server_certificate"):
            self.context.say(
                "The connection is encrypted, but the server's certificate is verified only where FreeTDS has a"
                " 'ca file' in its freetds.conf.",
            )
        return "require"

    def _command(self, batch: str) -> None:
        for _ in self._results(batch):
            pass

    def _number(self, query: str) -> int:
        (result,) = self._results(query)
        return int(result.head[0][0])

    def _results(self, batch: str) -> Iterator[Result]:
        connection = self._opened
        try:
            connection.execute_query(batch)
            columns = connection.get_header()
            if not columns:
                yield Result(connection.rows_affected if connection.rows_affected >= 0 else None)
            while columns:
                rows = connection.get_iterator(_mssql.ROW_FORMAT_TUPLE)
                yield collect([column[0] for column in columns], rows, self.context.stop)
                columns = connection.get_header() if connection.nextresult() else None
        except _mssql.MSSQLDatabaseException as error:
            raise _failure(error) from None
        except _mssql.MSSQLException as error:
            raise ConnectionLostError(_message(error)) from None

    def _say(self, _state: int, severity: int, _server: bytes, _procedure: bytes, _line: int, text: bytes) -> None:
        if severity <= _INFORMATION:
            self.context.say(text.decode(errors="replace"))


_PASSWORD_LOGIN: Final = "sqlpassword"  # noqa: S105 - what SqlClient calls a login with a password

_waiting: Final = threading.local()


def _on_wait(descriptor: int) -> None:
    """Called by pymssql, in the thread of a session, when a batch was sent and its answer is awaited."""
    session: SqlServerSession | None = getattr(_waiting, "session", None)
    if session is not None:
        session.wait(descriptor)


_mssql.set_wait_callback(_on_wait)
_mssql.set_max_connections(_CONNECTION_LIMIT)


def _failure(error: _mssql.MSSQLDatabaseException) -> SqlError:
    if error.number in _DB_LIBRARY_ERRORS:
        return ConnectionLostError(_message(error))
    procedure = error.procname.decode(errors="replace")
    return SqlError(
        f"{_message(error)} (in {procedure}, line {error.line})" if procedure else _message(error),
        retryable=error.number in _RETRYABLE,
        line=None if procedure else error.line,
    )


def _message(error: _mssql.MSSQLException) -> str:
    """Returns the server's words with its error number, or FreeTDS's where the server said nothing."""
    if not isinstance(error, _mssql.MSSQLDatabaseException):
        return one_line(str(error))
    text = error.text.decode(errors="replace")
    said = text.partition(_DB_LIBRARY_TEXT)[0].strip() or text
    return one_line(f"{said} (error {error.number})")
