import array
import asyncio
import contextlib
import errno
import json
import os
import random
import resource
import signal
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from activities.support import marker, process, supervisor
from activities.support.marker import MARKER, end_orphans, new_marker
from activities.support.output import OutputTail
from activities.support.process import Command, run_process
from tests.unit.activities.step_runs import until

GRACE = timedelta(seconds=0.3)
TREE = str(Path(__file__).with_name("process_tree.py"))
PYTHON = [sys.executable, "-I", "-S"]
ROOT = Path(__file__).parents[3]

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has child subreapers")


def alive(token: str) -> list[psutil.Process]:
    """Returns the living processes that have a token in their command line, whatever became of their parents."""
    found = []
    for candidate in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if candidate.status() != psutil.STATUS_ZOMBIE and any(token in word for word in candidate.cmdline()):
                found.append(candidate)
    return found


@pytest.fixture
def token() -> Iterator[str]:
    """A word for command lines; what still carries it after the test is ended."""
    token = f"token-{uuid4().hex}"
    yield token
    for survivor in alive(token):
        survivor.kill()


class Step:
    """Runs a command as a step does, and keeps what is to be known of it."""

    def __init__(
        self, *argv: str, cwd: Path = ROOT, environment: dict[str, str] | None = None, grace: timedelta = GRACE
    ) -> None:
        self._grace = grace
        self.output = OutputTail()
        self.ended: list[int] = []
        self._command = Command(argv, cwd, {"PATH": os.defpath} if environment is None else environment)

    async def run(self) -> int:
        return await run_process(self._command, self.output, grace=self._grace, on_ended=self.ended.append)

    def is_ready(self, members: int) -> bool:
        return self.output.text().count("ready") == members


def tree(token: str, mode: str, *members: object) -> Step:
    return Step(*PYTHON, TREE, token, mode, json.dumps(members))


