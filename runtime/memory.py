"""Memory of processes that serve for long."""

import asyncio
import ctypes
import gc
import sys
from typing import Final

_TRIM_SECONDS: Final = 30.0
"""Between two times: nothing tells that much was freed, and it takes milliseconds whether it was or not."""

_NEW_OBJECTS: Final = 5_000
"""After so many new objects the collector looks through them. An answer of a thousand records makes some 18,000, none of
them garbage before it is sent: with Python's 700 they were looked through 26 times."""


def collect_new_objects_alone() -> None:
    """Keeps the collector away from what is there by now, for good.

    Going through all that an API has loaded takes 50 ms, of whatever request comes just then; with 50 executions at once
    the collector took a worker 1 ms of CPU for each of them.
    """
    gc.set_threshold(_NEW_OBJECTS)
    gc.collect()
    gc.freeze()


async def give_back_freed_memory() -> None:
    """Gives memory that was freed back to the system, twice a minute, where the C library is glibc.

    By itself it keeps what lies below anything that is still used. An API that had shown 10,000 steps kept 70 MB for ever,
    of 230 MB. It takes some milliseconds, in a thread.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    while trim is not None:
        await asyncio.sleep(_TRIM_SECONDS)
        await asyncio.to_thread(trim, 0)
