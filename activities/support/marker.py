"""The marker in the environment of a step's processes, and the orphans that it finds when a worker starts."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Final
from uuid import uuid4

import psutil

MARKER: Final = "_ROTA_STEP"
"""Variable that every process of a step inherits: whose it is, and of which run."""

_POLL_SECONDS: Final = 0.05
"""Between two looks for orphans: nothing tells of the end of a process that is nobody's child here."""

_KILL_SECONDS: Final = 5.0
"""Given to what was killed. One that waits for a share that is gone dies only when that is back: no reason not to start."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Worker:
    """A worker process, told from every other that had or will have its pid."""

    space: str
    """The pid namespace: a container counts its own pids, and its processes are seen from outside."""
    pid: int
    born: str
    """When it was started, in the kernel's own count where that is to be had: a clock that is set does not change it."""


def _describe(pid: int) -> _Worker:
    """Returns what tells a process from all others.

    Raises:
        OSError: It is not there.
        psutil.Error: It is not there, or may not be looked at.
    """
    if psutil.LINUX:
        # Field 22 of proc(5)'s stat: ticks since the boot. The name, in parentheses, may hold anything.
        born = Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()[19]
        return _Worker(str(Path(f"/proc/{pid}/ns/pid").stat().st_ino), pid, born)
    return _Worker("", pid, f"{psutil.Process(pid).create_time():.0f}")


@cache
def _described_once(pid: int) -> _Worker:
    """Describes this process: what is read never changes, and each look at /proc costs a step a tenth of a millisecond."""
    return _describe(pid)


def new_marker() -> str:
    """Returns the marker of one run of a step by this process."""
    own = _described_once(os.getpid())
    return f"{own.space}.{own.pid}.{own.born}.{uuid4().hex}"


def _worker_of(marker: str) -> _Worker | None:
    match marker.split("."):
        case [space, pid, born, _] if pid.isdigit():
            return _Worker(space, int(pid), born)
    return None


def is_of_this_process(marker: str) -> bool:
    """Whether a marker is one that this process has made."""
    return _worker_of(marker) == _described_once(os.getpid())


def _is_running(worker: _Worker) -> bool:
    try:
        return _describe(worker.pid) == worker
    except (OSError, psutil.NoSuchProcess):
        return False
    except psutil.Error:
        # It is there and may not be looked at: another user's. What is doubtful is left alone.
        return True


def marked_processes(is_meant: Callable[[str], bool]) -> Iterator[psutil.Process]:
    """Yields the living processes whose marker is meant, and all that descends from them."""
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            marker = process.environ().get(MARKER)
            if marker is not None and is_meant(marker) and is_alive(process):
                yield process
                yield from filter(is_alive, process.children(recursive=True))


def is_alive(process: psutil.Process) -> bool:
    """Whether a process still runs; one that only waits to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_orphans(grace: timedelta) -> int:
    """Ends what steps of workers that are no more have left on this host: SIGTERM, the grace period, SIGKILL.

    A worker is no more where no process has its pid and its start time. The processes of a living worker, those in
    another pid namespace and those of other users are left alone. On Linux supervisors leave nothing behind; this is
    for the case that they were killed together with their worker.

    Args:
        grace: Time between SIGTERM and SIGKILL.

    Returns:
        How many processes were ended.
    """
    here = _describe(os.getpid()).space

    def is_orphaned(marker: str) -> bool:
        worker = _worker_of(marker)
        return worker is not None and worker.space == here and not _is_running(worker)

    ended: set[psutil.Process] = set()
    deadline = time.monotonic() + grace.total_seconds()
    # Parents first: one that waits for a child shall hear of its end before the child's.
    while orphans := dict.fromkeys(marked_processes(is_orphaned)):
        now = time.monotonic()
        late = now >= deadline
        signalled = False
        for orphan in orphans:
            if late or orphan not in ended:
                with contextlib.suppress(psutil.Error):
                    (orphan.kill if late else orphan.terminate)()
                    ended.add(orphan)
                    signalled = True
        if (late and not signalled) or now >= deadline + _KILL_SECONDS:
            break
        time.sleep(_POLL_SECONDS)  # they are no children of this process: their ends wake nobody here
    if ended:
        _logger.warning("ended %d processes that steps of dead workers had left on this host", len(ended))
    return len(ended)
