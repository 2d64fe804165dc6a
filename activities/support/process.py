"""Runs a step's process, and sees to it that nothing it started outlives it."""

import asyncio
import atexit
import contextlib
import errno
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import psutil

from activities.support.marker import MARKER, is_alive, marked_processes, new_marker
from activities.support.output import OutputTail, Stream

_SUPERVISOR: Final = Path(__file__).with_name("supervisor.py")

_DRAIN_SECONDS: Final = 2.0
"""Given to the pipes once all is gone: one that was handed to a process outside the tree never ends."""

_BUSY_SECONDS: Final = 0.01
"""Between two tries to reach the launcher, while hundreds of steps start at once."""

_CLOSE_SECONDS: Final = 2.0
"""Given to the launcher when this process ends."""

_POLL_SECONDS: Final = 0.05
"""Between two looks whether all is gone: nothing tells of the end of a process that is nobody's child here."""

_WATCH_SECONDS: Final = 1.0
"""Between two looks whether a supervisor was stopped."""

_MOST_LOST: Final = 3
"""After so many new supervisors that were gone before they took a step, the step is lost."""

_IDLE_SECONDS: Final = 6.0
"""A supervisor that waits for its next step is gone after 5 s."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Command:
    """What to start."""

    argv: Sequence[str]
    """The program, as an absolute path, and its arguments."""
    cwd: Path
    environment: Mapping[str, str]
    """The whole environment but for `MARKER`; nothing of this process's own is added."""


@dataclass(frozen=True)
class _End:
    """How a process ended."""

    exit_code: int | None
    """None where it was never started, or could not be ended."""
    ended: int
    left: Sequence[int]
    """Pids of processes of the step that may not be signalled, as they run as another user."""


class _Run(Protocol):
    """A process that runs once; with Linux's means, or with those that all platforms have."""

    async def run(self) -> _End:
        """Runs it; returns when nothing of it is left."""

    def end(self) -> None:
        """Asks for its end, at any time; `run` returns when all is gone."""


async def run_process(
    command: Command,
    output: OutputTail,
    *,
    grace: timedelta,
    on_ended: Callable[[int], None],
) -> int:
    """Runs a process to its end and returns its exit code, negative for the signal that ended it.

    It gets a session of its own, `/dev/null` as stdin, SIGTERM and SIGINT at their defaults. When it has ended, what it
    left behind is ended too; when this coroutine is cancelled, all of it: SIGTERM, the grace period, SIGKILL. Either
    way this returns only when all of it is gone. What may not be signalled is named in the output and in the log.

    On Linux this is a guarantee (see `supervisor.py`), which holds even if this process is killed. Elsewhere processes are
    found by their parents and by a variable in their environment: one that leaves its parent and clears its
    environment is missed, and an ignored signal is inherited.

    Args:
        command: What to start.
        output: Takes what it prints, as it comes.
        grace: Time between SIGTERM and SIGKILL.
        on_ended: Told how many processes had to be ended, before this returns or lets a cancel go on.

    Raises:
        OSError: It could not be started; or it was lost, as its supervisor was killed.
    """
    run = (_SupervisedRun if sys.platform == "linux" else _PortableRun)(command, output, grace)
    return await _run_to_end(run, output, on_ended)


async def _run_to_end(run: _Run, output: OutputTail, on_ended: Callable[[int], None]) -> int:
    task = asyncio.create_task(run.run())
    cancel: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:  # a second one does not leave anything behind either
            cancel = error
            run.end()
    try:
        end = task.result()
    except OSError:
        if cancel is not None:
            raise cancel from None
        raise
    on_ended(end.ended)
    if end.left:
        message = f"{len(end.left)} processes may not be ended by this user: {', '.join(map(str, end.left))}"
        output.write_line(f"Rota: {message}")
        _logger.warning("of a step, %s", message)
    if cancel is not None:
        raise cancel
    if end.exit_code is None:
        raise ChildProcessError(errno.ECHILD, "its supervisor was killed")
    return end.exit_code


@dataclass(frozen=True)
class _Supervisor:
    """A supervisor that has a step, or has had one."""

    control: socket.socket
    process: psutil.Process | None
    """None where it is gone."""


