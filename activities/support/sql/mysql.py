"""Scripts on MySQL and MariaDB, by PyMySQL."""

import contextlib
import errno
import os
import re
import selectors
import socket
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any, Final

import pymysql
from pymysql.constants import CR, ER, SERVER_STATUS
from pymysql.cursors import SSCursor

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
    flag,
    one_line,
    wait_ready,
)

_PORT: Final = 3306

_LOST: Final = frozenset({0, CR.CR_CONN_HOST_ERROR, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, 1053, 1927})
"""0 is a connection that is closed already, 1053 the server's shutdown, 1927 MariaDB's killed connection."""

_RETRYABLE: Final = frozenset({ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT, ER.CON_COUNT_ERROR, 1637, 3572})
"""1637 is too many transactions, 3572 a lock asked for with NOWAIT."""

_ROLLED_BACK: Final = frozenset({ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT})
"""With these the server rolls the transaction back itself, or may be set to."""

_COMMITTING: Final = re.compile(
    r"(?:/\*M?!\d*\s*)?(?:alter|create(?!\s+temporary\b)|drop(?!\s+temporary\b)|grant|rename|revoke|truncate)\b",
    re.IGNORECASE,
)
"""How statements begin that commit. https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html"""

_WARNING_LIMIT: Final = 20


class MysqlSession(Session):
    """A script's connection to a MySQL or MariaDB server.

    These servers commit by themselves at CREATE TABLE and its kin: what came before then stays, whatever fails later,
    and results say so.
    """

    def __init__(self, target: Target, context: SessionContext) -> None:
        """Connects to nothing yet."""
        super().__init__(target, context)
        self._connection: Any = None  # the stubs of PyMySQL lack half of what is used
        self._plug: socket.socket | None = None
        # Held while a KILL is under way, so that it hits the statement it is meant for, and none after it.
        self._lock = threading.Lock()
        self._executing = False

    def open(self) -> None:
        """Connects."""
        seconds = connect_seconds(self.target)
        deadline = time.monotonic() + seconds
        unanswered = threading.Timer(seconds, self.drop)
        unanswered.daemon = True
        try:
            connection = pymysql.connect(**self._parameters(), autocommit=False, defer_connect=True)
            wire = self._dial(deadline)
            # A second handle on the socket: closing the first from another thread would not end a read.
            self._plug = wire.dup()
            unanswered.start()
            connection.connect(wire)
        except TimeoutError:
            raise self._unreachable(f"no answer within {seconds:g} s") from None
        except OSError as error:
            raise self._unreachable(error.strerror or str(error)) from None
        except (pymysql.MySQLError, RuntimeError) as error:
            raise self._unreachable(_message(error)) from None
        finally:
            unanswered.cancel()
        self._connection = connection

    def begin(self, statement: str | None) -> None:
        """Begins the transaction; without a statement of the script's own it begins with the first that needs one."""
        if statement:
            for _ in self.execute(statement):
                pass

    def execute(self, statement: str) -> Generator[Result]:
        """Runs one statement."""
        connection = self._opened
        pending = self._in_transaction()
        with self._killable(), self._cursor() as cursor:
            try:
                cursor.execute(statement)
                more: bool | None = True
                while more:
                    yield self._result(cursor, statement, pending=pending)
                    more = cursor.nextset()
            except pymysql.MySQLError as error:
                raise self._failure(error, pending=pending) from None
            warnings = cursor.warning_count
        if warnings:
            for level, code, message in list(connection.show_warnings())[:_WARNING_LIMIT]:
                self.context.say(f"{level} {code}: {one_line(message)}")
        if connection.server_status & SERVER_STATUS.SERVER_STATUS_AUTOCOMMIT:
            raise SqlError("the statement turned autocommit on; a script is one transaction", committed=True)

    def commit(self) -> None:
        """Commits."""
        try:
            self._opened.commit()
        except pymysql.MySQLError as error:
            raise self._failure(error, pending=False) from None

    def rollback(self) -> None:
        """Rolls back."""
        if self._connection is not None:
            with contextlib.suppress(pymysql.MySQLError):
                self._connection.rollback()

    def close(self) -> None:
        """Closes the connection; the server then rolls back what is open."""
        if self._connection is not None:
            with contextlib.suppress(pymysql.MySQLError):
                self._connection.close()
        if self._plug is not None:
            self._plug.close()

    def interrupt(self) -> None:
        """Kills the statement that runs, from a second connection; ends an attempt to connect."""
        with self._lock:
            if self._connection is None:
                self.drop()
            elif self._executing:
                self._kill(self._connection.thread_id())

    def drop(self) -> None:
        """Shuts the socket down: whatever reads from it ends."""
        if self._plug is not None:
            # It may be shut down, or closed, already.
            with contextlib.suppress(OSError):
                self._plug.shutdown(socket.SHUT_RDWR)

    @property
    def _opened(self) -> Any:
        if self._connection is None:
            raise SqlError("the connection is not open")
        return self._connection

    def _parameters(self) -> dict[str, Any]:
        target, options = self.target, self.target.options
        parameters = {
            "host": target.host or "localhost",
            "port": target.port or _PORT,
            "user": target.user or "",
            "password": target.password or "",
            "database": target.database,
            "charset": "utf8mb4",
            "program_name": "rota",
            # No decoders: values come as the server writes them.
            "conv": pymysql.converters.encoders,
            "ssl_key_password": options.get("ssl_key_password"),
        }
        for name in FILE_OPTIONS & set(options):
            parameters[name] = str(self.context.locate(options[name]))
        for name in ("ssl_verify_cert", "ssl_verify_identity", "ssl_disabled"):
            parameters[name] = flag(target, name)
        return parameters

    def _dial(self, deadline: float) -> socket.socket:
        """Returns a connected socket: PyMySQL's own way to one cannot be stopped."""
        problem = 0
        for family, address in self._addresses():
            wire = socket.socket(family, socket.SOCK_STREAM)
            try:
                wire.settimeout(0)
                problem = wire.connect_ex(address)
                if problem in {errno.EINPROGRESS, errno.EWOULDBLOCK}:
                    wait_ready(wire.fileno(), selectors.EVENT_WRITE, stop=self.context.stop, deadline=deadline)
                    problem = wire.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            except BaseException:
                wire.close()
                raise
            if not problem:
                wire.settimeout(None)
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                return wire
            wire.close()
        raise OSError(problem, os.strerror(problem))

    def _addresses(self) -> list[tuple[int, Any]]:
        if path := self.target.options.get("unix_socket"):
            return [(socket.AF_UNIX, path)]
        host, port = self.target.host or "localhost", self.target.port or _PORT
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(family, address) for family, *_, address in found]

    def _unreachable(self, reason: str) -> ConnectionLostError:
        return ConnectionLostError(f"cannot connect to {self.target.place}: {reason}")

    @contextlib.contextmanager
    def _killable(self) -> Iterator[None]:
        with self._lock:
            self._executing = True
        try:
            yield
        finally:
            with self._lock:
                self._executing = False

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[Any]:
        cursor = self._opened.cursor(SSCursor)
        try:
            yield cursor
        finally:
            # Reads what is left of a result; after a stop, until the server has noticed the KILL.
            with contextlib.suppress(pymysql.MySQLError):
                if self._opened.open:
                    cursor.close()
            result = cursor._result  # noqa: SLF001 - else its __del__ reads from a connection that is gone
            if result is not None:
                result.unbuffered_active = False

    def _kill(self, thread: int) -> None:
        limit = self.context.grace
        limits = {"connect_timeout": limit, "read_timeout": limit, "write_timeout": limit}
        # Where this fails, the connection is dropped in the end.
        with contextlib.suppress(pymysql.MySQLError, OSError):
            killer = pymysql.connect(**(self._parameters() | limits))
            try:
                killer.query(f"KILL QUERY {thread}")
            finally:
                killer.close()

    def _in_transaction(self) -> bool:
        return bool(self._opened.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)

    def _result(self, cursor: Any, statement: str, *, pending: bool) -> Result:
        if cursor.description is not None:
            columns = [column[0] for column in cursor.description]
            return collect(columns, cursor.fetchall_unbuffered(), self.context.stop)
        commits = _COMMITTING.match(statement) is not None
        return Result(cursor.rowcount, committed=not self._in_transaction() and (pending or commits))

    def _failure(self, error: pymysql.MySQLError, *, pending: bool) -> SqlError:
        code = error.args[0] if error.args else None
        if code in _LOST:
            return ConnectionLostError(_message(error))
        committed = False
        if pending and code not in _ROLLED_BACK:
            # CREATE TABLE commits even where it then fails; the answer to any statement tells.
            with contextlib.suppress(pymysql.MySQLError):
                self._opened.query("DO 0")
                committed = not self._in_transaction()
        return SqlError(_message(error), retryable=code in _RETRYABLE, committed=committed)


def _message(error: Exception) -> str:
    """Returns the server's words, with its error number."""
    if len(error.args) > 1 and error.args[0]:
        return one_line(f"{error.args[1]} (error {error.args[0]})")
    return one_line(str(error)) or "the connection is closed"
