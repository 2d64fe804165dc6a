"""The run of a script: read, cut into statements, run in one transaction, stopped on the server when asked to."""

import asyncio
import codecs
import contextlib
import importlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from activities.support.sql.connection import Target
from activities.support.sql.options import Dialect
from activities.support.sql.session import ConnectionLostError, Result, Session, SessionContext, SqlError, Stopped
from activities.support.sql.split import Role, SplitError, Statement, split_script
from activities.support.step_type import StepFailure
from contracts.execution import StepProgress
from runtime.secrets import scrubber

SCRIPT_LIMIT_BYTES: Final = 16 * 1024 * 1024
"""How large a script may be: a megabyte takes a second or two to split. Bulk data is for the database's own loader."""

_PROGRESS_SECONDS: Final = 1.0
_INTERRUPT_SECONDS: Final = 0.2

_SESSIONS: Final[dict[Dialect, tuple[str, str, str]]] = {
    Dialect.SQLITE: ("sqlite", "SqliteSession", ""),
    Dialect.POSTGRESQL: ("postgresql", "PostgresqlSession", "postgres"),
    Dialect.MYSQL: ("mysql", "MysqlSession", "mysql"),
    Dialect.SQLSERVER: ("sqlserver", "SqlServerSession", "mssql"),
}
"""Module, class, and the extra that brings its driver. Imported when first used: an extra may not be installed."""


class ScriptRun:
    """One run of one script, in a thread of its own: the drivers block."""

    def __init__(
        self,
        script: Path,
        target: Target,
        *,
        locate: Callable[[str], Path],
        write: Callable[[str], None],
        grace: float,
    ) -> None:
        """Takes what to run, and where.

        Args:
            script: The file, allowed by the script roots.
            target: The database.
            locate: Returns the path of a file that the connection or the script names, or raises `StepFailure`.
            write: Takes a line of output; called in the run's thread.
            grace: Seconds that a server gets to confirm a stop and roll back, before its connection is dropped.
        """
        self._script = script
        self._target = target
        self._scrub = scrubber(target.secrets)
        self._output = write
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._context = SessionContext(stop=self._stop, say=self._write, grace=grace, locate=locate)
        self._session: Session | None = None
        self._done = self._total = self._rows = 0
        self._settled = 0

    async def run(self, report: Callable[[StepProgress], None]) -> int:
        """Runs the script to its end, and returns how many statements it has.

        Cancelling it stops the statement on the server and rolls back, before `asyncio.CancelledError` goes on.

        Raises:
            StepFailure: The script cannot be read or split, the server cannot be reached, or a statement failed; all
                is rolled back, but for what a server had committed by itself, which the message then says.
        """
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(2, thread_name_prefix="sql-script") as threads:
            work = loop.run_in_executor(threads, self._work)
            try:
                while not work.done():
                    await asyncio.wait({work}, timeout=_PROGRESS_SECONDS)
                    report(self._progress())
            except asyncio.CancelledError:
                self._stop.set()
                await _all_ended(work, loop.run_in_executor(threads, self._interrupt))
                raise
            return work.result()

    def _progress(self) -> StepProgress:
        message = f"{self._done} of {_count(self._total, 'statement')}, {_count(self._rows, 'row')}"
        return StepProgress(done=self._done, total=self._total, message=message)

    def _write(self, line: str) -> None:
        self._output(self._scrub(line))

    def _interrupt(self) -> None:
        """Stops the work, in a second thread."""
        deadline = time.monotonic() + self._context.grace
        while not self._ended.is_set():
            if self._session is not None and time.monotonic() >= deadline:
                self._session.drop()
            elif self._session is not None:
                # Whatever goes wrong here, the connection is dropped in the end.
                with contextlib.suppress(Exception):
                    self._session.interrupt()
            self._ended.wait(_INTERRUPT_SECONDS)

    def _work(self) -> int:
        try:
            statements = self._statements()
            if statements:
                self._total = len(statements)
                self._run(statements)
            return len(statements)
        except SqlError as error:
            raise StepFailure(self._scrub(str(error)), retryable=error.retryable) from None
        except SplitError as error:
            raise StepFailure(f"{self._script.name}: {error}", retryable=False) from None
        finally:
            self._ended.set()

    def _statements(self) -> list[Statement]:
        return split_script(read_script(self._script), self._target.dialect, self._heed_stop)

    def _run(self, statements: list[Statement]) -> None:
        session = self._session = _session(self._target, self._context)
        try:
            session.open()
            try:
                self._transaction(session, statements)
            except BaseException:
                session.rollback()
                raise
        finally:
            session.close()

    def _transaction(self, session: Session, statements: list[Statement]) -> None:
        begun = committed = False
        for statement in statements:
            self._heed_stop()
            if statement.role is Role.COMMIT:
                self._commit(session)
                committed = True
                continue
            try:
                if statement.role is Role.BEGIN:
                    session.begin(statement.text)
                    begun = True
                    continue
                if statement.role is not Role.SETTING and not begun:
                    session.begin(None)
                    begun = True
                self._execute(session, statement)
            except SqlError as error:
                raise self._failed(statement, error) from None
            self._done = statement.number
        if not committed:
            self._heed_stop()
            self._commit(session)
        self._done = self._total

    def _execute(self, session: Session, statement: Statement) -> None:
        for _ in range(statement.repeat):
            self._heed_stop()
            with contextlib.closing(session.execute(statement.text)) as results:
                for result in results:
                    self._show(statement, result)

    def _commit(self, session: Session) -> None:
        try:
            session.commit()
        except ConnectionLostError as error:
            raise SqlError(
                f"the connection was lost while the script was committed; whether it took effect is not known: {error}",
            ) from None
        except SqlError as error:
            retryable = error.retryable and not self._settled
            raise SqlError(f"the script could not be committed: {error}", retryable=retryable) from None
        self._write(f"committed: {_count(self._total, 'statement')}, {_count(self._rows, 'row')}")

    def _show(self, statement: Statement, result: Result) -> None:
        self._rows += result.rows or 0
        did = "done" if result.rows is None else _count(result.rows, "row")
        if result.committed:
            self._settled = statement.number
            did += "; the server has committed the script so far"
        self._write(f"statement {statement.number} (line {statement.line}): {did}")
        if result.columns:
            for row in (result.columns, *result.head):
                self._write(f"  {' | '.join(row)}")
            if result.rows and result.rows > len(result.head):
                self._write(f"  ... and {_count(result.rows - len(result.head), 'row')} more")

    def _failed(self, statement: Statement, error: SqlError) -> SqlError:
        line = statement.line + (error.line or 1) - 1
        message = f"statement {statement.number} (line {line}): {error}"
        self._write(message)
        for detail in error.details:
            self._write(f"  {detail}")
        if error.committed:
            self._settled = statement.number - 1
        if not self._settled:
            return SqlError(message, retryable=error.retryable)
        kept = "statement 1 stays" if self._settled == 1 else f"statements 1 to {self._settled} stay"
        # Another attempt would run again what has been committed.
        return SqlError(f"{message}; {kept}, which the server had committed by itself")

    def _heed_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped


