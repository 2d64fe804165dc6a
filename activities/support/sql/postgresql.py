"""Scripts on PostgreSQL, by the libpq that psycopg brings.

It is driven directly: rows are counted as they arrive (psycopg's cursors hold a result whole, or run queries only),
and every wait for the server notices a stop.
"""

import contextlib
import selectors
import threading
import time
from collections.abc import Generator, Iterator
from typing import Final

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo
from psycopg.pq.abc import PGconn, PGresult

from activities.support.sql.connection import Target
from activities.support.sql.options import FILE_OPTIONS
from activities.support.sql.session import (
    ConnectionLostError,
    Result,
    Session,
    SessionContext,
    SqlError,
    collect,
    connect_seconds,
    one_line,
    wait_ready,
)

_RETRYABLE: Final = ("08", "40", "53", "55P03", "57P", "58")
"""SQLSTATEs, or how they begin: connection lost, transaction rolled back (deadlock, serialization), out of resources,
lock not available, shutdown, system error. https://www.postgresql.org/docs/current/errcodes-appendix.html"""

_SPELLINGS: Final = {
    "verifyca": "verify-ca",
    "verifyfull": "verify-full",
    "readwrite": "read-write",
    "readonly": "read-only",
    "preferstandby": "prefer-standby",
}
"""Npgsql's words that libpq spells otherwise."""

_WORD_OPTIONS: Final = frozenset({"sslmode", "channel_binding", "target_session_attrs", "gssencmode"})

# Makes a server of version 14 or later notice that the client is gone while a statement runs, so that nothing goes on
# after a worker that was killed.
_WATCH_CLIENT: Final = (
    "SELECT set_config(name, '2s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'"
)

_COPY: Final = frozenset({pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH})
_ROWS: Final = frozenset({pq.ExecStatus.SINGLE_TUPLE, pq.ExecStatus.TUPLES_OK})
_IN_TRANSACTION: Final = frozenset({pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR})


