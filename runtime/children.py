"""Child processes of Rota's own: they end with their parent, and are ended in good order."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Final

_PR_SET_PDEATHSIG: Final = 1
_STOP_SECONDS: Final = 10.0

_ALLOCATOR: Final = {"MALLOC_ARENA_MAX": "2"}
"""glibc keeps memory in reserve for each thread, of which an API and a worker have dozens (mallopt(3))."""


def _end_with_parent() -> Callable[[], None] | None:
    """Returns what a child calls before it runs its program, so that the kernel ends it when its parent dies.

    Only Linux can do that; the function must not import or lock anything, as it runs between fork and exec.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel


async def start_child(
    command: Sequence[str],
    *,
    output: IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
) -> asyncio.subprocess.Process:
    """Starts a program in a session of its own, so that Ctrl-C in the terminal reaches only this process.

    Args:
        command: Program and arguments.
        output: Takes what it prints; None lets it print where this process does.
        environment: Its environment; None for this process's own.
    """
    environment = {**_ALLOCATOR, **(os.environ if environment is None else environment)}
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=asyncio.subprocess.STDOUT if output is not None else None,
        env=environment,
        start_new_session=True,
        preexec_fn=_end_with_parent(),
    )


async def end_child(process: asyncio.subprocess.Process, *, seconds: float = _STOP_SECONDS) -> None:
    """Asks a child to stop, kills it after some seconds, and waits until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
