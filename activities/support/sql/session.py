"""What a script needs of a database server, the same for all of them."""

import selectors
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from activities.support.sql.connection import Target

CONNECT_SECONDS: Final = 10.0
"""How long a server may take to let a script in, where the connection string says nothing."""

ROW_LIMIT: Final = 20
"""How many rows of a result are shown; all are counted."""

_CELL_LIMIT: Final = 80
"""Characters of a value that are shown."""

_POLL_SECONDS: Final = 0.05
"""How soon a wait for a server notices a stop."""


class SqlError(Exception):
    """A server refused or failed; the message is one line."""

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        line: int | None = None,
        details: Sequence[str] = (),
        committed: bool = False,
    ) -> None:
        """Takes what the server said.

        Args:
            message: The error, one line.
            retryable: Whether another attempt can help: a lost connection, a deadlock, a lock not granted.
            line: Line of the error in the statement, from 1, where the server says so of a batch.
            details: What else the server said, for the output.
            committed: Whether the server has committed what came before by itself.
        """
        super().__init__(message)
        self.retryable = retryable
        self.line = line
        self.details = tuple(details)
        self.committed = committed


class ConnectionLostError(SqlError):
    """The server is gone, or cannot be reached; another attempt can help."""

    def __init__(self, message: str) -> None:
        """Takes what the driver said, one line."""
        super().__init__(message, retryable=True)


class Stopped(Exception):
    """The script was asked to stop."""


@dataclass(frozen=True)
class Result:
    """What one statement did."""

    rows: int | None
    """Rows affected, or returned; None where the server does not say."""
    columns: tuple[str, ...] = ()
    head: Sequence[tuple[str, ...]] = ()
    """The first rows returned, `ROW_LIMIT` at most, as text."""
    committed: bool = False
    """Whether the server has committed the script so far by itself."""


@dataclass(frozen=True)
class SessionContext:
    """What a session is given besides the server's name."""

    stop: threading.Event
    """Set when the script is to stop."""
    say: Callable[[str], None]
    """Takes a line for the step's output."""
    grace: float
    """Seconds that a server gets to confirm a stop and to roll back; then the connection is dropped."""
    locate: Callable[[str], Path]
    """Returns the path of a file that is named, or raises `StepFailure`: outside the script roots."""


class Session(ABC):
    """One connection, on which one script runs.

    All methods block, and are called in one thread; only `interrupt` and `drop` are called in another. Each raises
    `SqlError` where the server fails, and may raise anything once a stop was asked for.
    """

    def __init__(self, target: Target, context: SessionContext) -> None:
        """Connects to nothing yet."""
        self.target = target
        self.context = context

    @abstractmethod
    def open(self) -> None:
        """Connects."""

    @abstractmethod
    def begin(self, statement: str | None) -> None:
        """Begins the transaction, by the script's own statement where it has one."""

    @abstractmethod
    def execute(self, statement: str) -> Generator[Result]:
        """Runs one statement or batch to its end; gives its results as they come."""

    @abstractmethod
    def commit(self) -> None:
        """Commits the transaction."""

    @abstractmethod
    def rollback(self) -> None:
        """Rolls back after a failure or a stop, as far as the server still answers; never raises."""

    @abstractmethod
    def close(self) -> None:
        """Closes what is open; never raises."""

    def interrupt(self) -> None:  # noqa: B027 - sessions that look for a stop themselves need none
        """Asks the server to stop the statement that runs; called again until the script has ended."""

    def drop(self) -> None:  # noqa: B027 - a file cannot be dropped
        """Cuts the connection to a server that does not answer; the server then rolls back by itself."""


def wait_ready(descriptor: int, events: int, *, stop: threading.Event | None, deadline: float | None = None) -> int:
    """Waits until a socket is ready for some of the events (`selectors.EVENT_*`), and returns for which.

    Raises:
        Stopped: The event was set.
        TimeoutError: The deadline, on the clock of `time.monotonic`, has passed.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, events)
        while True:
            for _, ready in selector.select(_POLL_SECONDS):
                return ready
            if stop is not None and stop.is_set():
                raise Stopped
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError


def connect_seconds(target: Target) -> float:
    """Returns how long connecting may take: the connection string's own limit, else ten seconds.

    Raises:
        SqlError: The limit is no number of seconds, 1 or more.
    """
    text = target.options.get("connect_timeout", str(CONNECT_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 3600:
        raise SqlError("connection string: the connect timeout is a number of seconds from 1 to 3600")
    return seconds


def flag(target: Target, option: str) -> bool | None:
    """Returns an option that is yes or no; None where it is not set.

    Raises:
        SqlError: It is neither.
    """
    text = target.options.get(option)
    if text is None:
        return None
    # SSPI is SqlClient's other word for Integrated Security=true.
    if text.lower() in {"true", "yes", "1", "on", "sspi"}:
        return True
    if text.lower() in {"false", "no", "0", "off"}:
        return False
    raise SqlError(f"connection string: {option} is true or false")


def collect(columns: Iterable[str], rows: Iterable[Sequence[Any]], stop: threading.Event) -> Result:
    """Counts the rows of a result and keeps the first as text, without holding the others.

    Raises:
        Stopped: The event was set.
    """
    count = 0
    head = []
    for row in rows:
        if stop.is_set():
            raise Stopped
        count += 1
        if count <= ROW_LIMIT:
            head.append(tuple(_shown(value) for value in row))
    return Result(count, tuple(columns), head)


def one_line(text: str) -> str:
    """Returns a server's message on one line."""
    return " ".join(text.split())


def _shown(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes | bytearray | memoryview):
        text = f"0x{bytes(value[:_CELL_LIMIT]).hex()}"
    else:
        text = one_line(str(value)[: 4 * _CELL_LIMIT])
    return text if len(text) <= _CELL_LIMIT else f"{text[: _CELL_LIMIT - 1]}…"
