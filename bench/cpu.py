"""What processes take of the CPU."""

import contextlib
from asyncio.subprocess import Process

import psutil


def cpu_milliseconds(process: Process | None = None) -> float:
    """Returns what a process has taken of the CPU so far, with all that it has started; without one, this process alone."""
    if process is None:
        own = psutil.Process().cpu_times()
        return (own.user + own.system) * 1000
    parent = psutil.Process(process.pid)
    total = 0.0
    for member in [parent, *parent.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total * 1000


def machine_milliseconds() -> float:
    """Returns for how long all processors together have been busy so far, whatever with."""
    times = psutil.cpu_times()
    # Linux counts what guests take as the user's, too; what the host took for others was nobody's here.
    others = ("iowait", "guest", "guest_nice", "steal")
    return (sum(times) - times.idle - sum(getattr(times, name, 0.0) for name in others)) * 1000