class PostgresqlSession(Session):
    """A script's connection to a PostgreSQL server."""

    def __init__(self, target: Target, context: SessionContext) -> None:
        """Connects to nothing yet."""
        super().__init__(target, context)
        self._connection: psycopg.Connection | None = None
        # How long to wait for the server: until a stop, or, once the script has failed, until a deadline.
        self._stop: threading.Event | None = context.stop
        self._deadline: float | None = None

    def open(self) -> None:
        """Connects."""
        seconds = connect_seconds(self.target)
        try:
            libpq = pq.PGconn.connect_start(make_conninfo("", **self._parameters()).encode())
        except psycopg.Error as error:
            raise SqlError(f"connection string: {one_line(str(error))}") from None
        try:
            self._establish(libpq, time.monotonic() + seconds)
        except TimeoutError:
            libpq.finish()
            raise ConnectionLostError(
                f"cannot connect to {self.target.place}: no answer within {seconds:g} s"
            ) from None
        except BaseException:
            libpq.finish()
            raise
        libpq.nonblocking = 1
        self._connection = psycopg.Connection(libpq)
        self._connection.add_notice_handler(self._notice)
        with contextlib.suppress(SqlError):
            self._command(_WATCH_CLIENT)

    def begin(self, statement: str | None) -> None:
        """Begins the transaction."""
        self._command(statement or "BEGIN")

    def execute(self, statement: str) -> Generator[Result]:
        """Runs one statement."""
        inside = self._libpq.transaction_status in _IN_TRANSACTION
        yield from self._results(statement)
        if inside and self._libpq.transaction_status not in _IN_TRANSACTION:
            raise SqlError("the statement ended the transaction")

    def commit(self) -> None:
        """Commits."""
        self._command("COMMIT")

    def rollback(self) -> None:
        """Cancels the statement that runs, and rolls back."""
        if self._connection is None:
            return
        self._stop, self._deadline = None, time.monotonic() + self.context.grace
        with contextlib.suppress(psycopg.Error, SqlError, TimeoutError):
            if self._libpq.transaction_status == pq.TransactionStatus.ACTIVE:
                self._connection.cancel_safe(timeout=self.context.grace)
                while (result := self._next()) is not None and result.status not in _COPY:
                    pass
            if self._libpq.transaction_status in _IN_TRANSACTION:
                self._command("ROLLBACK")

    def close(self) -> None:
        """Closes the connection; the server then rolls back what is open."""
        if self._connection is not None:
            self._connection.close()

    @property
    def _libpq(self) -> PGconn:
        if self._connection is None:
            raise SqlError("the connection is not open")
        return self._connection.pgconn

    def _parameters(self) -> dict[str, str]:
        options = {name: value for name, value in self.target.options.items() if name != "connect_timeout"}
        for name in FILE_OPTIONS & set(options):
            if options[name] != "system":
                options[name] = str(self.context.locate(options[name]))
        for name in _WORD_OPTIONS & set(options):
            word = options[name].lower()
            options[name] = _SPELLINGS.get(word.replace("-", ""), word)
        settings = [options.pop("options", "")]
        for name in ("search_path", "timezone"):
            if name in options:
                # libpq splits the command line for the server at blanks; a backslash keeps one.
                value = options.pop(name).replace("\\", r"\\").replace(" ", r"\ ")
                settings.append(f"-c {name}={value}")
        target = self.target
        parameters = {
            "host": target.host,
            "port": target.port and str(target.port),
            "dbname": target.database,
            "user": target.user,
            "password": target.password,
            "application_name": "rota",
            "options": " ".join(settings).strip(),
            **options,
            "client_encoding": "UTF8",
        }
        return {name: value for name, value in parameters.items() if value}

    def _establish(self, libpq: PGconn, deadline: float) -> None:
        progress: int = pq.PollingStatus.WRITING
        while libpq.status != pq.ConnStatus.BAD and progress != pq.PollingStatus.OK:
            reading = progress == pq.PollingStatus.READING
            events = selectors.EVENT_READ if reading else selectors.EVENT_WRITE
            wait_ready(libpq.socket, events, stop=self._stop, deadline=deadline)
            progress = libpq.connect_poll()
        if libpq.status == pq.ConnStatus.BAD:
            reason = one_line(libpq.get_error_message())
            raise ConnectionLostError(f"cannot connect to {self.target.place}: {reason}")

    def _command(self, statement: str) -> None:
        for _ in self._results(statement):
            pass

    def _results(self, statement: str) -> Iterator[Result]:
        try:
            self._libpq.send_query(statement.encode())
            self._libpq.set_single_row_mode()
            while self._libpq.flush():
                if self._wait(selectors.EVENT_READ | selectors.EVENT_WRITE) & selectors.EVENT_READ:
                    self._libpq.consume_input()
            while (result := self._next()) is not None:
                yield self._result(result)
        except psycopg.Error as error:
            raise ConnectionLostError(one_line(str(error))) from None

    def _result(self, result: PGresult) -> Result:
        self._raise_failure(result)
        if result.status in _ROWS:
            columns = [(result.fname(column) or b"").decode(errors="replace") for column in range(result.nfields)]
            return collect(columns, self._rows(result), self.context.stop)
        return Result(result.command_tuples)

    def _rows(self, result: PGresult | None) -> Iterator[list[str | None]]:
        # One row a result, and at the end one without rows.
        while result is not None and result.ntuples:
            values = [result.get_value(0, column) for column in range(result.nfields)]
            yield [value if value is None else value.decode(errors="replace") for value in values]
            result = self._next()
            if result is not None:
                self._raise_failure(result)

    def _next(self) -> PGresult | None:
        while self._libpq.is_busy():
            self._wait(selectors.EVENT_READ)
            self._libpq.consume_input()
        return self._libpq.get_result()

    def _wait(self, events: int) -> int:
        return wait_ready(self._libpq.socket, events, stop=self._stop, deadline=self._deadline)

    def _raise_failure(self, result: PGresult) -> None:
        if result.status in _COPY:
            raise SqlError("COPY FROM STDIN and TO STDOUT need a client: use INSERT, or COPY with a file of the server")
        if result.status not in {pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE}:
            return
        said = {name: _field(result, name) for name in pq.DiagnosticField}
        state = said[pq.DiagnosticField.SQLSTATE]
        message = said[pq.DiagnosticField.MESSAGE_PRIMARY]
        if not state or self._libpq.status == pq.ConnStatus.BAD:
            raise ConnectionLostError(message or one_line(result.get_error_message()))
        details = [
            f"{label}: {said[name]}"
            for label, name in (
                ("DETAIL", pq.DiagnosticField.MESSAGE_DETAIL),
                ("HINT", pq.DiagnosticField.MESSAGE_HINT),
                ("CONTEXT", pq.DiagnosticField.CONTEXT),
            )
            if said[name]
        ]
        raise SqlError(message, retryable=state.startswith(_RETRYABLE), details=details)

    def _notice(self, notice: psycopg.errors.Diagnostic) -> None:
        self.context.say(f"{notice.severity or 'NOTICE'}: {one_line(notice.message_primary or '')}")


def _field(result: PGresult, name: int) -> str:
    return one_line((result.error_field(name) or b"").decode(errors="replace"))