async def cancel(task: asyncio.Task[int]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture(params=["supervised", "portable"])
def any_platform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test with Linux's means, and with those that all platforms have."""
    if request.param == "supervised":
        if sys.platform != "linux":
            pytest.skip("only Linux has child subreapers")
    else:
        monkeypatch.setattr(process, "_SupervisedRun", process._PortableRun)
    return str(request.param)


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[process._Launcher]:
    """The launcher of this test alone, which starts with its first step."""
    launcher = process._Launcher()
    monkeypatch.setattr(process, "_launcher", launcher)
    yield launcher
    launcher.close()


# What a process is given.


@pytest.mark.usefixtures("any_platform")
async def test_both_streams_and_the_exit_code_come_back() -> None:
    step = Step("/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    assert await step.run() == 3
    assert sorted(step.output.text().splitlines()) == ["err", "out"]
    assert step.output.stderr_tail == "err\n"
    assert step.ended == [0]


async def test_it_gets_its_own_session_no_stdin_and_exactly_its_environment(tmp_path: Path) -> None:
    show = "import os, json; print(json.dumps([os.getsid(0) == os.getpid(), os.read(0, 9).decode(), os.getcwd(), {**os.environ}]))"
    step = Step(*PYTHON, "-c", show, cwd=tmp_path, environment={"LC_ALL": "C.UTF-8", "NAME": "väl\nue"})
    assert await step.run() == 0
    *facts, environment = json.loads(step.output.text())
    assert facts == [True, "", str(tmp_path)]
    assert environment.pop(MARKER)
    assert environment == {"LC_ALL": "C.UTF-8", "NAME": "väl\nue"}


@pytest.mark.usefixtures("any_platform")
async def test_words_arrive_byte_for_byte() -> None:
    words = ["", " ", "a'b\"c\\d", "$HOME *", "ünïcödé 🐘", os.fsdecode(b"odd \xff byte"), "x" * 100_000]
    step = Step(
        *PYTHON, "-c", "import sys, os; [print(len(os.fsencode(w)), ascii(w)[:60]) for w in sys.argv[1:]]", *words
    )
    assert await step.run() == 0
    assert step.output.text() == "".join(f"{len(os.fsencode(word))} {ascii(word)[:60]}\n" for word in words)


@linux_only
async def test_signals_are_at_their_defaults_even_where_the_worker_ignores_them(launcher: process._Launcher) -> None:
    ignored = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
    handlers = [signal.signal(number, signal.SIG_IGN) for number in ignored]
    try:
        launcher._start()
    finally:
        for number, handler in zip(ignored, handlers, strict=True):
            signal.signal(number, handler)
    step = Step("/bin/cat", "/proc/self/status")
    assert await step.run() == 0
    status = dict(line.split(":\t", 1) for line in step.output.text().splitlines())
    ignoring, blocked = int(status["SigIgn"], 16), int(status["SigBlk"], 16)
    assert not [number for number in (*ignored, signal.SIGPIPE) if ignoring >> (number - 1) & 1]
    assert blocked == 0


@pytest.mark.usefixtures("any_platform")
async def test_a_signal_is_a_negative_exit_code() -> None:
    assert await Step("/bin/sh", "-c", "kill -9 $$").run() == -signal.SIGKILL


async def test_it_may_signal_its_whole_group() -> None:
    assert await Step("/bin/sh", "-c", "kill -9 0").run() == -signal.SIGKILL


@pytest.mark.usefixtures("any_platform")
async def test_what_cannot_be_started_says_why(tmp_path: Path) -> None:
    no_interpreter_line = tmp_path / "script"
    no_interpreter_line.write_text("echo\n")
    no_interpreter_line.chmod(0o755)
    cases = [
        (Step(str(tmp_path / "missing")), errno.ENOENT),
        (Step(str(no_interpreter_line)), errno.ENOEXEC),
        (Step("/bin/true", cwd=tmp_path / "missing"), errno.ENOENT),
        (Step("/bin/true", "x" * 3_000_000), errno.E2BIG),
    ]
    for step, expected in cases:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is checked
            await step.run()
        assert caught.value.errno == expected


@linux_only
async def test_a_nul_in_an_argument_is_an_error() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        await Step("/bin/echo", "a\0b").run()


# What becomes of what it starts.

KINDS = ["child", "setsid", "daemon", "ignores"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("any_platform")
async def test_nothing_outlives_a_normal_end(kind: str, token: str) -> None:
    step = tree(token, "exit", [kind, [["child", []]]])
    assert await step.run() == 7
    assert alive(token) == []
    assert step.ended == [2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("any_platform")
async def test_nothing_outlives_a_cancel(kind: str, token: str) -> None:
    step = tree(token, "stay", [kind, [["child", []]]])
    task = asyncio.create_task(step.run())
    await until(lambda: step.is_ready(3))
    await cancel(task)
    assert alive(token) == []
    assert step.ended == [3]


@linux_only
@pytest.mark.parametrize("mode", ["exit", "stay"])
async def test_a_daemon_that_clears_its_environment_does_not_outlive_it(mode: str, token: str) -> None:
    step = tree(token, mode, ["clean", []])
    task = asyncio.create_task(step.run())
    if mode == "stay":
        await until(lambda: step.is_ready(2))
        await cancel(task)
        assert step.ended == [2]
    else:
        assert await task == 7
        assert step.ended == [1]
    assert alive(token) == []


def random_members(source: random.Random, depth: int = 3) -> list[object]:
    kinds = [*KINDS, "clean"]
    return [
        [source.choice(kinds), random_members(source, depth - 1) if depth else []] for _ in range(source.randint(0, 3))
    ]


ROUNDS = [*range(20), *(pytest.param(seed, marks=pytest.mark.faults) for seed in range(20, 220))]
"""20 in the ordinary tests, 200 more among the faults."""


@linux_only
@pytest.mark.parametrize("seed", ROUNDS)
async def test_nothing_outlives_a_cancel_or_timeout_at_any_moment(seed: int, token: str) -> None:
    source = random.Random(seed)  # noqa: S311 - trees, not secrets
    step = tree(token, source.choice(["stay", "exit"]), *random_members(source, depth=2))
    moment = source.random() * 0.15
    if source.random() < 0.5:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(moment):
                await step.run()
    else:
        task = asyncio.create_task(step.run())
        await asyncio.wait({task}, timeout=moment)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert alive(token) == []


# Processes that fork and leave as fast as they can, each time in a session of their own; for a minute at most.
COMETS = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
end = time.monotonic() + 60
for _ in range(int(sys.argv[2]) - 1):
    if not os.fork():
        break
print("ready", flush=True)
while time.monotonic() < end:
    if os.fork():
        os._exit(0)
    os.setsid()
"""


@linux_only
@pytest.mark.parametrize("number", [1, 10])
async def test_what_forks_and_leaves_all_the_time_is_caught(number: int, token: str) -> None:
    step = Step(*PYTHON, "-c", COMETS, token, f"{number}")
    task = asyncio.create_task(step.run())
    await until(lambda: step.is_ready(number))
    await cancel(task)
    assert alive(token) == []


@pytest.mark.usefixtures("any_platform")
async def test_a_second_cancel_does_not_leave_anything_behind(token: str) -> None:
    step = tree(token, "stay", ["ignores", []])
    task = asyncio.create_task(step.run())
    await until(lambda: step.is_ready(2))
    task.cancel()
    await asyncio.sleep(0)
    await cancel(task)
    assert alive(token) == []
    assert step.ended == [2]


async def test_a_cancel_before_the_start_starts_nothing() -> None:
    step = Step("/bin/echo", "started")
    task = asyncio.create_task(step.run())
    await asyncio.sleep(0)  # it is about to ask for a process
    await cancel(task)
    assert step.output.text() == ""
    assert step.ended == [0]


async def test_a_timeout_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await Step("/bin/sleep", "600").run()


@pytest.mark.usefixtures("any_platform")
async def test_the_grace_period_is_for_cleaning_up() -> None:
    script = "trap 'sh -c \"echo cleaned up\"; exit 0' TERM; echo ready; sleep 600 & wait"
    # Asked first, the shell cleans up before it can see that what it waits for has ended.
    step = Step("/bin/sh", "-c", script, grace=timedelta(seconds=60))
    task = asyncio.create_task(step.run())
    await until(lambda: step.is_ready(1))
    await cancel(task)
    assert step.output.last_line == "cleaned up"


@linux_only
async def test_what_is_about_to_end_by_itself_may() -> None:
    # A shell does not wait for what reads its output.
    step = Step("/bin/bash", "-c", "exec > >(cat; sleep 0.1; echo all of it); seq 20000")
    assert await step.run() == 0
    assert step.output.last_line == "all of it"
    assert step.ended == [0]


@pytest.mark.usefixtures("any_platform")
async def test_the_processes_of_others_are_left_alone(token: str) -> None:
    mine = await asyncio.create_subprocess_exec("/bin/sleep", "600")
    neighbour = tree(f"neighbour-{token}", "stay", ["daemon", []])
    task = asyncio.create_task(neighbour.run())
    await until(lambda: neighbour.is_ready(2))
    assert await tree(f"step-{token}", "exit", ["daemon", []]).run() == 7
    assert alive(f"step-{token}") == []
    assert len(alive(f"neighbour-{token}")) == 2
    assert mine.returncode is None
    await cancel(task)
    assert alive(f"neighbour-{token}") == []
    assert mine.returncode is None
    mine.kill()
    await mine.wait()


@linux_only
async def test_a_pipe_that_was_handed_on_does_not_hold_the_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process, "_DRAIN_SECONDS", 0.2)
    received = array.array("i")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        server.listen()
        hand_on = "import os, socket; s = socket.socket(socket.AF_UNIX); s.connect('socket'); socket.send_fds(s, [b'x'], [1]); print('done')"
        step = Step(*PYTHON, "-c", hand_on, cwd=tmp_path)
        assert await step.run() == 0
        with server.accept()[0] as connection:
            received.extend(socket.recv_fds(connection, 1, 1)[1])
    assert step.output.text() == "done\n"
    with pytest.raises(BrokenPipeError):
        os.write(received[0], b"nobody reads any more")
    os.close(received[0])


@linux_only
async def test_what_may_not_be_signalled_is_named(
    launcher: process._Launcher,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    token: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # As the kernel refuses for a process of another user (sudo); only the system call's answer is made up.
    wrapper = tmp_path / "supervisor.py"
    wrapper.write_text(
        textwrap.dedent(f"""
        import os, runpy
        kill = os.kill
        def refusing(pid, signum):
            with open(f"/proc/{{pid}}/cmdline", "rb") as file:
                if b"{token}" in file.read():
                    raise PermissionError
            kill(pid, signum)
        os.kill = refusing
        runpy.run_path({str(process._SUPERVISOR)!r}, run_name="__main__")
        """),
    )
    monkeypatch.setattr(process, "_DRAIN_SECONDS", 0.2)
    monkeypatch.setattr(process, "_SUPERVISOR", wrapper)
    step = tree(token, "exit", ["daemon", []])
    assert await step.run() == 7
    launcher.close()
    (left,) = alive(token)
    assert step.output.last_line == f"Rota: 1 processes may not be ended by this user: {left.pid}"
    assert str(left.pid) in caplog.text
    assert step.ended == [0]


# What becomes of it when something else goes wrong.


@linux_only
async def test_a_killed_worker_leaves_nothing_behind(token: str) -> None:
    worker = textwrap.dedent(f"""
        import asyncio
        from datetime import timedelta
        from pathlib import Path
        from activities.support.output import OutputTail
        from activities.support.process import Command, run_process
        class Echo(OutputTail):
            def feed(self, data, stream="stdout", *, final=False):
                print(data.decode(), end="", flush=True)
        command = Command({(*PYTHON, TREE, token, "stay", '[["clean", []], ["ignores", []]]')!r}, Path("/"), {{}})
        asyncio.run(run_process(command, Echo(), grace=timedelta(seconds=0.2), on_ended=print))
    """)
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        worker,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert running.stdout is not None
    for _ in range(3):
        assert await running.stdout.readline() == b"ready\n"
    assert len([member for member in alive(token) if member.pid != running.pid]) == 3
    running.kill()
    await running.wait()
    await until(lambda: not alive(token))


async def _orphan(token: str, value: str) -> asyncio.subprocess.Process:
    """Starts a process outside every step that has a marker, and a child without one that ignores SIGTERM."""
    script = "trap '' TERM; env -i sleep 600 & wait"
    return await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", script, token, env={"PATH": os.defpath, marker.MARKER: value}, start_new_session=True
    )


async def test_a_worker_that_starts_ends_the_orphans_of_dead_ones_alone(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One of its own: workers that other tests start meanwhile would end them, too.
    monkeypatch.setattr(marker, "MARKER", f"{MARKER}_{uuid4().hex}")
    own = new_marker()
    space, pid, born, run = own.split(".")
    dead = [
        await _orphan(f"dead-{token}", ".".join([space, pid, born + "1", run])),
        await _orphan(f"dead-{token}", f"{space}.4194305.{born}.{run}"),
    ]
    living = [
        await _orphan(f"living-{token}", own),
        await _orphan(f"living-{token}", ".".join([space + "1", "4194305", born, run])),
        await _orphan(f"living-{token}", "of something else"),
    ]
    await until(lambda: all(psutil.Process(orphan.pid).children() for orphan in [*dead, *living]))

    ended = await asyncio.to_thread(end_orphans, GRACE)

    # Each shell and its sleep.
    assert ended == 4
    # Killed, or at its end because its child was killed a moment before.
    assert {await orphan.wait() for orphan in dead} <= {-signal.SIGKILL, 0}
    assert len(alive(f"living-{token}")) == 3
    assert await asyncio.to_thread(end_orphans, GRACE) == 0
    for orphan in living:
        os.killpg(orphan.pid, signal.SIGKILL)
        await orphan.wait()


@linux_only
async def test_a_killed_supervisor_is_no_success_and_leaves_nothing_behind(token: str) -> None:
    step = tree(token, "stay", ["daemon", []], ["ignores", []])
    task = asyncio.create_task(step.run())
    await until(lambda: step.is_ready(3))
    supervisor_of(token).kill()
    with pytest.raises(ChildProcessError, match="its supervisor was killed"):
        await task
    assert alive(token) == []
    assert step.ended == [3]


def supervisor_of(token: str) -> psutil.Process:
    [parent] = {process.ppid() for process in alive(token)} - {process.pid for process in alive(token)}
    return psutil.Process(parent)


@linux_only
async def test_a_stopped_supervisor_is_woken(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_WATCH_SECONDS", 0.05)
    script = "import os, signal; os.kill(os.getppid(), signal.SIGSTOP); print('done')"
    assert await Step(*PYTHON, "-c", script, token).run() == 0


@linux_only
async def test_a_supervisor_that_its_step_stops_again_and_again_does_not_keep_it_from_its_end(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_WATCH_SECONDS", 0.05)
    script = "import os, signal; print('ready', flush=True); os.fork()\nwhile True: os.kill({}, signal.SIGSTOP)"
    step = Step(*PYTHON, "-c", f"import os; boss = os.getppid(); {script.format('boss')}", token)
    task = asyncio.create_task(step.run())
    await until(lambda: step.is_ready(1) and len(alive(token)) == 2)
    await cancel(task)
    assert alive(token) == []
    assert step.ended == [2]


@linux_only
async def test_no_other_signal_of_a_step_harms_its_supervisor(token: str) -> None:
    others = "{signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGSYS}"
    script = f"import os, signal; [os.kill(os.getppid(), n) for n in signal.valid_signals() - {others}]; print('sent')"
    step = Step(*PYTHON, "-c", script, token)
    assert await step.run() == 0
    assert step.output.text() == "sent\n"


@linux_only
async def test_a_stopped_launcher_is_woken() -> None:
    assert await Step("/bin/true").run() == 0
    assert process._launcher._process is not None
    process._launcher._process.send_signal(signal.SIGSTOP)
    for _ in range(3):
        assert await Step("/bin/true").run() == 0


@linux_only
async def test_a_launcher_and_a_waiting_supervisor_that_are_killed_are_replaced(launcher: process._Launcher) -> None:
    assert await Step("/bin/true").run() == 0
    assert launcher._process is not None
    first = psutil.Process(launcher._process.pid)
    await until(first.children)
    # One has seen to the step and waits for the next, the other for its first.
    await until(lambda: len(first.children()) == 2)
    for waiting in first.children():
        waiting.kill()
        waiting.wait()
    assert await Step("/bin/true").run() == 0
    supervisors = first.children()
    first.kill()
    await until(lambda: first.status() == psutil.STATUS_ZOMBIE)
    for waiting in supervisors:
        waiting.kill()
    assert await Step("/bin/true").run() == 0
    launcher.close()
    await until(lambda: not first.is_running())


async def test_supervisors_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_IDLE_SECONDS", 0.02)
    launcher = process._Launcher()
    pairs = [socket.socketpair() for _ in range(3)]

    def keep(number: int) -> None:
        pairs[number][0].settimeout(0)
        launcher.keep(process._Supervisor(pairs[number][0], None))

    async def keep_in_a_loop_that_ends() -> None:
        keep(0)

    await asyncio.to_thread(asyncio.run, keep_in_a_loop_that_ends())
    keep(1)
    keep(2)
    for gone, left in ((0, 2), (1, 1), (2, 0)):
        pairs[gone][1].close()
        await until(lambda gone=gone: pairs[gone][0].fileno() == -1)  # type: ignore[misc]
        assert sum(ours.fileno() != -1 for ours, _ in pairs) == left
    assert launcher.idle_supervisor() is None


@linux_only
def test_a_step_that_no_process_is_to_be_had_for_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    worker, launcher = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    serving = threading.Thread(target=supervisor._launch, args=(launcher,))
    serving.start()
    control, theirs = socket.socketpair()
    with theirs:
        socket.send_fds(worker, [b"fork"], [theirs.fileno()])
    with control:
        # No pid, the length of the answer, the answer.
        assert json.loads(control.recv(65536)[8:])["error"] == errno.EAGAIN
    worker.close()
    serving.join()
    launcher.close()


@linux_only
@pytest.mark.usefixtures("launcher")
async def test_a_supervisor_sees_to_one_step_after_another_that_ends_by_itself() -> None:
    async def parent_of(script: str) -> int:
        step = Step("/bin/sh", "-c", f"echo $PPID; {script}")
        await step.run()
        return int(step.output.last_line or 0)

    first = await parent_of("exit 3")
    assert await parent_of("exit 0") == first
    # This one has something to end: nobody else shall meet what may be left of it.
    assert await parent_of("sleep 600 & exit 0") == first
    second = await parent_of("exit 0")
    assert second != first
    psutil.Process(second).send_signal(signal.SIGSTOP)
    assert await parent_of("exit 0") == second
    # One that is gone before it has taken the step: another takes it.
    psutil.Process(second).kill()
    assert await parent_of("exit 0") not in {first, second}


_ATTACHES = """
import ctypes, os, time
attached = ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0  # PTRACE_ATTACH
print("attached" if attached else "refused", flush=True)
time.sleep(20)
print("over", flush=True)
"""


@linux_only
async def test_a_step_that_debugs_its_supervisor_ends_when_it_is_told_to() -> None:
    # Where the system refuses it, this is a step like any other.
    step = Step(sys.executable, "-I", "-S", "-c", _ATTACHES, grace=timedelta(seconds=0.1))
    task = asyncio.create_task(step.run())
    await until(lambda: step.output.text() in {"attached\n", "refused\n"})
    await cancel(task)
    assert "over" not in step.output.text()
    assert step.ended == [1]


@linux_only
async def test_a_late_cancel_of_a_step_does_not_reach_the_next_of_its_supervisor(
    launcher: process._Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = asyncio.create_task(Step("/bin/true").run())
    keep = launcher.keep

    def keep_and_cancel(supervisor: process._Supervisor) -> None:
        keep(supervisor)
        first.cancel()

    monkeypatch.setattr(launcher, "keep", keep_and_cancel)
    with pytest.raises(asyncio.CancelledError):
        await first
    monkeypatch.setattr(launcher, "keep", keep)
    [kept] = launcher._idle
    second = Step("/bin/sh", "-c", "echo $PPID")
    assert await second.run() == 0
    assert kept.process is not None
    assert int(second.output.text()) == kept.process.pid


@linux_only
async def test_a_cancel_while_a_step_waits_for_a_supervisor_starts_nothing(
    launcher: process._Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_over = launcher._hand_over
    asked = asyncio.Event()

    def busy(_: socket.socket) -> None:
        asked.set()
        raise BlockingIOError

    monkeypatch.setattr(launcher, "_hand_over", busy)
    step = Step("/bin/echo", "started")
    task = asyncio.create_task(step.run())
    await asked.wait()
    task.cancel()
    await asyncio.sleep(0)
    monkeypatch.setattr(launcher, "_hand_over", hand_over)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert step.output.text() == ""


@linux_only
async def test_a_refusal_that_comes_before_the_request_is_heard(
    launcher: process._Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing() -> socket.socket:
        ours, theirs = socket.socketpair()
        channel, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, channel, other_end:
            socket.send_fds(channel, [b"fork"], [theirs.fileno()])
            assert supervisor._refuse(other_end, OSError(errno.EAGAIN, "none"))
        ours.settimeout(0)
        return ours

    monkeypatch.setattr(launcher, "fork_supervisor", refusing)
    with pytest.raises(BlockingIOError):
        await Step("/bin/true").run()


async def test_many_at_once_do_not_mix(any_platform: str) -> None:
    number = 60 if any_platform == "supervised" else 10
    steps = [Step("/bin/sh", "-c", f"echo {index}; exit {index}") for index in range(number)]
    assert await asyncio.gather(*(step.run() for step in steps)) == list(range(number))
    assert [step.output.text() for step in steps] == [f"{index}\n" for index in range(number)]


@pytest.mark.usefixtures("any_platform")
async def test_nothing_stays_open(launcher: process._Launcher) -> None:
    await Step("/bin/true").run()  # what asyncio keeps open is open now
    launcher.close()
    before = psutil.Process().num_fds()
    await asyncio.gather(*(Step("/bin/true").run() for _ in range(5)))
    with pytest.raises(OSError, match=r".*"):
        await Step("/missing").run()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await Step("/bin/sleep", "600").run()
    await asyncio.sleep(0)  # transports close in the next round of the loop
    launcher.close()
    assert psutil.Process().num_fds() == before


@pytest.mark.usefixtures("any_platform")
async def test_output_of_gigabytes_costs_no_memory() -> None:
    await Step("/bin/true").run()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = Step("/bin/sh", "-c", "head -c 250000000 /dev/zero; head -c 10000000 /dev/urandom >&2; echo end")
    assert await step.run() == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
    assert "end" in step.output.text()


@pytest.mark.usefixtures("any_platform")
async def test_the_loop_is_not_held_while_a_tree_is_ended(token: str) -> None:
    step = tree(token, "stay", ["ignores", []])
    task = asyncio.create_task(step.run())
    await until(lambda: step.is_ready(2))
    task.cancel()
    turns = 0
    started = time.monotonic()
    while not task.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert time.monotonic() - started >= GRACE.total_seconds()
    assert turns > 20
