"""Supervises the processes of steps on Linux: a program of its own, started by `process.py`; standard library only.

Started as `python supervisor.py FD`, with FD one end of a SOCK_SEQPACKET pair, it forks a supervisor for each socket that
the worker sends. A supervisor is the *child subreaper* of its step (prctl(2), PR_SET_CHILD_SUBREAPER): what loses
its parent becomes the supervisor's child, whether it changed its session, forked twice or cleared its environment. So
the kernel itself tells when nothing of a step is left: `waitpid` says ECHILD. The worker is no subreaper: it could not
tell the orphans of one step from those of another, nor from processes that other code of its own started.

A supervisor and its worker share one stream socket:

1. the worker sends a request, with the descriptors of stdout and stderr: its length (4 bytes, big-endian), then JSON:
   `argv`, `cwd`, `env` (bytes as Latin-1) and `grace` in seconds;
2. the supervisor sends its pid (4 bytes, big-endian) once it has all of that: a request without this answer was not
   begun;
3. the worker shuts down its sending side when the step shall end; its death does the same, so that a killed worker
   leaves nothing behind;
4. the supervisor answers, once all is gone: a length (4 bytes, big-endian), then JSON: `exit_code` (negative: the
   signal), `ended` (how many processes had to be ended), `left` (pids of those that may not be signalled), `error`
   (errno, where nothing was started);
5. where the step ended by itself and left nothing behind, the supervisor waits a while for the next request; else it
   ends, and the socket with it.
"""

import contextlib
import ctypes
import errno
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple, TypedDict

_PR_SET_CHILD_SUBREAPER: Final = 36

_SETTLE_SECONDS: Final = 0.5
"""Given to what a program leaves behind when it ends by itself: a shell does not wait for its `> >(tee log)`."""

_ROUND_SECONDS: Final = 0.05
"""How soon, while a tree is being killed, processes are looked for that it has started meanwhile."""

_IDLE_ROUNDS: Final = 20
"""After so many rounds without a process that may be killed, the rest is given up."""

_CAUGHT: Final = signal.valid_signals() - {
    signal.SIGKILL,
    signal.SIGSTOP,
    # Faults of the supervisor's own: a handler would only return to them.
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGSYS),
}
"""What a step may send to its parent, by accident above all, and neither ends nor stops its supervisor."""

_IGNORED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

_IDLE_SECONDS: Final = 5.0
"""So long a supervisor waits for its next step."""

_MOST_STEPS: Final = 1000
"""A supervisor sees to as many, then makes room: it never collects garbage."""

_TAKEN: Final = b"t"
_WORKER_GONE: Final = b"g"

_NOBODY: Final = bytes(4)
"""In place of a supervisor's pid."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


class Answer(TypedDict):
    """What a supervisor answers."""

    exit_code: int | None
    """Negative: the signal that ended the program. None where there is none to tell."""
    ended: int
    """How many processes had to be ended."""
    left: list[int]
    """Pids of processes that may not be signalled: they run as another user."""
    error: int | None
    """The errno with which the start failed."""


class _Seen(NamedTuple):
    """A process, safe against the reuse of its pid."""

    pid: int
    started: int
    """Clock ticks since boot."""


class _Stat(NamedTuple):
    state: str
    parent: int
    started: int


def _stat(pid: int) -> _Stat | None:
    """Returns what proc_pid_stat(5) says of a process; None where it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name, in parentheses, may hold anything, parentheses too.
    fields = text[text.rindex(b")") + 2 :].split()
    return _Stat(fields[0].decode(), int(fields[1]), int(fields[19]))


def _descendants() -> list[tuple[_Seen, bool]]:
    """Returns all descendants of this process, parents first, and whether each is a zombie; those that can be seen."""
    children: dict[int, list[tuple[_Seen, bool]]] = {}
    names: list[str] = []
    with contextlib.suppress(OSError):  # a step may use up every file that the system has
        names = os.listdir("/proc")  # noqa: PTH208 - names are all that is needed, thousands of them
    for name in names:
        if name.isdigit() and (stat := _stat(int(name))):
            children.setdefault(stat.parent, []).append((_Seen(int(name), stat.started), stat.state == "Z"))
    found: list[tuple[_Seen, bool]] = []
    parents = [os.getpid()]
    while parents:
        below = children.get(parents.pop(), [])
        found += below
        parents += [process.pid for process, _ in below]
    return found


class _Request(NamedTuple):
    """What the worker asks for."""

    told: dict[str, Any]
    stdout: int
    stderr: int