class _Launcher:
    """The process that forks supervisors: one for this process, started with its first step, gone with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Supervisor] = []
        self._dropping: asyncio.AbstractEventLoop | None = None
        """Where it is due to look which of them are gone."""
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def idle_supervisor(self) -> "_Supervisor | None":
        """Returns a supervisor that waited for its next step; it may be gone."""
        with self._lock:
            return self._idle.pop() if self._idle else None

    def keep(self, supervisor: "_Supervisor") -> None:
        """Takes back a supervisor that may see to another step, until it is gone."""
        with self._lock:
            self._idle.append(supervisor)
            # Another loop may have ended before it came to that.
            if self._dropping is not asyncio.get_running_loop():
                self._drop_later()

    def _drop_later(self) -> None:
        # Once for all of them: hundreds of steps may end within the time that one waits.
        self._dropping = asyncio.get_running_loop()
        self._dropping.call_later(_IDLE_SECONDS, self._drop_gone)

    def _drop_gone(self) -> None:
        """Forgets the supervisors that have waited long enough."""
        with self._lock:
            gone = [other for other in self._idle if _is_at_end(other.control)]
            self._idle = [other for other in self._idle if other not in gone]
            if self._dropping is asyncio.get_running_loop():
                self._dropping = None
                if self._idle:
                    self._drop_later()
        for other in gone:
            other.control.close()

    def fork_supervisor(self) -> socket.socket:
        """Returns the socket of a new supervisor.

        Raises:
            BlockingIOError: Too many are waiting to be forked; try again.
            OSError: The launcher cannot be started.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._hand_over(theirs)
            except OSError:
                ours.close()
                raise
        ours.settimeout(0)
        return ours

    def _hand_over(self, control: socket.socket) -> None:
        with self._lock:
            channel = self._channel
            if channel is None or self._process is None or self._process.poll() is not None:
                channel = self._start()
            else:
                # A step may have stopped it.
                self._process.send_signal(signal.SIGCONT)
            _send_descriptors(channel, b"fork", [control.fileno()])

    def _start(self) -> socket.socket:
        if self._channel is not None:
            self._channel.close()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(0)
        with theirs:
            # A small interpreter: no site packages, nothing from the environment; forking it is cheap.
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-I", "-S", str(_SUPERVISOR), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        return self._channel

    def close(self) -> None:
        """Ends the launcher; supervisors that still have work finish it."""
        with self._lock:
            while self._idle:
                self._idle.pop().control.close()
            if self._channel is not None and self._process is not None:
                self._channel.close()
                try:
                    self._process.wait(_CLOSE_SECONDS)
                except subprocess.TimeoutExpired:  # a fork of this process still holds the channel
                    self._process.kill()
                    self._process.wait()
            self._channel = self._process = None


def _send_descriptors(through: socket.socket, data: bytes, descriptors: Sequence[int]) -> int:
    """Sends some data with descriptors; returns how much of it went.

    Raises:
        BlockingIOError: The kernel takes no more now, of data or of descriptors that are on their way.
    """
    try:
        return socket.send_fds(through, [data], descriptors)
    except OSError as error:
        if error.errno == errno.ETOOMANYREFS:
            raise BlockingIOError from None
        raise


def _is_at_end(control: socket.socket) -> bool:
    """Whether a supervisor is gone that has nothing to say."""
    try:
        return not control.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


_launcher = _Launcher()
atexit.register(_launcher.close)


class _Reader(asyncio.Protocol):
    """Takes what comes through a pipe."""

    def __init__(self, output: OutputTail, stream: Stream) -> None:
        self._output = output
        self._stream = stream
        self.at_end = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._output.feed(data, self._stream)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.at_end.done():
            self.at_end.set_result(None)