def read_script(path: Path) -> str:
    """Returns the text of a script, which is UTF-8, with or without a byte-order mark.

    Raises:
        StepFailure: The file cannot be read, is too large, is not UTF-8, or holds a NUL; the message names the line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(SCRIPT_LIMIT_BYTES + 1)
    except OSError as error:
        raise StepFailure(f"{path.name} cannot be read: {error.strerror or error}") from None
    if len(data) > SCRIPT_LIMIT_BYTES:
        raise StepFailure(
            f"{path.name} is larger than {SCRIPT_LIMIT_BYTES // 1024**2} MiB: cut it into several steps, or load the"
            " data with the database's own loader",
            retryable=False,
        )
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise StepFailure(f"{path.name} is not UTF-8 (byte 0x{byte:02X} in line {line})", retryable=False) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise StepFailure(f"{path.name} holds a NUL in line {line}; is it UTF-8?", retryable=False)
    return text


def _session(target: Target, context: SessionContext) -> Session:
    module, name, extra = _SESSIONS[target.dialect]
    try:
        implementation = importlib.import_module(f"activities.support.sql.{module}")
    except ImportError:
        raise StepFailure(
            f"the driver of {target.dialect.label} is not installed on this worker: pip install 'rota[{extra}]'",
            retryable=False,
        ) from None
    session: Session = getattr(implementation, name)(target, context)
    return session


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


async def _all_ended(*futures: "asyncio.Future[Any]") -> None:
    """Waits until all have ended, whatever they end with, and however often that is cancelled."""
    while pending := [future for future in futures if not future.done()]:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(pending)
    for future in futures:
        future.exception()