def _read_request(control: socket.socket, seconds: float | None) -> _Request | None:
    """Returns the next request; None where the worker has none any more, or none within some seconds."""
    if not select.select([control], [], [], seconds)[0]:
        return None
    received, descriptors, _, _ = socket.recv_fds(control, 65536, 2, socket.MSG_CMSG_CLOEXEC)
    while len(received) < 4 or len(received) < 4 + int.from_bytes(received[:4], "big"):
        part = control.recv(65536)
        if not part:
            return None
        received += part
    return _Request(json.loads(received[4:]), *descriptors)


def _answer(
    exit_code: int | None = None, ended: int = 0, left: list[int] | None = None, error: int | None = None
) -> Answer:
    return {"exit_code": exit_code, "ended": ended, "left": left or [], "error": error}


class _Supervisor:
    """Runs one step's program and ends whatever it leaves behind."""

    def __init__(self) -> None:
        self._program: subprocess.Popen[bytes] | None = None
        self._exit_code: int | None = None
        self._ended: set[_Seen] = set()
        self._killed: dict[int, bool] = {}
        """Children that were killed and are not reaped yet, and whether they are counted by that."""
        self._killed_count = 0
        self._left: list[int] = []
        # Kept open, as a step may use up every file that the system has. None on a kernel without it.
        self._children_file: int | None = None
        with contextlib.suppress(OSError):
            self._children_file = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)
        # Any signal, SIGCHLD above all, makes this readable.
        self._woken, waker = socket.socketpair()
        self._woken.settimeout(0)
        waker.settimeout(0)
        signal.set_wakeup_fd(waker.detach(), warn_on_full_buffer=False)
        # Caught, not ignored: in a program that is executed they are at their defaults.
        for caught in _CAUGHT:
            signal.signal(caught, lambda *_: None)
        if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")

    def run(self, request: _Request, control: socket.socket) -> Answer:
        """Returns the answer, once nothing of the step is left.

        Raises:
            OSError: The program cannot be started.
        """
        self._start(request.told, request.stdout, request.stderr)
        self._end_all(request.told["grace"], asked=self._wait_for_program(control))
        left = [pid for pid in self._left if _stat(pid)]
        return _answer(self._exit_code, len(self._ended) + self._killed_count, left)

    def _start(self, request: dict[str, Any], stdout: int, stderr: int) -> None:
        self._exit_code = None
        try:
            # Kept, as its finaliser would reap the program.
            self._program = subprocess.Popen(  # noqa: S603 - running a named program is the purpose; no shell
                [word.encode("latin-1") for word in request["argv"]],
                cwd=request["cwd"].encode("latin-1"),
                env={name.encode("latin-1"): value.encode("latin-1") for name, value in request["env"].items()},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        except ValueError as error:  # a NUL in an argument, a `=` in a variable's name
            raise OSError(errno.EINVAL, str(error)) from None
        # The pipes end when the last process of the step has.
        os.close(stdout)
        os.close(stderr)

    def _wait_for_program(self, control: socket.socket) -> bool:
        """Waits until the program has ended or shall end; returns whether it shall."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        poll.register(control, select.POLLIN)
        while True:
            self._reap()
            if self._exit_code is not None:
                return False
            for descriptor, _ in poll.poll():
                if descriptor == control.fileno():  # nothing follows a request but its end
                    return True
            self._clear_wakes()

    def _clear_wakes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass

    def _reap(self) -> bool:
        """Takes note of what has ended; returns whether anything is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if self._program is not None and pid == self._program.pid:
                self._exit_code = self._program.returncode = os.waitstatus_to_exitcode(status)
            # One that had ended before it was killed did so by itself.
            if self._killed.pop(pid, False) and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
                self._killed_count += 1

    def _gone_within(self, seconds: float) -> bool:
        """Waits until nothing is left; returns whether that is so."""
        deadline = time.monotonic() + seconds
        while self._reap():
            rest = deadline - time.monotonic()
            if rest <= 0:
                return False
            select.select([self._woken], [], [], rest)
            self._clear_wakes()
        return True

    def _end_all(self, grace: float, *, asked: bool) -> None:
        """Ends every descendant: SIGTERM, the grace period, SIGKILL; returns when none is left."""
        if self._gone_within(0 if asked else _SETTLE_SECONDS):
            return
        # Once only: what a program starts in answer to it, to clean up, has the grace period.
        for process, is_zombie in _descendants():
            with contextlib.suppress(PermissionError):
                self._signal(process, signal.SIGTERM, is_zombie=is_zombie)
        if self._gone_within(grace):
            return
        idle_rounds = 0
        while not self._kill_children(_ROUND_SECONDS):
            # What is left may be below a process of another user (sudo, a setuid program), which cannot be ended.
            self._left = []
            killed = False
            for process, is_zombie in _descendants():
                try:
                    self._signal(process, signal.SIGKILL, is_zombie=is_zombie)
                    killed |= not is_zombie
                except PermissionError:
                    self._left.append(process.pid)
            idle_rounds = 0 if killed else idle_rounds + 1
            if idle_rounds == _IDLE_ROUNDS:
                return

    def _kill_children(self, seconds: float) -> bool:
        """Kills children, and what falls to this process when they die; returns whether nothing is left.

        It does so at once, over and over: a process that forks and leaves all the time is gone before a look at /proc
        has ended. A child's pid is its own until it is reaped, which is done here alone.
        """
        deadline = time.monotonic() + seconds
        counted = {process.pid for process in self._ended}
        while self._reap():
            rest = deadline - time.monotonic()
            if rest <= 0:
                return False
            new = [pid for pid in self._children() if pid not in self._killed]
            for pid in new:
                self._killed[pid] = pid not in counted
                with contextlib.suppress(PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if not new:
                select.select([self._woken], [], [], rest)
                self._clear_wakes()
        return True

    def _children(self) -> list[int]:
        """Returns the pids of all children, zombies too; none where the kernel does not list them."""
        if self._children_file is None:
            return []
        listed, part = b"", b""
        while part := os.pread(self._children_file, 65536, len(listed)):
            listed += part
        return [int(pid) for pid in listed.split()]

    def _signal(self, process: _Seen, signum: signal.Signals, *, is_zombie: bool) -> None:
        """Signals a process, if it is still the one that was seen."""
        stat = _stat(process.pid)
        if stat is None or stat.started != process.started:
            return
        try:
            os.kill(process.pid, signum)
        except ProcessLookupError:
            return
        # A zombie is signalled too, as it may have threads that live; but it counts as what it is: ended already.
        if not is_zombie and process.pid not in self._killed:
            self._ended.add(process)


def _supervise(channel: socket.socket, taken: int) -> None:
    """Gets ready, waits for a worker's socket, tells the launcher, and sees to the steps that come through it."""
    supervisor = _Supervisor()
    message, descriptors, _, _ = socket.recv_fds(channel, 1, 1, socket.MSG_CMSG_CLOEXEC)
    os.write(taken, _TAKEN if message else _WORKER_GONE)
    os.close(taken)
    channel.close()
    if not message:
        return
    with (
        socket.socket(fileno=descriptors[0]) as control,
        contextlib.suppress(ConnectionError),
    ):  # the worker may be gone
        for number in range(_MOST_STEPS):
            request = _read_request(control, _IDLE_SECONDS if number else None)
            if request is None:
                return
            control.sendall(os.getpid().to_bytes(4, "big"))
            try:
                answer = supervisor.run(request, control)
            except OSError as error:
                answer = _answer(error=error.errno)
            control.sendall(_framed(answer))
            if answer != _answer(answer["exit_code"]):
                # What it has seen may not be over: the next step gets another.
                return


def _framed(answer: Answer) -> bytes:
    body = json.dumps(answer).encode()
    return len(body).to_bytes(4, "big") + body


def _refuse(channel: socket.socket, error: OSError) -> bool:
    """Answers the next step that it cannot be started; returns False where the worker is gone."""
    message, descriptors, _, _ = socket.recv_fds(channel, 1, 1, socket.MSG_CMSG_CLOEXEC)
    if message:
        with socket.socket(fileno=descriptors[0]) as control, contextlib.suppress(ConnectionError):
            control.sendall(_NOBODY + _framed(_answer(error=error.errno)))
    return bool(message)


def _launch(channel: socket.socket) -> None:
    """Keeps one supervisor ready for the next step, until the worker is gone."""
    while True:
        ready, taken = os.pipe()
        try:
            child = os.fork()
        except OSError as error:  # no process is to be had
            os.close(ready)
            os.close(taken)
            if not _refuse(channel, error):
                return
            continue
        if child == 0:
            try:
                os.close(ready)
                _supervise(channel, taken)
            finally:
                os._exit(0)
        os.close(taken)
        word = os.read(ready, 1)  # empty where the supervisor was killed while it waited
        os.close(ready)
        if word == _WORKER_GONE:
            return


def _main() -> None:
    # What an operator sends to the worker's whole group (Ctrl-C, a service manager's SIGTERM) is for the worker to act
    # on. The kernel reaps supervisors that ended.
    for ignored in (*_IGNORED, signal.SIGCHLD):
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    # A collection would write to every page that supervisors share.
    gc.disable()
    gc.freeze()
    _launch(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    _main()