class _SupervisedRun:
    """A process under a supervisor."""

    def __init__(self, command: Command, output: OutputTail, grace: timedelta) -> None:
        self._command = command
        self._output = output
        self._grace = grace
        self._ending = False
        self._control: socket.socket | None = None
        self._marker = new_marker()

    async def run(self) -> _End:
        with contextlib.ExitStack() as ours:
            with contextlib.ExitStack() as theirs:
                stdout, their_stdout = _pipe(ours, theirs)
                stderr, their_stderr = _pipe(ours, theirs)
                supervisor = await self._engage([their_stdout, their_stderr])
            if supervisor is None:
                return _End(None, 0, ())
            disengage = ours.enter_context(contextlib.ExitStack())
            disengage.callback(supervisor.control.close)
            readers = [
                await self._read(ours, stdout, "stdout"),
                await self._read(ours, stderr, "stderr"),
            ]
            self._control = supervisor.control
            if self._ending:
                self.end()
            answer = await self._answer(supervisor)
            end = (
                _End(answer["exit_code"], answer["ended"], answer["left"])
                if answer
                else await self._sweep(supervisor.process)
            )
            await asyncio.wait([reader.at_end for reader in readers], timeout=_DRAIN_SECONDS)
            # From here on a cancel comes too late: the supervisor may have the next step.
            self._control = None
            if answer and not self._ending and not (end.ended or end.left or answer["error"]):
                disengage.pop_all()
                _launcher.keep(supervisor)
        self._output.feed(b"", "stdout", final=True)
        self._output.feed(b"", "stderr", final=True)
        if answer and (error := answer["error"]) is not None:
            raise OSError(error, os.strerror(error))
        return end

    async def _engage(self, descriptors: Sequence[int]) -> _Supervisor | None:
        """Returns a supervisor that has taken the step; None where the step shall end before it has begun."""
        # A cancel that comes together with the start is heard first.
        await asyncio.sleep(0)
        request = self._request()
        lost = 0
        while not self._ending:
            idle = _launcher.idle_supervisor()
            try:
                supervisor = idle or _Supervisor(_launcher.fork_supervisor(), None)
            except BlockingIOError:
                await asyncio.sleep(_BUSY_SECONDS)  # the kernel does not say when there is room
                continue
            try:
                pid = await self._ask(supervisor, request, descriptors)
            except BaseException:
                supervisor.control.close()
                raise
            if pid is not None:
                return idle or _Supervisor(supervisor.control, _process(pid))
            # Gone before it took the step: nothing was begun.
            lost += idle is None
            if lost == _MOST_LOST:
                return supervisor
            supervisor.control.close()
        return None

    async def _ask(self, supervisor: _Supervisor, request: bytes, descriptors: Sequence[int]) -> int | None:
        """Sends a request; returns the pid of the supervisor that has taken it, None where none has: nothing was begun."""
        loop = asyncio.get_running_loop()
        # A supervisor that is gone breaks it off. What it has said before is there to be read.
        with contextlib.suppress(ConnectionError):
            sent = None
            while sent is None:
                if self._ending:
                    return None
                try:
                    sent = _send_descriptors(supervisor.control, request, descriptors)
                except BlockingIOError:
                    await asyncio.sleep(_BUSY_SECONDS)  # the kernel does not say when there is room
            await loop.sock_sendall(supervisor.control, request[sent:])
        reading = asyncio.create_task(loop.sock_recv(supervisor.control, 4))
        while not reading.done():
            await asyncio.wait({reading}, timeout=_WATCH_SECONDS)
            if reading.done():
                break
            if self._ending:
                # It is stopped. Should it go on, it finds nobody to tell that it takes the step, and does not.
                reading.cancel()
                return None
            if supervisor.process is not None:
                with contextlib.suppress(psutil.Error):
                    supervisor.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(ConnectionError):
            if pid := reading.result():
                return int.from_bytes(pid, "big")
        return None

    async def _answer(self, supervisor: _Supervisor) -> Any:
        """Returns what the supervisor answers; None where it is gone without an answer, or stopped for good."""
        reading = asyncio.create_task(_read_answer(supervisor.control))
        while not reading.done():
            await asyncio.wait({reading}, timeout=_WATCH_SECONDS)
            if not reading.done() and supervisor.process is not None and _is_stopped(supervisor.process):
                # By its own step: nobody else knows it.
                if self._ending:
                    reading.cancel()
                    return None
                with contextlib.suppress(psutil.Error):
                    supervisor.process.send_signal(signal.SIGCONT)
        return reading.result()

    async def _sweep(self, supervisor: psutil.Process | None) -> _End:
        """Ends what a supervisor that was killed or stopped has left, by the means of other platforms."""
        tree = _MarkedTree(supervisor, self._marker)
        await asyncio.to_thread(tree.end, self._grace.total_seconds())
        return _End(None, len(tree.ended - {supervisor}), tree.left)

    def end(self) -> None:
        self._ending = True
        if self._control is not None:
            # The supervisor may be gone already.
            with contextlib.suppress(OSError):
                self._control.shutdown(socket.SHUT_WR)

    async def _read(self, ours: contextlib.ExitStack, descriptor: int, stream: Stream) -> _Reader:
        pipe = ours.enter_context(os.fdopen(descriptor, "rb", buffering=0, closefd=False))
        loop = asyncio.get_running_loop()
        transport, reader = await loop.connect_read_pipe(lambda: _Reader(self._output, stream), pipe)
        ours.callback(transport.close)
        return reader

    def _request(self) -> bytes:
        environment = {**self._command.environment, MARKER: self._marker}
        request = {
            "argv": [_latin(word) for word in self._command.argv],
            "cwd": _latin(self._command.cwd),
            "env": {_latin(name): _latin(value) for name, value in environment.items()},
            "grace": self._grace.total_seconds(),
        }
        body = json.dumps(request).encode()
        return len(body).to_bytes(4, "big") + body


def _latin(text: str | Path) -> str:
    """Returns the bytes that the system knows a text by, as JSON can carry them."""
    return os.fsencode(text).decode("latin-1")


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe()
    ours.callback(os.close, reading)
    theirs.callback(os.close, writing)
    return reading, writing


def _process(pid: int) -> psutil.Process | None:
    """Returns a process as the one that it is now, should its pid be another's later; None where it is gone."""
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _is_stopped(process: psutil.Process) -> bool:
    try:
        # Or attached to, as by a debugger.
        return process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.NoSuchProcess:
        return False


async def _read_answer(control: socket.socket) -> Any:
    """Returns a supervisor's answer; None where it is gone without one."""
    loop = asyncio.get_running_loop()
    answer = b""
    # A supervisor that died with the request unread resets the connection.
    with contextlib.suppress(ConnectionError):
        while part := await loop.sock_recv(control, 65536):
            answer += part
            if len(answer) >= 4 and len(answer) >= 4 + int.from_bytes(answer[:4], "big"):
                return json.loads(answer[4:])
    return None


class _PortableRun(asyncio.SubprocessProtocol):
    """A process on a platform without child subreapers."""

    def __init__(self, command: Command, output: OutputTail, grace: timedelta) -> None:
        self._command = command
        self._output = output
        self._grace = grace.total_seconds()
        loop = asyncio.get_running_loop()
        self._exit_or_end = loop.create_future()
        self._closed = loop.create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._output.feed(data, "stdout" if fd == 1 else "stderr")

    def process_exited(self) -> None:
        self.end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self._closed.done():
            self._closed.set_result(None)

    def end(self) -> None:
        if not self._exit_or_end.done():
            self._exit_or_end.set_result(None)

    async def run(self) -> _End:
        marker = new_marker()
        transport, _ = await asyncio.get_running_loop().subprocess_exec(
            lambda: self,
            *self._command.argv,
            cwd=self._command.cwd,
            env={**self._command.environment, MARKER: marker},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        root = _process(transport.get_pid())
        try:
            await self._exit_or_end
            tree = _MarkedTree(root, marker)
            await asyncio.to_thread(tree.end, self._grace)
            # Both pipes are closed and the exit code is known, unless a pipe was handed on.
            await asyncio.wait([self._closed], timeout=_DRAIN_SECONDS)
            return _End(transport.get_returncode(), len(tree.ended), tree.left)
        finally:
            transport.close()
            self._output.feed(b"", "stdout", final=True)
            self._output.feed(b"", "stderr", final=True)


class _MarkedTree:
    """The processes of a step, by the marker in their environment and by their parents."""

    def __init__(self, root: psutil.Process | None, marker: str) -> None:
        self._root = root
        self._marker = marker
        self.ended: set[psutil.Process] = set()
        self.left: list[int] = []

    def end(self, grace: float) -> None:
        """Ends all of them: SIGTERM, the grace period, SIGKILL; twice none found is none left."""
        for process in self._alive():
            with contextlib.suppress(psutil.Error):
                process.terminate()
                self.ended.add(process)
        deadline = time.monotonic() + grace
        while self._alive() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)  # grandchildren end without a word to this process
        rounds_without = 0
        while rounds_without < 2:
            self.left = []
            killed = False
            for process in self._alive():
                try:
                    process.kill()
                    self.ended.add(process)
                    killed = True
                except psutil.AccessDenied:
                    self.left.append(process.pid)
                except psutil.NoSuchProcess:
                    continue
            rounds_without = 0 if killed else rounds_without + 1
            if killed:
                time.sleep(_POLL_SECONDS)  # grandchildren end without a word to this process

    def _alive(self) -> Iterable[psutil.Process]:
        """Returns the living ones, parents first: one that waits for a child shall hear of its end before the child's."""
        found: dict[psutil.Process, None] = {}
        # One that may not be looked at, or has cleared its environment, is found by its place in the tree.
        if self._root is not None:
            with contextlib.suppress(psutil.Error):
                found |= dict.fromkeys(filter(is_alive, [self._root, *self._root.children(recursive=True)]))
        return found | dict.fromkeys(marked_processes(lambda marker: marker == self._marker))
